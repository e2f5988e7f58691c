"""One InferenceCluster as its user meets it: apply, wait, ask, scale, and read what became of it."""

import contextlib
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from tests.support import diagnosis, kube, poll

READY_S = 150.0
"""A member starts in seconds; the rest is for a machine that is busy with other things."""

SMALL: kube.Object = {
    "model": {"uri": "pvc://models/demo-small"},
    "resources": {"requests": {"cpu": "50m", "memory": "400Mi"}, "limits": {"memory": "1500Mi"}},
    "cache": {"size": {"min": "16Mi", "initial": "16Mi", "max": "32Mi"}},
    "drain": {"timeout": "30s"},
}
"""A pool of which many fit on a small machine."""


@dataclass(frozen=True)
class Pool:
    """A handle by name; the resource need not exist. Every failed wait tells all that there is to know."""

    api: kube.Api
    name: str
    namespace: str

    def apply(self, spec: kube.Object) -> "Pool":
        """Make the resource, or make its spec this one as `kubectl apply` does."""
        self.api.apply(
            {
                "apiVersion": "kvring.dev/v1alpha1",
                "kind": "InferenceCluster",
                "metadata": {"name": self.name, "namespace": self.namespace},
                "spec": spec,
            }
        )
        return self

    def scale(self, replicas: int) -> None:
        """As `kubectl scale` does."""
        self.api.scale(self.name, replicas, self.namespace)

    def edit(self, spec: kube.Object) -> None:
        """As `kubectl edit` does: merge into the spec."""
        self.api.patch("InferenceCluster", self.name, {"spec": spec}, self.namespace)

    def delete(self) -> None:
        """Ask for deletion; wait with `wait_gone`."""
        self.api.delete("InferenceCluster", self.name, self.namespace)

    def resource(self) -> kube.Object:
        """The InferenceCluster."""
        found = self.api.get("InferenceCluster", self.name, self.namespace)
        found["metadata"].pop("managedFields", None)  # long, and of no use to a reader
        return found

    def status(self) -> kube.Object:
        """Its status; empty before the operator's first word."""
        found: kube.Object = self.resource().get("status", {})
        return found

    def condition(self, kind: str) -> kube.Object:
        """One of its conditions; empty when there is none of that type."""
        return kube.condition_of(self.resource(), kind)

    def pods(self) -> list[kube.Object]:
        """Its pods by name, whatever state they are in."""
        found = self.api.list("Pod", self.namespace, f"kvring.dev/cluster={self.name}")
        return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))

    def staying(self) -> dict[str, kube.Object]:
        """Its pods that are not on their way out, by name."""
        return {
            pod["metadata"]["name"]: pod
            for pod in self.pods()
            if "deletionTimestamp" not in pod["metadata"]
            and pod["metadata"]["labels"].get("kvring.dev/ring", "serving") == "serving"
        }

    def events(self) -> list[kube.Object]:
        """What was said about the resource, oldest first."""
        found = self.api.list("Event", self.namespace)
        ours = [
            event
            for event in found
            if event["involvedObject"]["kind"] == "InferenceCluster"
            and event["involvedObject"]["name"] == self.name
        ]
        return sorted(ours, key=lambda event: str(event["metadata"]["creationTimestamp"]))

    def wait(
        self, accept: Callable[[kube.Object], object], what: str, within_s: float = READY_S
    ) -> kube.Object:
        """The resource, as soon as `accept` finds it right."""
        found: kube.Object = self.until(self.resource, accept, what, within_s)
        return found

    def until(
        self, ask: Callable[[], Any], accept: Callable[[Any], object], what: str, within_s: float = READY_S
    ) -> Any:
        """Like `poll.until`; a failure comes with the diagnosis of the pool."""
        try:
            return poll.until(ask, accept, what=f"{self.namespace}/{self.name}: {what}", within_s=within_s)
        except poll.NeverHappened as never:
            raise poll.NeverHappened(f"{never}\n{diagnosis.of(self.api, self.namespace)}") from None

    def wait_ready(self, replicas: int = 1, within_s: float = READY_S) -> kube.Object:
        """The resource, once just so many members are there, all serve, and nothing is going on."""
        return self.wait(lambda found: settled(found, replicas), f"{replicas} members serve", within_s)

    def wait_reason(self, condition: str, reason: str, within_s: float = READY_S) -> kube.Object:
        """The condition, once it gives this reason."""
        found = self.wait(
            lambda found: kube.condition_of(found, condition).get("reason") == reason,
            f"{condition} says {reason}",
            within_s,
        )
        return kube.condition_of(found, condition)

    def wait_gone(self, within_s: float = READY_S) -> None:
        """Return when the resource is no longer there."""
        self.until(
            lambda: self.api.find("InferenceCluster", self.name, self.namespace),
            lambda found: found is None,
            "is gone",
            within_s,
        )

    def ask(self, prompt: str = "def ", max_tokens: int = 8, **wishes: Any) -> kube.Object:
        """A completion through the pool's Service, by the API server's proxy."""
        body = {"model": self.served_name(), "prompt": prompt, "max_tokens": max_tokens, "temperature": 0}
        answer: kube.Object = self.api.request("POST", self._completions(), json=body | wishes).json()
        return answer

    def ask_until_answered(self, prompt: str = "def ", within_s: float = 60) -> kube.Object:
        """A completion; tries again while no endpoint is programmed yet."""

        def attempt() -> kube.Object:
            try:
                return self.ask(prompt)
            except kube.Refused as refused:
                raise AssertionError(refused) from refused

        answer: kube.Object = self.until(attempt, bool, "answers a prompt", within_s)
        return answer

    def stream(self, http: httpx.Client, prompt: str, max_tokens: int) -> Iterator[str]:
        """The pieces of a streamed completion; raises when the stream does not end as it should."""
        body = {
            "model": self.served_name(),
            "prompt": prompt,
            "max_tokens": max_tokens,
            "temperature": 0,
            "ignore_eos": True,  # a function may end soon, the stream shall last
            "stream": True,
        }
        with http.stream(
            "POST", f"{self._endpoint(http)}/v1/completions", json=body, timeout=120
        ) as response:
            if response.is_error:
                raise kube.Refused(response.status_code, response.read().decode())
            for line in response.iter_lines():
                data = line.removeprefix("data: ")
                if data == "[DONE]":
                    return
                if data:
                    event = json.loads(data)
                    if "error" in event:
                        raise BrokenStream(str(event["error"]))
                    yield event["choices"][0]["text"]
        raise BrokenStream("the connection was closed before [DONE]")

    def served_name(self) -> str:
        """The name under which the model is served."""
        return str(self.resource()["spec"]["model"].get("servedName", self.name))

    def _endpoint(self, http: httpx.Client) -> str:
        """One of the Service's ready endpoints, as kube-proxy would take it.

        The API server's own proxy was seen to cut one of some hundred quick streams; the pod's address, and a
        plain reverse proxy in Go before a node, never did in a thousand and more.
        """
        path = f"/apis/discovery.k8s.io/v1/namespaces/{self.namespace}/endpointslices"
        answer = http.get(path, params={"labelSelector": f"kubernetes.io/service-name={self.name}"})
        ready = [
            f"http://{address}:{piece['ports'][0]['port']}"
            for piece in answer.raise_for_status().json()["items"]
            for endpoint in piece.get("endpoints") or ()
            if endpoint["conditions"].get("ready")
            for address in endpoint["addresses"]
        ]
        if not ready:
            raise kube.Refused(503, f"the Service {self.name} has no ready endpoint")
        return random.choice(ready)

    def url(self) -> str:
        """The pool's Service, by the API server's proxy."""
        return f"/api/v1/namespaces/{self.namespace}/services/{self.name}:80/proxy"

    def _completions(self) -> str:
        return f"{self.url()}/v1/completions"


class BrokenStream(Exception):
    """A stream began and did not end as it should."""


@contextlib.contextmanager
def temporary(api: kube.Api, name: str, namespace: str, spec: kube.Object) -> Iterator[Pool]:
    """A pool that is asked to go afterwards."""
    pool = Pool(api, name, namespace).apply(spec)
    try:
        yield pool
    finally:
        pool.delete()


def text_of(answer: kube.Object) -> str:
    """The text of a completion."""
    return str(answer["choices"][0]["text"])


def settled(found: kube.Object, replicas: int) -> bool:
    """Whether just so many members serve, and nothing is going on."""
    status = found.get("status", {})
    return (
        status.get("observedGeneration") == found["metadata"]["generation"]
        and status.get("readyReplicas") == status.get("replicas") == replicas
        and kube.condition_of(found, "Ready").get("status") == "True"
        and kube.condition_of(found, "Progressing").get("status") == "False"
    )
