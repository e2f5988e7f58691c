"""`python -m kvring_operator plan -f FILE`: what the operator would do first for a resource, and why.

Needs no cluster.
"""

import argparse
import copy
import sys
from pathlib import Path
from typing import Any

import yaml

from kvring_contract import api
from kvring_operator import actions, desire, plan, pod
from kvring_operator.world import World


def main(argv: list[str]) -> int:
    """Print the plan of each InferenceCluster in a file; 1 when one of them is refused."""
    parser = argparse.ArgumentParser(prog="kvring-operator plan", description=__doc__)
    parser.add_argument(
        "-f", "--filename", required=True, help="YAML file with InferenceClusters; - reads stdin"
    )
    parser.add_argument(
        "-o", "--output", choices=("text", "yaml"), default="text", help="reasons, or manifests"
    )
    parser.add_argument("--image", default="kvring/node:latest", help="image that members would run")
    given = parser.parse_args(argv)
    try:
        text = sys.stdin.read() if given.filename == "-" else Path(given.filename).read_text()
        bodies = [body for body in yaml.safe_load_all(text) if isinstance(body, dict)]
    except (OSError, yaml.YAMLError) as error:
        print(f"{given.filename}: {error}", file=sys.stderr)
        return 1
    return max(
        [_show(body, pod.Image(given.image, "IfNotPresent"), given.output) for body in bodies], default=1
    )


def _show(body: dict[str, Any], image: pod.Image, output: str) -> int:
    try:
        cluster = api.parse(body)
    except api.ParseError as error:
        print(error, file=sys.stderr)
        return 1
    step = plan.make(desire.derive(cluster, image), World(cluster.metadata), now=0.0)
    if output == "yaml":
        print("---\n".join(yaml.safe_dump(manifest, sort_keys=False) for manifest in _manifests(step)))
        return 0
    print(f"{cluster.key}: {cluster.spec.replicas} members, {len(step.actions)} actions")
    for action in step.actions:
        print(f"  {type(action).__name__:14} {_object(action):32} because {action.reason}")
    pending = api.pending_features(cluster.spec)
    if pending:
        print(f"  without effect in this release: {', '.join(pending)}")
    print("  then: pods join the ring when their model is loaded, and become Ready when they hold its epoch")
    return 0


def _manifests(step: plan.Plan) -> list[dict[str, Any]]:
    """Without owner: a file has no uid, and the API server takes no owner without one."""
    made = [
        copy.deepcopy(dict(action.manifest))
        for action in step.actions
        if isinstance(action, actions.ApplyChild | actions.CreatePod)
    ]
    for manifest in made:
        del manifest["metadata"]["ownerReferences"]
    return made


def _object(action: actions.Action) -> str:
    match action:
        case actions.ApplyChild(manifest, _) | actions.CreatePod(manifest, _):
            return f"{manifest['kind']}/{manifest['metadata']['name']}"
        case actions.PublishRing(ring, _):
            return f"ConfigMap, epoch {ring.epoch}"
        case _:
            return ""
