"""`make run`: from whatever is there to an answer out of a real pod; can be interrupted and repeated.

Prepares what is missing, installs the chart, applies manifests/samples/chat.yaml, asks its Service a prompt.

CLUSTER=context  work on the current context of your kubeconfig (or on the context of that name): then
IMAGES=prefix    is where images are pushed to, by your docker, podman or buildah, and
MODEL=uri        is the model, unless the claim `models` in the namespace `default` holds a folder `demo`.
"""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

import yaml
from dev import ask, failure, images, paths, preflight, progress, release, target
from dev.cluster import kubectl, layout, lifecycle, storage, wait
from dev.model import recipe
from dev.target import Target

from kvring_contract import names

NAMESPACE = "default"
SAMPLE = paths.REPOSITORY / "manifests/samples/chat.yaml"
MODELS_CLAIM = "models"
POOL_READY_S = 300


def main(env: Mapping[str, str]) -> int:
    """Does all of it; 0 when the model has answered."""
    return failure.exit_code(lambda: _run(env))


def _run(env: Mapping[str, str]) -> int:
    cluster = target.of_user(env) if env.get("CLUSTER") else _start_local(env)
    references = {image.name: images.build(image, env) for image in (images.OPERATOR, images.NODE)}
    if env.get("CLUSTER"):
        _check_model(cluster, env)
    else:
        _make_model(cluster)
    release.install(cluster, references)
    sample = pool(env)
    cluster.apply([sample], f"--namespace={NAMESPACE}")
    name = sample["metadata"]["name"]
    _wait_for_pool(cluster, name, references["node"])
    print()
    print(cluster.kubectl("get", "infc", name, f"--namespace={NAMESPACE}"))
    pods = ("get", "pods", f"--selector={names.LABEL_CLUSTER}={name}", "--output=wide")
    print(cluster.kubectl(*pods, f"--namespace={NAMESPACE}"))
    ask.show(cluster, NAMESPACE, sample)
    print(_what_next(name, sample["spec"]["model"]["servedName"], is_local=not env.get("CLUSTER")))
    return 0


def pool(env: Mapping[str, str]) -> dict[str, Any]:
    """The sample, with the model that MODEL names and as much memory as that takes."""
    sample: dict[str, Any] = yaml.safe_load(SAMPLE.read_text())
    if env.get("MODEL"):
        sample["spec"]["model"]["uri"] = env["MODEL"]
        del sample["spec"]["resources"]["limits"]  # they are the demo model's
    return sample


def _start_local(env: Mapping[str, str]) -> Target:
    preflight.ensure((*preflight.CLUSTER, *images.PROGRAMS))
    last = layout.named(f"m{env.get('MACHINES') or 1}")
    lifecycle.up(last.number)
    return target.local()


def _make_model(cluster: Target) -> None:
    wanted = (recipe.DEMO, recipe.DEMO_SMALL)
    if not all(recipe.is_made(one, paths.models()) for one in wanted):
        from dev.model import make  # imports torch, which takes seconds

        make.all_missing(wanted, paths.models())
    cluster.apply(storage.host_volume(MODELS_CLAIM, paths.models(), NAMESPACE))


def _check_model(cluster: Target, env: Mapping[str, str]) -> None:
    if not env.get("MODEL") and not cluster.has("pvc", MODELS_CLAIM, f"--namespace={NAMESPACE}"):
        raise failure.Failure(
            f"the sample wants a folder `demo` on the claim `{MODELS_CLAIM}` in the namespace `{NAMESPACE}`, "
            "and there is no such claim",
            "MODEL=hf://Qwen/Qwen3-0.6B where pods reach the hub, MODEL=pvc://your-claim/folder, "
            "or make the claim and copy $KVRING_HOME/models/demo (of `make model`) into it",
        )


def _wait_for_pool(cluster: Target, name: str, image: images.Reference) -> None:
    """Until the pool is Ready and all its members run the image of this tree."""
    with progress.step(f"{name} ready") as step:

        def is_ready() -> bool:
            seen = cluster.get("infc", name, f"--namespace={NAMESPACE}")
            conditions = {found["type"]: found for found in seen.get("status", {}).get("conditions", [])}
            ready = conditions.get(
                "Ready", {"status": "Unknown", "message": "the operator has not looked yet"}
            )
            step.note(ready["message"])
            is_current = ready.get("observedGeneration") == seen["metadata"]["generation"]
            return bool(is_current and ready["status"] == "True" and runs_image())

        def runs_image() -> bool:
            pods = cluster.get(
                "pods", f"--selector={names.LABEL_CLUSTER}={name}", f"--namespace={NAMESPACE}"
            )["items"]
            staying = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
            old = [pod for pod in staying if pod["spec"]["containers"][0]["image"] != str(image)]
            if old:
                step.note(f"{len(old)} of {len(staying)} pods still run another image than {image.tag}")
            return not old

        describe = f"kubectl describe infc {name} --namespace={NAMESPACE} says why; repeat to wait on"
        wait.until(is_ready, f"{name} is not Ready", POOL_READY_S, lambda: describe)


def _what_next(name: str, model: str, *, is_local: bool) -> str:
    body = json.dumps({"model": model, "prompt": "def ", "max_tokens": 32, "temperature": 0.6})
    lines = (
        (kubectl.shell_line(), "this cluster in your shell")
        if is_local
        else ("kubectl config current-context", "your cluster"),
        (
            f"kubectl port-forward service/{name} 8000:80 & sleep 1; "
            f"curl http://127.0.0.1:8000/v1/completions -H 'Content-Type: application/json' -d '{body}'",
            "ask it yourself",
        ),
        (f"kubectl scale infc {name} --replicas=3", "a third member"),
        ("kubectl get infc -w", "watch it come"),
        ("make down", "stop the cluster")
        if is_local
        else (f"kubectl delete infc {name}", "take it away again"),
    )
    return "What to do next\n" + "\n".join(f"  {command}    # {meaning}" for command, meaning in lines)


if __name__ == "__main__":
    sys.exit(main(os.environ))
