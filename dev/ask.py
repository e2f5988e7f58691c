"""Asks a pool through its Service, by way of the API server's proxy: works wherever kubectl works."""

import json
import sys
from typing import Any

from dev import progress
from dev.cluster import wait
from dev.failure import Failure
from dev.target import Target

PROMPT = '''class Stack:
    """A last-in, first-out collection of items."""

    def __init__(self):
        self.items = []

    def push(self, item):
'''
MAX_TOKENS = 48
ANSWER_S = 120


def complete(cluster: Target, namespace: str, service: str, model: str, prompt: str) -> Any:
    """The answer of `POST /v1/completions`."""
    body = {"model": model, "prompt": prompt, "max_tokens": MAX_TOKENS, "temperature": 0.6, "seed": 1}
    path = f"/api/v1/namespaces/{namespace}/services/{service}:http/proxy/v1/completions"
    answer = cluster.kubectl(
        "create", f"--raw={path}", "--filename=-", stdin=json.dumps(body), timeout_s=ANSWER_S
    )
    return json.loads(answer)


def show(cluster: Target, namespace: str, pool: dict[str, Any]) -> None:
    """Prints the answer to a prompt with its usage, then the same prompt's again with its cached tokens."""
    service, model = pool["metadata"]["name"], pool["spec"]["model"]["servedName"]
    with progress.step("ask"):
        first = _first_answer(cluster, namespace, service, model)
    print(f"\n{PROMPT}{_bold(first['choices'][0]['text'])}\n\nusage: {json.dumps(first['usage'])}")
    # The Service picks a member at random, and each member remembers what it has computed itself:
    # after as many turns as there are members, one of them has seen the prompt before.
    for _ in range(pool["spec"]["replicas"]):
        again = complete(cluster, namespace, service, model, PROMPT)
        if again["usage"]["prompt_tokens_details"]["cached_tokens"]:
            break
    print(f"again: {json.dumps(again['usage'])}\n")


def _first_answer(cluster: Target, namespace: str, service: str, model: str) -> Any:
    """Asks until somebody answers: for a moment a cluster just started says what was true when it ended."""
    answers: list[Any] = []
    refusals: list[str] = []

    def is_answered() -> bool:
        try:
            answers.append(complete(cluster, namespace, service, model, PROMPT))
        except Failure as refused:
            refusals.append(refused.what)
        return bool(answers)

    wait.until(is_answered, "an answer of the model", ANSWER_S, lambda: refusals[-1])
    return answers[0]


def _bold(text: str) -> str:
    """What the model wrote, told apart from the prompt."""
    return f"\x1b[1m{text}\x1b[0m" if sys.stdout.isatty() else f"»{text}«"
