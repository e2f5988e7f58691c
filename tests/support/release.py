"""The installed operator: who leads, what it said, and how to take it away and bring it back."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from dev import images, target
from dev import release as chart
from tests.support import diagnosis, kube, poll

NAMESPACE = diagnosis.SYSTEM
LEASE = "kvring-operator"
SELECTOR = "app.kubernetes.io/instance=kvring"
START_S = 90.0
STOP_S = 60.0


@dataclass(frozen=True)
class Release:
    """The Helm release `kvring` as its Deployment, its pods and its Lease."""

    api: kube.Api

    def deployment(self) -> kube.Object:
        """The operator's Deployment."""
        found = self.api.list("Deployment", NAMESPACE, SELECTOR)
        assert len(found) == 1, (
            f"one Deployment bears {SELECTOR}: {[item['metadata']['name'] for item in found]}"
        )
        return found[0]

    def pods(self) -> list[kube.Object]:
        """The operator's pods, those that are ending too."""
        return self.api.list("Pod", NAMESPACE, SELECTOR)

    def leader(self) -> str:
        """Name of the pod that leads; empty when none does."""
        lease = self.api.find("Lease", LEASE, NAMESPACE)
        return str((lease or {}).get("spec", {}).get("holderIdentity") or "")

    def wait_led(self, within_s: float = START_S) -> str:
        """The leader's name, once every replica is ready and one of them leads."""
        return poll.until(self._leader_of_all, bool, what="the operator leads", within_s=within_s)

    def restart(self) -> str:
        """Every pod of the operator is replaced at once; the new leader's name."""
        old = {pod["metadata"]["name"] for pod in self.pods()}
        for name in old:
            self.api.delete("Pod", name, NAMESPACE)
        return poll.until(
            self._leader_of_all,
            lambda leader: leader and leader not in old,
            what="a new leader",
            within_s=START_S,
        )

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Inside the block no operator runs; afterwards as many as before."""
        deployment = self.deployment()
        try:
            self._scale(deployment, 0)
            poll.until(self.pods, lambda pods: not pods, what="the operator's pods are gone", within_s=STOP_S)
            yield
        finally:
            self._scale(deployment, deployment["spec"]["replicas"])
            self.wait_led()

    def _scale(self, deployment: kube.Object, replicas: int) -> None:
        name = deployment["metadata"]["name"]
        self.api.patch("Deployment", name, {"spec": {"replicas": replicas}}, NAMESPACE, subresource="scale")

    def _leader_of_all(self) -> str:
        status, wanted = self.deployment().get("status", {}), self.deployment()["spec"]["replicas"]
        names = {pod["metadata"]["name"] for pod in self.pods() if "deletionTimestamp" not in pod["metadata"]}
        leader = self.leader()
        all_ready = status.get("readyReplicas") == status.get("updatedReplicas") == len(names) == wanted
        return leader if all_ready and leader in names else ""


def install(api: kube.Api) -> Release:
    """The chart of this checkout with its images; nothing restarts when it is installed already."""
    references = {image.name: images.build(image, os.environ) for image in (images.OPERATOR, images.NODE)}
    chart.install(target.local(), references)
    return Release(api)
