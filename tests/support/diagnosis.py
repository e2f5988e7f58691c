"""What a person would look at first when a pool is not as it should be, as text for a failed wait."""

from collections.abc import Callable, Iterator

import yaml
from tests.support import kube

SYSTEM = "kvring-system"
LOG_LINES = 25


def of(api: kube.Api, namespace: str) -> str:
    """Pools, pods, events and last log lines of a namespace, and the operator's last log lines."""
    sections = {
        "InferenceClusters": lambda: _pools(api, namespace),
        "pods": lambda: _pods(api, namespace),
        "events": lambda: _events(api, namespace),
        "logs of members": lambda: _logs(api, namespace, LOG_LINES // 2),
        "logs of the operator": lambda: _logs(api, SYSTEM, LOG_LINES),
    }
    return "\n".join(f"--- {title}\n{_text(make)}" for title, make in sections.items())


def _text(make: Callable[[], Iterator[str]]) -> str:
    try:
        return "\n".join(make()) or "(none)"
    except kube.Refused as refused:
        return f"(cannot be read: {refused})"


def _pools(api: kube.Api, namespace: str) -> Iterator[str]:
    for found in api.list("InferenceCluster", namespace):
        meta, status = found["metadata"], dict(found.get("status", {}))
        yield f"{meta['name']} generation {meta['generation']} deleted {meta.get('deletionTimestamp', 'no')}"
        for condition in status.pop("conditions", []):
            told = f"{condition['reason']}: {condition['message']}"
            yield f"  {condition['type']}={condition['status']} {told}"
        yield yaml.safe_dump(status, default_flow_style=None, width=160).rstrip()


def _pods(api: kube.Api, namespace: str) -> Iterator[str]:
    for pod in api.list("Pod", namespace):
        meta, status = pod["metadata"], pod.get("status", {})
        ring = meta.get("labels", {}).get("kvring.dev/ring", "-")
        going = " is being deleted" if "deletionTimestamp" in meta else ""
        yield f"{meta['name']} on {pod['spec'].get('nodeName', '-')} {status.get('phase')} ring={ring}{going}"
        for condition in status.get("conditions", []):
            if condition["status"] != "True":
                told = f"{condition.get('reason', '')} {condition.get('message', '')}"
                yield f"  {condition['type']}={condition['status']} {told}"
        for container in status.get("containerStatuses", []):
            shown = {"now": container["state"], "before": container.get("lastState")}
            yield f"  {container['name']} restarts={container['restartCount']} {shown}"


def _events(api: kube.Api, namespace: str) -> Iterator[str]:
    events = api.list("Event", namespace)
    for event in sorted(events, key=lambda event: str(event["metadata"]["creationTimestamp"]))[-40:]:
        about = f"{event['involvedObject']['kind']}/{event['involvedObject'].get('name')}"
        count = f" (x{event['count']})" if (event.get("count") or 1) > 1 else ""
        at = event.get("lastTimestamp") or event.get("eventTime")
        yield f"{at} {about} {event['reason']}: {event.get('message')}{count}"


def _logs(api: kube.Api, namespace: str, num_lines: int) -> Iterator[str]:
    for pod in api.list("Pod", namespace):
        name = pod["metadata"]["name"]
        yield f"[{name}]"
        try:
            path = f"/api/v1/namespaces/{namespace}/pods/{name}/log"
            yield api.request("GET", path, params={"tailLines": num_lines}).text.rstrip()
        except kube.Refused as refused:
            yield f"(none: {refused.message:.200})"
