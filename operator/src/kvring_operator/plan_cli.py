"""`python -m kvring_operator plan -f FILE`: what the operator would do first for a resource, and why.

Needs no cluster.
"""

import argparse
import copy
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from kvring_contract import api, misspelt, names
from kvring_operator import actions, desire, plan, pod
from kvring_operator.world import World


def main(argv: list[str]) -> int:
    """Print the plan of each InferenceCluster in a file; 1 when one is refused, or there is none."""
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
        content = sys.stdin.buffer.read() if given.filename == "-" else Path(given.filename).read_bytes()
        documents = [_as_json(document) for document in yaml.safe_load_all(content)]
    except (OSError, yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        print(f"{given.filename}: {error}", file=sys.stderr)
        return 1
    image = pod.Image(given.image, "IfNotPresent")
    results = [_show(body, image, given.output) for body in _clusters(documents)]
    if not results:
        print(
            f"{given.filename}: there is no {names.KIND} in it (apiVersion: {names.API_VERSION})",
            file=sys.stderr,
        )
    return max(results, default=1)


def _as_json(document: Any) -> Any:
    """As kubectl sends it: keys are strings, and so are dates."""
    return json.loads(json.dumps(document, default=str))


def _clusters(documents: Iterable[Any]) -> Iterable[dict[str, Any]]:
    """InferenceClusters among documents and the items of lists; says what it passes over."""
    for document in documents:
        kind = document.get("kind") if isinstance(document, dict) else None
        if kind == names.KIND:
            yield document
        elif kind in ("List", f"{names.KIND}List") and isinstance(items := document.get("items"), list):
            yield from _clusters(items)
        elif document is not None:
            print(f"passed over: {kind or 'a document without kind'} is not {names.KIND}", file=sys.stderr)


def _show(body: dict[str, Any], image: pod.Image, output: str) -> int:
    meta = body.get("metadata")
    if isinstance(meta, dict):  # the rest of it is the API server's, as in what kubectl get printed
        body = {**body, "metadata": {name: meta.get(name) for name in ("name", "namespace")}}
    try:
        cluster = api.parse(body)
        unknown = misspelt.fields(body)
    except api.ParseError as error:
        unknown = (str(error),)
    if unknown:
        name = meta.get("name") if isinstance(meta, dict) else None
        print("\n".join(f"{names.KIND} {name}: {what}" for what in unknown), file=sys.stderr)
        return 1
    step = plan.make(desire.derive(cluster, image), World(cluster.metadata), now=0.0)
    if output == "yaml":
        for manifest in _manifests(step):
            print(f"---\n{yaml.safe_dump(manifest, sort_keys=False)}", end="")
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
