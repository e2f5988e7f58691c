"""A whole operator but kopf, on doubles of the API server and the nodes; the test plays kubelet."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support import builders
from tests.support.api_double import ApiDouble
from tests.support.nodes_double import NodesDouble
from tests.support.poll_async import until

from kvring_contract import names
from kvring_contract.api import Key
from kvring_operator.assembly import Operator
from kvring_operator.clock import SystemClock
from kvring_operator.kube import ApiError, Kube
from kvring_operator.nodes import Nodes
from kvring_operator.resources import CLUSTERS, EVENTS, MACHINES, PODS
from kvring_operator.settings import Settings

KEY = Key("default", "chat")


@asynccontextmanager
async def open_house() -> AsyncIterator["House"]:
    """A house with one machine and a running operator."""
    async with ApiDouble().serve() as api, NodesDouble().serve(0) as nodes:
        house = House(api, nodes)
        house.add_machine("m1")
        house.start()
        yield house
        await house.stop()


class House:
    """An API server, nodes, and operators that come and go."""

    def __init__(self, api: ApiDouble, nodes: NodesDouble) -> None:
        self.api, self.nodes = api, nodes
        self.operator: Operator | None = None
        self.deposed = False
        """Whether another replica may lead by now."""
        self._running: asyncio.Task[None] | None = None
        self._clients: list[Kube | Nodes] = []

    def add_machine(self, name: str, *, told: bool = True) -> None:
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        self.api.put(MACHINES, {"metadata": {"name": name}, "spec": {}, "status": ready}, told=told)

    def start(self, *watch_namespaces: str) -> None:
        clock = SystemClock()
        kube, nodes = Kube(self.api.login), Nodes(clock, self.nodes.port)
        self._clients = [kube, nodes]
        settings = Settings("kvring/node:1", watch_namespaces=watch_namespaces)
        self.operator = Operator(settings, kube, nodes, clock, self._fencing, lambda: 0.0)
        self._running = asyncio.create_task(self.operator.run())
        self.operator.queue.add(KEY)

    def _fencing(self) -> int:
        if self.deposed:
            raise ApiError(0, "NotLeading", "another replica may lead")
        return 7

    async def stop(self) -> None:
        if self._running:
            self._running.cancel()
            await asyncio.wait({self._running})
        for client in self._clients:
            await client.close()
        self._running, self._clients = None, []

    def create(self, replicas: int = 2, **spec: Any) -> None:
        body = builders.body(replicas, **spec)
        body["metadata"]["finalizers"] = []
        self.api.put(CLUSTERS, body)

    def edit(self, **spec: Any) -> None:
        body = self.api.get(CLUSTERS, "default", "chat")
        assert body
        self.api.put(CLUSTERS, {**body, "spec": {**body["spec"], **spec}})
        self.wake()

    def delete(self) -> None:
        body = self.api.get(CLUSTERS, "default", "chat")
        assert body
        now = "2027-01-15T08:00:00Z"
        self.api.put(CLUSTERS, {**body, "metadata": {**body["metadata"], "deletionTimestamp": now}})
        self.wake()

    def wake(self) -> None:
        if self.operator:
            self.operator.queue.add(KEY)

    def pods(self) -> list[str]:
        return sorted(body["metadata"]["name"] for body in self.api.all(PODS))

    async def has_pods(self, *wanted: str) -> None:
        await until(lambda: self.pods() == sorted(wanted))

    def run_pod(self, name: str, machine: str = "m1") -> None:
        """What a kubelet would write once the container is ready."""
        body = self.api.get(PODS, "default", name)
        assert body
        slot, incarnation = name.split("-")[1:]
        gate = [c for c in body.get("status", {}).get("conditions", ()) if c["type"] == names.READINESS_GATE]
        open_gate = bool(gate) and gate[0]["status"] == "True"
        ready = {"type": "Ready", "status": "True" if open_gate else "False"}
        state: dict[str, Any] = {"running": {}}
        status = {
            "phase": "Running",
            "podIP": f"127.77.{incarnation}.{int(slot) + 1}",
            "conditions": [*gate, ready],
            "containerStatuses": [{"name": "node", "ready": True, "restartCount": 0, "state": state}],
        }
        self.api.put(PODS, {**body, "spec": {**body["spec"], "nodeName": machine}, "status": status})

    async def settle(self, *wanted: str) -> None:
        """Play kubelet until the pool is Ready with just these pods."""
        await self.has_pods(*wanted)
        for name in wanted:
            self.run_pod(name)
        await until(lambda: all(self.gate(name) == "True" for name in wanted))
        for name in wanted:
            self.run_pod(name)
        await until(lambda: self.condition("Ready") == "True")
        await until(lambda: any(event["reason"] == "AllMembersReady" for event in self.api.all(EVENTS)))

    def gate(self, name: str) -> str:
        body = self.api.get(PODS, "default", name) or {}
        found = [c for c in body.get("status", {}).get("conditions", ()) if c["type"] == names.READINESS_GATE]
        return found[0]["status"] if found else ""

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = (self.api.get(CLUSTERS, "default", "chat") or {}).get("status", {})
        return status

    def condition(self, kind: str) -> str:
        found = [c["status"] for c in self.status().get("conditions", ()) if c["type"] == kind]
        return found[0] if found else ""

    def message(self, kind: str) -> str:
        found = [c["message"] for c in self.status().get("conditions", ()) if c["type"] == kind]
        return found[0] if found else ""

    @property
    def running(self) -> bool:
        """Whether the operator has not fallen over."""
        return self._running is not None and not self._running.done()

    def reason(self, kind: str) -> str:
        found = [c["reason"] for c in self.status().get("conditions", ()) if c["type"] == kind]
        return found[0] if found else ""
