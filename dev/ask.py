"""Asks a pool through its Service, by way of the API server's proxy: works wherever kubectl works."""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from dev import commands, progress
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


class Refused(Failure):
    """The pool, or the API server before it, refused a request."""

    def __init__(self, status: int, said: bytes) -> None:
        super().__init__(
            f"the model's answer is HTTP {status}: {said.decode(errors='replace').strip()}",
            "`kubectl logs` of the pool's pods may say more; then repeat",
        )
        self.may_pass = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS


def show(cluster: Target, namespace: str, pool: dict[str, Any]) -> None:
    """Prints the answer to a prompt with its usage, then the same prompt's again with its cached tokens."""
    service, model = pool["metadata"]["name"], pool["spec"]["model"]["servedName"]
    path = f"/api/v1/namespaces/{namespace}/services/{service}:http/proxy/v1/completions"
    with door(cluster) as address:
        with progress.step("ask"):
            first = answer(address, path, model)
        print(f"\n{PROMPT}{_bold(first['choices'][0]['text'])}\n\nusage: {json.dumps(first['usage'])}")
        # The Service picks a member at random, and each member remembers what it has computed itself:
        # after as many turns as there are members, one of them has seen the prompt before.
        for _ in range(pool["spec"]["replicas"]):
            again = answer(address, path, model)
            if again["usage"]["prompt_tokens_details"]["cached_tokens"]:
                break
    print(f"again: {json.dumps(again['usage'])}\n")


@contextmanager
def door(cluster: Target) -> Iterator[str]:
    """Address of a `kubectl proxy`, which hands on what a refusal says; `kubectl create --raw` keeps it."""
    command = [*cluster.kubectl_command, "proxy", "--port=0"]
    env = commands.past_proxies(os.environ)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as running:
        assert running.stdout is not None
        try:
            said = running.stdout.readline()  # Starting to serve on 127.0.0.1:41234
            if not said:
                raise Failure("`kubectl proxy` ended", "what it printed above says why")
            yield said.split()[-1]
        finally:
            running.terminate()


def complete(address: str, path: str, model: str) -> Any:
    """The answer of `POST /v1/completions`.

    Raises:
        Refused: it is none.
        OSError, HTTPException: it did not come, or not whole.
    """
    body = {"model": model, "prompt": PROMPT, "max_tokens": MAX_TOKENS, "temperature": 0.6, "seed": 1}
    connection = http.client.HTTPConnection(address, timeout=ANSWER_S)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read()
    finally:
        connection.close()
    if answer.status != HTTPStatus.OK:
        raise Refused(answer.status, said)
    return json.loads(said)


def answer(address: str, path: str, model: str) -> Any:
    """Asks until somebody answers: for a moment a cluster just started says what was true when it ended.

    Raises:
        Failure: it is refused for good, or nobody answered in time.
    """
    answers: list[Any] = []
    refusals: list[str] = []

    def is_answered() -> bool:
        try:
            answers.append(complete(address, path, model))
        except Refused as refused:
            if not refused.may_pass:
                raise
            refusals.append(refused.what)
        except (OSError, http.client.HTTPException) as silent:
            refusals.append(f"no answer: {silent!r}")
        return bool(answers)

    wait.until(is_answered, "an answer of the model", ANSWER_S, lambda: refusals[-1])
    return answers[0]


def _bold(text: str) -> str:
    """What the model wrote, told apart from the prompt."""
    return f"\x1b[1m{text}\x1b[0m" if sys.stdout.isatty() else f"»{text}«"
