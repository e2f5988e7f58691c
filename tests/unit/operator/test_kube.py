"""The client against a real HTTP server: what it sends, and what each answer becomes."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.support.api_double import ApiDouble
from tests.support.poll_async import until

from kvring_operator.kube import AlreadyExists, ApiError, Conflict, Gone, Kube, NotFound
from kvring_operator.login import Login
from kvring_operator.resources import CLUSTERS, MACHINES, PODS, SERVICES


@pytest.fixture
async def api() -> AsyncIterator[ApiDouble]:
    async with ApiDouble().serve() as double:
        yield double


@pytest.fixture
async def kube(api: ApiDouble) -> AsyncIterator[Kube]:
    client = Kube(api.login)
    yield client
    await client.close()


def pod(name: str, **labels: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": labels},
    }


@pytest.mark.parametrize(
    ("resource", "place", "path"),
    [
        (PODS, ("default", "a"), "/api/v1/namespaces/default/pods/a"),
        (PODS, ("", ""), "/api/v1/pods"),
        (MACHINES, ("", "m1"), "/api/v1/nodes/m1"),
        (CLUSTERS, ("default", ""), "/apis/kvring.dev/v1alpha1/namespaces/default/inferenceclusters"),
        (CLUSTERS, ("d", "c", "status"), "/apis/kvring.dev/v1alpha1/namespaces/d/inferenceclusters/c/status"),
    ],
)
def test_paths(resource: object, place: tuple[str, ...], path: str) -> None:
    assert path == resource.path(*place)  # type: ignore[attr-defined]  # Resource, for the table's sake


async def test_a_list_comes_in_chunks(api: ApiDouble, kube: Kube) -> None:
    for number in range(5):
        api.put(PODS, pod(f"p{number}", app="a"))
    api.put(PODS, pod("other"))

    first = await kube.list_page(PODS, "", "app", 3, "")
    second = await kube.list_page(PODS, "", "app", 3, first.token)

    assert [len(first.items), len(second.items)] == [3, 2]
    assert not second.token


async def test_apply_creates_and_changes(api: ApiDouble, kube: Kube) -> None:
    manifest = {"metadata": {"name": "s", "namespace": "default"}, "spec": {"type": "ClusterIP"}}

    await kube.apply(SERVICES, manifest)
    await kube.apply(SERVICES, {**manifest, "spec": {"type": "NodePort"}})

    stored = api.get(SERVICES, "default", "s")
    assert stored
    assert stored["spec"]["type"] == "NodePort"


async def test_an_apply_with_a_uid_cannot_bring_back_the_dead(kube: Kube) -> None:
    manifest = {"metadata": {"name": "a", "namespace": "default", "uid": "dead"}}

    with pytest.raises(Conflict):
        await kube.apply(PODS, manifest)


async def test_a_delete_takes_only_what_was_meant(api: ApiDouble, kube: Kube) -> None:
    stored = api.put(PODS, pod("a"))

    with pytest.raises(Conflict):
        await kube.delete(PODS, "default", "a", {"uid": "another"})
    await kube.delete(PODS, "default", "a", {"uid": stored["metadata"]["uid"]})

    assert api.get(PODS, "default", "a") is None


@pytest.mark.parametrize(
    ("code", "kind", "general", "fault"),
    [
        (401, ApiError, True, False),
        (403, ApiError, False, False),
        (404, NotFound, False, False),
        (409, Conflict, False, False),
        (410, Gone, False, False),
        (429, ApiError, True, False),
        (500, ApiError, False, True),
        (504, ApiError, False, True),
    ],
)
async def test_each_refusal_has_its_kind(
    api: ApiDouble, kube: Kube, code: int, kind: type[ApiError], general: bool, fault: bool
) -> None:
    api.fail("GET", "/pods/a", code, "why not")

    with pytest.raises(kind) as caught:
        await kube.get(PODS, "default", "a")

    error = caught.value
    assert (code, "why not", general, fault) == (error.code, error.message, error.general, error.fault)


async def test_a_field_that_an_overlay_misspells_is_refused_by_the_api_server(
    api: ApiDouble, kube: Kube
) -> None:
    """As a Deployment's would be: else the pod would come without it, and nobody would know."""
    await kube.create(PODS, pod("a"))

    assert "fieldValidation=Strict" in api.queries[-1]


async def test_a_taken_name_is_one_conflict_and_a_busy_quota_another(api: ApiDouble, kube: Kube) -> None:
    await kube.create(PODS, pod("a"))
    with pytest.raises(AlreadyExists):
        await kube.create(PODS, pod("a"))

    api.fail("POST", "/pods", 409, "Operation cannot be fulfilled on resourcequotas")
    with pytest.raises(Conflict) as caught:
        await kube.create(PODS, pod("b"))
    assert not isinstance(caught.value, AlreadyExists)


async def test_no_answer_says_nothing_about_the_request() -> None:
    nobody = Kube(Login("http://127.0.0.1:9"))

    with pytest.raises(ApiError) as caught:
        await nobody.get(PODS, "default", "a")

    await nobody.close()
    assert caught.value.general


async def test_an_answer_that_is_no_json_is_no_answer(api: ApiDouble, kube: Kube) -> None:
    """A proxy's page, with 200: it ends neither the Lease's renewal nor a cache."""
    api.splash = "<html>Back soon</html>\n"

    with pytest.raises(ApiError) as caught:
        await kube.get(PODS, "default", "a")
    assert caught.value.general
    with pytest.raises(ApiError):
        await anext(kube.watch(PODS, "", "", "1"))


async def test_a_watch_tells_changes_since_a_version(api: ApiDouble, kube: Kube) -> None:
    api.put(PODS, pod("old"))
    page = await kube.list_page(PODS, "", "", 10, "")
    api.put(PODS, pod("new"))
    api.take(PODS, "default", "old")

    told = []
    async for event in kube.watch(PODS, "", "", page.resource_version):
        if event.type == "BOOKMARK":
            break
        told.append((event.type, event.object["metadata"]["name"]))

    assert told == [("ADDED", "new"), ("DELETED", "old")]


async def test_however_many_watches_are_open_a_request_goes_through(api: ApiDouble, kube: Kube) -> None:
    """A hundred namespaces have four hundred watches, and the Lease is renewed beside them."""
    async with asyncio.TaskGroup() as group:
        watching = [group.create_task(_watch_on(kube)) for _ in range(100)]
        await until(lambda: api.num_watches == len(watching))

        page = await asyncio.wait_for(kube.list_page(PODS, "", "", 1, ""), timeout=60)

        for task in watching:
            task.cancel()
    assert not page.items


async def _watch_on(kube: Kube) -> None:
    async for _ in kube.watch(PODS, "", "", "1"):
        continue


async def test_a_line_of_a_watch_may_be_longer_than_any_buffer(api: ApiDouble, kube: Kube) -> None:
    api.put(PODS, {**pod("big"), "spec": {"note": "x" * 1_000_000}})

    async for event in kube.watch(PODS, "", "", "1"):
        assert len(event.object["spec"]["note"]) == 1_000_000
        break


async def test_a_watch_from_a_forgotten_version_says_gone(api: ApiDouble, kube: Kube) -> None:
    api.put(PODS, pod("a"))
    api.forget(PODS)

    with pytest.raises(Gone):
        await anext(kube.watch(PODS, "", "", "1"))
