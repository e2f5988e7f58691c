"""Settings from the environment, and what is said when they are wrong."""

import pytest

from kvring_operator import settings
from kvring_operator.settings import BadSettings

IMAGE = {"KVRING_NODE_IMAGE": "kvring/node:1"}


def test_only_the_image_is_needed() -> None:
    found = settings.read(IMAGE)

    assert (found.node_image, found.watch_namespaces, found.namespace) == (
        "kvring/node:1",
        (),
        "kvring-system",
    )
    assert found.identity


def test_namespaces_are_separated_by_commas() -> None:
    assert settings.read(IMAGE | {"KVRING_WATCH_NAMESPACES": "a, b,c"}).watch_namespaces == ("a", "b", "c")


@pytest.mark.parametrize("name", ["KVRING_POD_NAME", "POD_NAME"])
def test_the_pod_is_who_we_are(name: str) -> None:
    assert settings.read(IMAGE | {name: "kvring-abc"}).identity == "kvring-abc"


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        ({"KVRING_NODE_IMAGE": ""}, "give the image"),
        ({"KVRING_NODE_IMAGE_PULL_POLICY": "Sometimes"}, "Always, IfNotPresent, Never"),
        ({"KVRING_LOG_LEVEL": "loud"}, "debug, info"),
        ({"KVRING_METRICS_PORT": "99999"}, "a port"),
        ({"KVRING_HEALTH_PORT": "http"}, "a port"),
    ],
)
def test_what_is_wrong_is_said_with_its_remedy(wrong: dict[str, str], remedy: str) -> None:
    with pytest.raises(BadSettings, match=remedy):
        settings.read(IMAGE | wrong)
