"""The only reader of environment and flags.

Every setting is an environment variable: the chart writes them.
"""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from kvring_contract import names

LOG_LEVELS = ("debug", "info", "warning", "error")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")


class BadSettings(ValueError):
    """A setting is missing or wrong; the message says what to write."""


@dataclass(frozen=True)
class Settings:
    """What `python -m kvring_operator` is told. No `watch_namespaces` means all of them."""

    node_image: str
    node_image_pull_policy: str = "IfNotPresent"
    watch_namespaces: tuple[str, ...] = ()
    namespace: str = "kvring-system"
    lease_name: str = names.FIELD_MANAGER
    identity: str = ""
    log_level: str = "info"
    metrics_port: int = names.OPERATOR_METRICS_PORT
    health_port: int = names.OPERATOR_HEALTH_PORT


def read(environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from the environment; raises `BadSettings`."""
    image = environ.get("KVRING_NODE_IMAGE", "")
    if not image:
        raise BadSettings(
            "KVRING_NODE_IMAGE is not set: give the image that members run, such as kvring/node:1.0"
        )
    return Settings(
        node_image=image,
        node_image_pull_policy=_choice(
            environ, "KVRING_NODE_IMAGE_PULL_POLICY", PULL_POLICIES, Settings.node_image_pull_policy
        ),
        watch_namespaces=tuple(environ.get("KVRING_WATCH_NAMESPACES", "").replace(",", " ").split()),
        namespace=environ.get("KVRING_NAMESPACE") or Settings.namespace,
        lease_name=environ.get("KVRING_LEASE_NAME") or Settings.lease_name,
        identity=environ.get("KVRING_POD_NAME")
        or environ.get("POD_NAME")
        or f"{socket.gethostname()}-{os.getpid()}",
        log_level=_choice(environ, "KVRING_LOG_LEVEL", LOG_LEVELS, Settings.log_level),
        metrics_port=_port(environ, "KVRING_METRICS_PORT", Settings.metrics_port),
        health_port=_port(environ, "KVRING_HEALTH_PORT", Settings.health_port),
    )


def _choice(environ: Mapping[str, str], name: str, choices: tuple[str, ...], default: str) -> str:
    value = environ.get(name) or default
    if value not in choices:
        raise BadSettings(f"{name} is {value!r}: write one of {', '.join(choices)}")
    return value


def _port(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise BadSettings(f"{name} is {text!r}: write a port from 0 to 65535; 0 takes any free one")
    return int(text)
