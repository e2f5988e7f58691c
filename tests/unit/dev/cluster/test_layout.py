import ipaddress
import itertools

import pytest
from dev.cluster import layout
from dev.cluster.layout import Machine
from dev.failure import Failure

ALL = [Machine(number) for number in range(1, layout.MAX_MACHINES + 1)]


def test_no_two_machines_share_anything() -> None:
    for one, other in itertools.combinations(ALL, 2):
        for mine in ("name", "address", "gateway", "link", "pod_range", "cgroup"):
            assert getattr(one, mine) != getattr(other, mine)


def test_every_address_lies_in_the_range_that_preflight_reserves() -> None:
    machines, pods = (ipaddress.IPv4Network(text) for text in (layout.MACHINE_RANGE, layout.POD_RANGE))
    for machine in ALL:
        assert ipaddress.ip_address(machine.address) in machines
        assert ipaddress.IPv4Network(machine.pod_range).subnet_of(pods)


def test_a_machine_and_its_gateway_are_neighbours() -> None:
    for machine in ALL[1:]:
        link = ipaddress.ip_network(f"{machine.gateway}/24", strict=False)
        assert ipaddress.ip_address(machine.address) in link
        assert machine.address != machine.gateway


def test_link_names_fit_the_kernel() -> None:
    assert max(len(f"{machine.link}x") for machine in ALL) <= 15


@pytest.mark.parametrize("machine", ALL, ids=lambda machine: machine.name)
def test_a_name_leads_back_to_its_machine(machine: Machine) -> None:
    assert layout.named(machine.name) == machine


@pytest.mark.parametrize("name", ["", "m", "m0", "m10", "m-1", "host", "m1/..", "../m1", "m1\n"])
def test_anything_else_is_no_machine(name: str) -> None:
    with pytest.raises(Failure, match="no machine's name"):
        layout.named(name)
