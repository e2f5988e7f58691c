"""A Kubernetes in a page: what becomes of a plan's actions, and what kubelets, nodes and people do beside it.

Pure and instant; tests drive it step by step and ask the planner in between.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

from tests.support import builders

from kvring_contract import api, names, wire
from kvring_contract.ring import Ring
from kvring_operator import actions, children, views
from kvring_operator.actions import Action
from kvring_operator.world import Container, Machine, Phase, Pod, World


class ModelWorld:
    """Holds the truth; `world` shows it as the operator's observer would."""

    def __init__(self, num_machines: int = 2) -> None:
        self.now = builders.NOW
        self.finalizers: tuple[str, ...] = ()
        self.key_present = False
        self.children: dict[tuple[str, str], Any] = {}
        self.ring: Ring | None = None
        self.pods: dict[str, Pod] = {}
        self.nodes: dict[str, wire.NodeReport] = {}
        self.machines = {f"m{i}": Machine(f"m{i}", ready=True) for i in range(1, num_machines + 1)}
        self.refused_slots: set[int] = set()
        """Whose pods every kubelet turns away, as for want of CPU."""
        self.tolerant = False
        """Whether the scheduler also takes machines that leave or are away, as for pods that tolerate all."""
        self.room = 1000
        """Pods that a machine takes."""
        self.held: set[str] = set()
        """Pods that somebody's finalizer keeps in the API."""
        self.silent: set[str] = set()
        """Pods whose nodes do not answer."""
        self.gone = False
        self.num_created = 0

    def world(self, of: dict[str, Any]) -> World:
        meta = dataclasses.replace(api.Metadata.parse(of), finalizers=self.finalizers)
        return World(
            metadata=meta,
            pods=tuple(self.pods.values()),
            machines=self.machines,
            gone=frozenset(pod.machine for pod in self.pods.values() if pod.machine) - self.machines.keys(),
            children=self.children,
            key_present=self.key_present,
            ring=self.ring,
            reports={
                name: said
                for name, said in self.nodes.items()
                if self._reachable(self.pods[name]) and name not in self.silent
            },
        )

    def apply(self, done: Iterable[Action]) -> None:
        for action in done:
            self._apply(action)

    def _apply(self, action: Action) -> None:  # noqa: C901  # one case an action
        match action:
            case actions.AddFinalizer():
                self.finalizers = (names.FINALIZER,)
            case actions.RemoveFinalizer():
                self.finalizers, self.gone = (), True
            case actions.MakeKey():
                self.key_present = True
            case actions.ApplyChild(manifest, _):
                self.children[manifest["kind"], manifest["metadata"]["name"]] = manifest
            case actions.PublishRing(ring, _):
                self.ring = ring
                manifest = children.ring_map(builders.KEY, builders.UID, ring)
                self.children["ConfigMap", manifest["metadata"]["name"]] = manifest
            case actions.CreatePod(manifest, _):
                self._create(dict(manifest))
            case actions.Relabel(pod, labels, _):
                short = {name: labels[key] for name, key in views.LABELS.items() if key in labels}
                self._change(pod, labels={**self.pods[pod.name].labels, **short})
            case actions.SetGate(pod, value, _):
                self._change(pod, gate=value)
            case actions.BeginDrain(pod, _, _):
                self._change(pod, labels={**pod.labels, "ring": "draining"}, draining_since=self.now)
            case actions.FinishDrain(pod, _):
                self._change(pod, labels={**pod.labels, "ring": "drained"})
            case actions.AskDrain(pod, _):
                self._node(pod, draining=True)
            case actions.PushRing(pod, ring, _):
                self._node(pod, ring_epoch=ring.epoch, ring_checksum=ring.checksum)
            case actions.DeletePod(pod, True, _) if pod.name not in self.held:
                self._remove(pod.name)
            case actions.DeletePod(pod, _, _):
                self._change(pod, deleting=True)

    def tick(self, duration_s: float = 1.0) -> None:
        """Kubelets and nodes do what they can; time passes."""
        self.now += duration_s
        for pod in list(self.pods.values()):
            if pod.machine and pod.machine not in self.machines:
                continue
            if pod.machine and not self.machines[pod.machine].ready:
                self._change(pod, ready=False)
            elif pod.deleting and pod.name not in self.held:
                self._remove(pod.name)
            elif pod.deleting or pod.ended:
                self._change(pod, ready=False)
            else:
                self._run(pod)

    def kill(self, pod: Pod) -> None:
        """Somebody deletes a pod without asking."""
        self._change(pod, deleting=True, ready=False)

    def lose(self, machine: str) -> None:
        """A machine is gone, and its Node object with it."""
        self.machines.pop(machine, None)
        for pod in [pod for pod in self.pods.values() if pod.machine == machine]:
            self._change(pod, ready=False)

    def evict(self, pod: Pod) -> None:
        """The kubelet gives a pod up."""
        self._change(pod, phase=Phase.FAILED, reason="Evicted", ready=False, container=Container())
        self.nodes.pop(pod.name, None)

    def _run(self, pod: Pod) -> None:
        if pod.slot in self.refused_slots and not pod.ready:
            self._change(pod, phase=Phase.FAILED, reason="OutOfcpu")
        elif not pod.machine:
            open_ones = [
                one for one in self.machines.values() if self.tolerant or (one.ready and not one.leaving)
            ]
            free = [one for one in open_ones if self._num_pods(one) < self.room]
            self._change(pod, unschedulable="" if free else "no machine has room")
            if free:
                fewest = min(free, key=lambda one: (self._num_pods(one), one.name))
                self._change(pod, machine=fewest.name, address=f"10.0.{pod.incarnation}.{pod.slot}")
        elif not pod.container.running:
            self._change(pod, phase=Phase.RUNNING, container=Container(running=True))
        elif not pod.container.ready:
            self._change(pod, container=builders.READY)
            self.nodes[pod.name] = builders.report(self.pods[pod.name], None)
        else:
            self._node(pod, num_running=0)
            self._change(pod, ready=pod.gate)

    def _num_pods(self, machine: Machine) -> int:
        return sum(pod.machine == machine.name for pod in self.pods.values())

    def _create(self, manifest: dict[str, Any]) -> None:
        meta = manifest["metadata"]
        assert meta["name"] not in self.pods, f"{meta['name']} was made twice"
        self.num_created += 1
        stored = {
            "uid": f"uid-{meta['name']}",
            "creationTimestamp": "2027-01-15T08:00:00Z",
            "resourceVersion": "1",
        }
        born = views.pod({**manifest, "metadata": {**meta, **stored}, "status": {}})
        self.pods[born.name] = dataclasses.replace(born, created_at=self.now, tolerant=self.tolerant)

    def _change(self, pod: Pod, **changes: Any) -> None:
        if pod.name in self.pods:
            self.pods[pod.name] = dataclasses.replace(self.pods[pod.name], **changes)

    def _node(self, pod: Pod, **changes: Any) -> None:
        if pod.name in self.nodes and self._reachable(pod):
            self.nodes[pod.name] = dataclasses.replace(self.nodes[pod.name], **changes)

    def _remove(self, name: str) -> None:
        self.pods.pop(name, None)
        self.nodes.pop(name, None)

    def _reachable(self, pod: Pod) -> bool:
        return pod.machine in self.machines and self.machines[pod.machine].ready
