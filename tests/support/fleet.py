"""Many settled pools, as an API server would have recorded them."""

from typing import Any

from tests.support import builders
from tests.support.api_double import ApiDouble
from tests.support.nodes_double import NodesDouble

from kvring_contract import api as contract
from kvring_contract import names
from kvring_contract.ring import Member, Ring
from kvring_operator import children, desire, pod
from kvring_operator.resources import CHILDREN, CLUSTERS, CONFIG_MAPS, MACHINES, PODS, SECRETS

_TRUE = {"status": "True", "lastTransitionTime": "2027-01-15T08:00:00Z"}


class Fleet:
    """`num_clusters` pools of `num_members` members each."""

    IMAGE = pod.Image("kvring/node:1", "IfNotPresent")

    def __init__(self, num_clusters: int, num_members: int) -> None:
        self.num_clusters, self.num_members = num_clusters, num_members

    def name(self, number: int) -> str:
        return f"pool-{number:03d}"

    def pods_of(self, number: int) -> list[str]:
        return [pod.pod_name(self._key(number), slot, 1) for slot in range(self.num_members)]

    def fill(self, api: ApiDouble, nodes: NodesDouble) -> None:
        """Put everything into a double: machines, resources, children, pods and what their nodes hold."""
        for number in range(max(8, self.num_clusters // 8)):
            ready = {"conditions": [{"type": "Ready", **_TRUE}]}
            api.put(MACHINES, {"metadata": {"name": f"m{number}"}, "spec": {}, "status": ready})
        for number in range(self.num_clusters):
            self._pool(api, nodes, number)

    def _key(self, number: int) -> contract.Key:
        return contract.Key("default", self.name(number))

    def _pool(self, api: ApiDouble, nodes: NodesDouble, number: int) -> None:
        key, uid = self._key(number), f"uid-{number}"
        body = builders.body(self.num_members, name=key.name)
        body["metadata"] |= {"uid": uid}
        api.put(CLUSTERS, body)
        wanted = desire.derive(contract.parse(body), self.IMAGE)
        members = tuple(
            Member(slot, name, self._address(number, slot), self._machine(number, slot))
            for slot, name in enumerate(self.pods_of(number))
        )
        ring = Ring(1, members, wanted.virtual_nodes, wanted.replication_factor)
        for child in wanted.children:
            api.put(CHILDREN[child["kind"]], dict(child))
        api.put(CONFIG_MAPS, children.ring_map(key, uid, ring))
        api.put(SECRETS, children.secret(key, uid, "key"))
        for member in members:
            report = builders.report(builders.member(0), ring, pod=member.pod, fencing=0)
            nodes.reports[member.address] = report
            api.put(PODS, self._pod(wanted, member))

    def _pod(self, wanted: desire.Desired, member: Member) -> dict[str, Any]:
        manifest = pod.manifest(wanted.key, wanted.uid, wanted.template, member.slot, 1)
        manifest["metadata"] |= {"uid": f"uid-{member.pod}", "managedFields": _MANAGED_FIELDS}
        manifest["spec"] |= {"nodeName": member.machine}
        types = ("Ready", "ContainersReady", "Initialized", "PodScheduled", names.READINESS_GATE)
        running = {"running": {"startedAt": "2027-01-15T08:00:00Z"}}
        manifest["status"] = {
            "phase": "Running",
            "podIP": member.address,
            "conditions": [{"type": kind, **_TRUE} for kind in types],
            "containerStatuses": [{"name": "node", "ready": True, "restartCount": 0, "state": running}],
        }
        return manifest

    def _address(self, number: int, slot: int) -> str:
        return f"127.{1 + number // 250}.{number % 250}.{slot + 1}"

    def _machine(self, number: int, slot: int) -> str:
        return f"m{(number * 7 + slot) % max(8, self.num_clusters // 8)}"


_MANAGED_FIELDS: list[dict[str, Any]] = [
    {
        "manager": manager,
        "operation": "Apply",
        "apiVersion": "v1",
        "time": "2027-01-15T08:00:00Z",
        "fieldsV1": {f"f:field-{number}": {"f:subfield": {}} for number in range(40)},
    }
    for manager in ("kvring-operator", "kubelet")
]
