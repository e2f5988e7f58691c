"""What somebody deletes or changes comes back, and the pool goes on answering."""

import base64
import time

import pytest
from tests.support import kube, pools

from kvring_contract import wire

pytestmark = pytest.mark.cluster

HEALED_S = 30.0
SECRET_HEALED_S = 150.0
"""The operator may not watch Secrets: it looks at each pool's once a minute."""
NEW_KEY_S = 240.0
"""The kubelet brings a changed Secret into running containers about once a minute."""

CHILDREN = [
    # kind, name, a change that is no good
    ("Service", "chat", {"spec": {"selector": {"kvring.dev/cluster": "other"}}}),
    ("Service", "chat-members", {"spec": {"publishNotReadyAddresses": False}}),
    ("ConfigMap", "chat-ring", {"data": {"epoch": "0", "ring.json": "{}"}}),
    ("PodDisruptionBudget", "chat", {"spec": {"minAvailable": 0}}),
]
IDS = [f"{kind}-{name}" for kind, name, _ in CHILDREN]

LABELS = [
    # a label, what somebody makes of it (None: removes it)
    ("kvring.dev/cluster", None),
    ("kvring.dev/cluster", "other"),
    ("kvring.dev/slot", "7"),
    ("kvring.dev/incarnation", None),
    ("kvring.dev/rank", "1"),
    ("kvring.dev/ring", "Serving"),
]


def essence(found: kube.Object) -> kube.Object:
    """What makes the object what it is, without the server's bookkeeping and given addresses."""
    spec = {key: value for key, value in found.get("spec", {}).items() if not key.startswith("clusterIP")}
    meta = found["metadata"]
    return {
        "spec": spec,
        "data": found.get("data"),
        "labels": meta["labels"],
        "owners": meta["ownerReferences"],
    }


def answers_a_call_signed_with(pool: pools.Pool, pod: str, secret: kube.Object) -> bool:
    key = base64.b64decode(secret["data"]["key"])
    signature = wire.sign(key, "GET", wire.REPORT_PATH, b"", time.time())
    path = f"/api/v1/namespaces/{pool.namespace}/pods/{pod}:8000/proxy{wire.REPORT_PATH}"
    try:
        return pool.api.request("GET", path, headers={wire.SIGNATURE_HEADER: signature}).is_success
    except kube.Refused as refused:
        if refused.code != 401:
            raise
        return False


def back_as_before(pool: pools.Pool, kind: str, before: kube.Object) -> None:
    name = before["metadata"]["name"]
    pool.until(
        lambda: pool.api.find(kind, name, pool.namespace),
        lambda found: found is not None and essence(found) == essence(before),
        f"{kind} {name} is as it was",
        HEALED_S,
    )


@pytest.mark.parametrize(("kind", "name"), [row[:2] for row in CHILDREN], ids=IDS)
def test_a_deleted_object_comes_back(shared_pool: pools.Pool, kind: str, name: str) -> None:
    before, pods = shared_pool.api.get(kind, name, shared_pool.namespace), shared_pool.staying().keys()
    shared_pool.api.delete(kind, name, shared_pool.namespace)
    back_as_before(shared_pool, kind, before)
    shared_pool.wait_ready()
    shared_pool.ask_until_answered()
    assert shared_pool.staying().keys() == pods


@pytest.mark.parametrize(("kind", "name", "change"), CHILDREN, ids=IDS)
def test_a_changed_object_is_set_right(
    shared_pool: pools.Pool, kind: str, name: str, change: kube.Object
) -> None:
    before, pods = shared_pool.api.get(kind, name, shared_pool.namespace), shared_pool.staying().keys()
    shared_pool.api.patch(kind, name, change, shared_pool.namespace)
    back_as_before(shared_pool, kind, before)
    shared_pool.wait_ready()
    shared_pool.ask_until_answered()
    assert shared_pool.staying().keys() == pods


def test_what_others_add_to_an_object_is_theirs(shared_pool: pools.Pool) -> None:
    note = {"metadata": {"annotations": {"example.com/team": "search"}}}
    shared_pool.api.patch("Service", "chat", note, shared_pool.namespace)
    shared_pool.api.delete("ConfigMap", "chat-ring", shared_pool.namespace)  # makes the operator look
    shared_pool.until(
        lambda: shared_pool.api.find("ConfigMap", "chat-ring", shared_pool.namespace),
        bool,
        "the ring is back",
    )
    found = shared_pool.api.get("Service", "chat", shared_pool.namespace)
    assert found["metadata"]["annotations"]["example.com/team"] == "search"


@pytest.mark.parametrize(("label", "value"), LABELS)
def test_a_changed_label_is_set_right(shared_pool: pools.Pool, label: str, value: str | None) -> None:
    (name, before) = next(iter(shared_pool.staying().items()))
    shared_pool.api.patch("Pod", name, {"metadata": {"labels": {label: value}}}, shared_pool.namespace)
    shared_pool.until(
        lambda: shared_pool.api.get("Pod", name, shared_pool.namespace)["metadata"]["labels"],
        lambda labels: labels == before["metadata"]["labels"],
        f"the label {label} is as it was",
        HEALED_S,
    )
    shared_pool.wait_ready()
    shared_pool.ask_until_answered()
    after = shared_pool.staying()
    assert {uid["metadata"]["uid"] for uid in after.values()} == {before["metadata"]["uid"]}


def test_a_deleted_pod_is_followed_by_the_next_incarnation_of_its_slot(shared_pool: pools.Pool) -> None:
    (name,) = shared_pool.staying()
    slot, incarnation = name.rsplit("-", 2)[1:]
    before = shared_pool.status()["ring"]
    shared_pool.api.delete("Pod", name, shared_pool.namespace)
    following = f"chat-{slot}-{int(incarnation) + 1}"
    shared_pool.until(shared_pool.staying, lambda pods: list(pods) == [following], f"{following} is made")
    # The pod is there before the status speaks of it: a status of the old one may say Ready for a moment yet.
    status = shared_pool.wait(
        lambda found: pools.settled(found, 1) and found["status"]["members"][0]["pod"] == following,
        f"{following} serves",
    )["status"]
    assert [member["name"] for member in status["members"]] == [f"chat-{slot}"]
    assert status["ring"]["epoch"] > before["epoch"]
    shared_pool.ask_until_answered()


def test_a_deleted_secret_comes_back_with_a_new_key_that_the_members_take(shared_pool: pools.Pool) -> None:
    old = shared_pool.api.get("Secret", "chat-internal", shared_pool.namespace)
    (pod,) = shared_pool.staying()
    assert answers_a_call_signed_with(shared_pool, pod, old)

    shared_pool.api.delete("Secret", "chat-internal", shared_pool.namespace)
    new = shared_pool.until(
        lambda: shared_pool.api.find("Secret", "chat-internal", shared_pool.namespace),
        bool,
        "the Secret is back",
        SECRET_HEALED_S,
    )
    assert new["data"]["key"] != old["data"]["key"]
    shared_pool.until(
        lambda: answers_a_call_signed_with(shared_pool, pod, new),
        bool,
        "the member takes calls signed with the new key",
        NEW_KEY_S,
    )
    assert not answers_a_call_signed_with(shared_pool, pod, old)
    shared_pool.wait_ready()
    shared_pool.ask_until_answered()
    assert list(shared_pool.staying()) == [pod]
