"""What a user reads: columns of `kubectl get`, words of `kubectl explain`, and a plan beforehand."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dev.cluster import kubectl
from tests.support import kube, pools, specs

pytestmark = pytest.mark.cluster

PLAN = (sys.executable, "-m", "kvring_operator", "plan")
COLUMNS = ["NAME", "READY", "STATUS", "MODEL", "HIT%", "RF", "MOVING", "CACHE", "AGE"]


def table(*words: str) -> tuple[list[str], dict[str, str]]:
    """Header and the only row of what kubectl prints, by column."""
    header, row = kubectl.run("get", "infc", "chat", *words).splitlines()
    return header.split(), dict(zip(header.split(), row.split(), strict=True))


def test_get_shows_the_pool_in_one_line(shared_pool: pools.Pool) -> None:
    shared_pool.ask_until_answered("def get(self):")
    shared_pool.ask("def get(self):")
    header, row = table("-n", shared_pool.namespace)
    assert header == COLUMNS
    shown = {name: row[name] for name in ("NAME", "READY", "STATUS", "MODEL", "RF", "MOVING")}
    assert shown == {
        "NAME": "chat",
        "READY": "1/1",
        "STATUS": "AllMembersReady",
        "MODEL": "chat",
        "RF": "1/1",
        "MOVING": "0",
    }
    used, target = row["CACHE"].removesuffix("Mi").split("Mi/")
    assert 0 <= int(used) <= int(target) == 16


def test_the_wide_form_adds_epoch_and_url(shared_pool: pools.Pool) -> None:
    header = kubectl.run("get", "infc", "chat", "-n", shared_pool.namespace, "-o", "wide").splitlines()[0]
    assert header.split() == [*COLUMNS, "EPOCH", "UNDER-REPL", "URL"]
    status = shared_pool.status()
    assert status["url"] == f"http://chat.{shared_pool.namespace}.svc"
    assert status["ring"]["epoch"] >= 1


def test_get_inference_lists_the_category(shared_pool: pools.Pool) -> None:
    assert "chat" in kubectl.run("get", "inference", "-n", shared_pool.namespace)


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("infc", "A pool of inference pods"),
        ("infc.spec.model.uri", "pvc://CLAIM/FOLDER"),
        ("infc.spec.cache.size", "Memory of one member for cached pages"),
        ("infc.status.ring.epoch", "Version of the ring"),
    ],
)
def test_explain_says_what_a_field_means(api: kube.Api, kvring: object, field: str, says: str) -> None:
    assert says in " ".join(kubectl.run("explain", field).split())


def test_the_operator_does_what_its_plan_says(shared_pool: pools.Pool, tmp_path: Path) -> None:
    pod = next(iter(shared_pool.staying().values()))
    file = tmp_path / "pool.yaml"
    file.write_text(
        yaml.safe_dump(specs.cluster(shared_pool.resource()["spec"], "chat", shared_pool.namespace))
    )
    printed = subprocess.run(
        [*PLAN, "-f", str(file), "-o", "yaml", "--image", pod["spec"]["containers"][0]["image"]],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    planned = list(yaml.safe_load_all(printed))
    assert {manifest["kind"] for manifest in planned} == {"Service", "PodDisruptionBudget", "Pod"}
    for manifest in planned:
        meta = manifest["metadata"]
        made = shared_pool.api.get(manifest["kind"], meta["name"], shared_pool.namespace)
        assert contains(made, manifest), f"{manifest['kind']} {meta['name']} is not what was planned"


def contains(found: Any, wanted: Any) -> bool:
    """Whether `found` is `wanted` with the API server's defaults added."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(contains(found.get(key), wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return isinstance(found, list) and all(any(contains(one, item) for one in found) for item in wanted)
    return bool(found == wanted) or (wanted == {} and found is None)
