"""What the components are told."""

import json
import tomllib
from collections.abc import Iterator

import pytest
from dev.cluster import control_plane, layout, machine_parts
from dev.cluster.layout import Machine
from dev.cluster.processes import Component

SECOND, THIRD = Machine(2), Machine(3)


pytestmark = pytest.mark.usefixtures("home")


def everything() -> Iterator[Component]:
    for stage in control_plane.stages():
        yield from stage
    for machine in (layout.HOST, SECOND, THIRD):
        yield from machine_parts.parts(machine)


def told(component: Component) -> str:
    return "\n".join([*component.command, *component.files.values()])


def test_nothing_listens_on_all_addresses_or_on_the_hosts_own() -> None:
    for component in everything():
        for forbidden in ("0.0.0.0", "127.0.0.1", "[::]", "localhost:"):
            assert forbidden not in told(component).replace("0.0.0.0/0", ""), component.name


def test_every_json_file_is_json_and_every_toml_file_is_toml() -> None:
    for component in everything():
        for path, text in component.files.items():
            if path.suffix in (".json", ".conflist"):
                assert json.loads(text)
            if path.suffix == ".toml":
                assert tomllib.loads(text)


def test_a_machine_is_told_nothing_of_another_machines_folder() -> None:
    for component in machine_parts.parts(SECOND):
        assert str(THIRD.folder) not in told(component)
        assert str(layout.HOST.folder) not in told(component)


def test_further_machines_run_in_their_own_network_and_the_host_does_not() -> None:
    assert all(part.enter == () for part in machine_parts.parts(layout.HOST))
    assert all(part.enter == ("nsenter", f"--net={SECOND.namespace}") for part in machine_parts.parts(SECOND))


def test_no_two_components_share_a_record() -> None:
    records = [component.record for component in everything()]
    assert len(set(records)) == len(records)


def test_a_changed_setting_changes_the_digest() -> None:
    before, after = machine_parts.kubelet(SECOND), machine_parts.kubelet(THIRD)
    assert before.digest() == machine_parts.kubelet(SECOND).digest()
    assert before.digest() != after.digest()
