"""What `make status` prints."""

from collections.abc import Iterable

from dev import paths, versions
from dev.cluster import control_plane, kubectl, layout, machine_parts, network, processes
from dev.cluster.layout import Machine
from dev.cluster.processes import Component

Row = tuple[str, str, str, str]


def text() -> tuple[str, bool]:
    """The table, and whether everything works."""
    if not paths.kubeconfig().exists():
        return "The local cluster is down. `make up` starts it.", False
    components = [(component, "m1") for stage in control_plane.stages() for component in stage]
    machines = layout.present()
    components += [(part, machine.name) for machine in machines for part in machine_parts.parts(machine)]
    rows = [_component_row(component, place) for component, place in components]
    rows += [_machine_row(machine) for machine in machines]
    works = all(row[2] in ("ready", "Ready") for row in rows) and bool(machines)
    return "\n".join([*_table(rows), "", *_addresses()]), works


def _component_row(component: Component, place: str) -> Row:
    if not processes.is_running(component):
        return component.name, place, "not running", str(component.log)
    state = "ready" if component.ready() else "not ready"
    return component.name, place, state, str(component.log)


def _machine_row(machine: Machine) -> Row:
    state = "Ready" if kubectl.is_ready(machine.name) else "NotReady"
    if network.is_cut_on_purpose(machine):
        state += ", cut off"
    return "machine", machine.name, state, machine.address


def _table(rows: Iterable[Row]) -> list[str]:
    return [f"{name:<26}{place:<4}{state:<20}{where}" for name, place, state, where in rows]


def _addresses() -> list[str]:
    return [
        f"Kubernetes {versions.KUBERNETES}  {layout.API_URL}",
        f"images      {layout.REGISTRY}",
        f"audit log   {paths.audit_log()}",
        "",
        kubectl.shell_line(),
    ]
