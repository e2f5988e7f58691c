"""The engine process survives bad requests, and dies loudly of real faults."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import zmq
from tests.support import node as nodes
from tests.support import tiny_models
from tests.support.engine_front import Front

from kvring_node.engine.options import EngineOptions
from kvring_node.messages import (
    Failed,
    FromEngine,
    Grammar,
    GrammarKind,
    Loaded,
    Refused,
    SamplingParams,
    Stats,
    Submit,
    Tokens,
)

GOOD = Submit("good", [1, 2, 3], SamplingParams(max_tokens=4, temperature=0, ignore_eos=True))


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("model")
    tiny_models.llama(folder)
    with zmq.Context() as context:
        options = EngineOptions(model=str(folder), kv_bytes=1 << 20)
        made = Front(context, tmp_path_factory.mktemp("sockets"), options)
        assert isinstance(made.hear()[0], Loaded)
        yield made
        made.close()


def submit(prompt: list[int] | None = None, **fields: object) -> Submit:
    """A request named "bad": fields are of `Submit` where it has them, else of its parameters."""
    own = {name: fields.pop(name) for name in ("priority", "tenant", "deadline_s") if name in fields}
    params = SamplingParams(**{"max_tokens": 4, **fields})  # type: ignore[arg-type]  # hostile on purpose
    return Submit("bad", [1, 2] if prompt is None else prompt, params, **own)  # type: ignore[arg-type]  # the same


def ends(heard: list[FromEngine], request_id: str) -> list[FromEngine]:
    return [
        one
        for one in heard
        if (isinstance(one, Refused) or (isinstance(one, Tokens) and one.is_last))
        and one.request_id == request_id
    ]


def last_stats(heard: list[FromEngine]) -> Stats:
    return next(one for one in reversed(heard) if isinstance(one, Stats))


REFUSED = [
    ("no token", submit([])),
    ("a token below 0", submit([-1])),
    ("a token beyond the vocabulary", submit([10**6])),
    ("a token of 64 bits", submit([2**64 - 1])),
    ("a prompt longer than the model", submit([1] * 5000)),
    ("no answer", submit(n=0)),
    ("a billion answers", submit(n=10**9)),
    ("no token to generate", submit(max_tokens=0)),
    ("a temperature that is no number", submit(temperature=math.nan)),
    ("an endless temperature", submit(temperature=math.inf)),
    ("a share of the law that is no number", submit(top_p=math.nan)),
    ("a negative rank", submit(top_k=-(2**63))),
    ("a bias for a token that is not there", submit(logit_bias=((10**9, 1.0),))),
    ("a bias that is no number", submit(logit_bias=((1, math.nan),))),
    ("a penalty that is no number", submit(repetition_penalty=math.nan)),
    ("penalties beyond reason", submit(presence_penalty=1e300, frequency_penalty=-1e300)),
    ("a penalty close to 0", submit(repetition_penalty=1e-300)),
    ("more log probabilities than there are tokens", submit(logprobs=10**9)),
    ("a form that cannot be read", submit(grammar=Grammar(GrammarKind.REGEX, "((("))),
    ("a form nested without end", submit(grammar=Grammar(GrammarKind.JSON_SCHEMA, "[" * 100_000))),
]
SERVED = [
    ("a seed below 0", submit(seed=-(2**63))),
    ("the largest seed", submit(seed=2**63 - 1)),
    ("the largest seed, and several answers from it on", submit(seed=2**63 - 1, n=3)),
    ("a temperature close to 0", submit(temperature=1e-300)),
    ("a temperature beyond reason", submit(temperature=1e300)),
    ("the smallest share of the law", submit(top_p=5e-324)),
    ("a rank beyond the vocabulary", submit(top_k=2**62)),
    (
        "stop tokens that are not there, and none before the third",
        submit(stop_token_ids=(-5, 10**12), min_tokens=3),
    ),
    ("more tokens than there are", submit(max_tokens=2**62)),
    ("the lowest priority", submit(priority=2**62)),
    ("a deadline in the past", submit(deadline_s=-1e300)),
    ("a deadline that is no number", submit(deadline_s=math.nan)),
    ("a tenant of a million letters", submit(tenant="x" * 10**6)),
]


@pytest.mark.parametrize(("what", "bad"), REFUSED, ids=[what for what, _ in REFUSED])
def test_the_engine_refuses(front: Front, what: str, bad: Submit) -> None:
    front.say(bad, GOOD)
    heard = front.hear_until(lambda heard: bool(ends(heard, "bad") and ends(heard, "good")))
    (told,) = ends(heard, "bad")
    assert isinstance(told, Refused)
    assert told.message
    assert last_stats(heard).num_pages_used == 0


@pytest.mark.parametrize(("what", "odd"), SERVED, ids=[what for what, _ in SERVED])
def test_the_engine_serves(front: Front, what: str, odd: Submit) -> None:
    front.say(odd, GOOD)
    heard = front.hear_until(lambda heard: bool(ends(heard, "bad") and ends(heard, "good")))
    assert isinstance(ends(heard, "bad")[0], Tokens)
    assert last_stats(heard).num_pages_used == 0


def test_an_id_that_is_running_is_refused_and_the_running_one_ends(front: Front) -> None:
    front.say(GOOD, GOOD)
    heard = front.hear_until(lambda heard: len(ends(heard, "good")) == 2)
    assert {type(one) for one in ends(heard, "good")} == {Refused, Tokens}


@pytest.mark.parametrize(
    "changes",
    [{"prompt_token_ids": "abc"}, {"params": {"temperature": "hot"}}, {"priority": 1.5}, {"type": "Sonnet"}],
    ids=["text for token ids", "text for a number", "a fraction for a rank", "a message of no kind"],
)
def test_a_message_that_cannot_be_read_harms_only_its_own_request(
    front: Front, changes: dict[str, object]
) -> None:
    good = msgspec.msgpack.decode(msgspec.msgpack.encode(GOOD))
    front.say_raw(msgspec.msgpack.encode([{**good, "request_id": "bad", **changes}, good]))
    heard = front.hear_until(lambda heard: bool(ends(heard, "bad") and ends(heard, "good")))
    (told,) = ends(heard, "bad")
    assert isinstance(told, Refused)
    assert "cannot read" in told.message


def test_a_step_that_fails_ends_the_process_with_a_last_word(tmp_path: Path) -> None:
    with zmq.Context() as context:
        options = EngineOptions(model="paper")
        front = Front(context, tmp_path, options, module=("tests.support.failing_engine",))
        front.hear()
        front.say(Submit("doomed", [1], SamplingParams(temperature=0)))
        heard = front.hear_until(lambda heard: any(isinstance(one, Failed) for one in heard))
        status = front.child.wait(timeout=60)
        front.close()

    (last,) = [one for one in heard if isinstance(one, Failed)]
    assert "illegal memory access" in last.message
    assert status == 1
    line = json.loads(front.log.read_text().splitlines()[-1])
    assert line["level"] == "critical"
    assert "Traceback" in line["exception"]
    assert "illegal memory access" in line["exception"]


def test_a_frame_that_is_none_ends_the_process_too(tmp_path: Path) -> None:
    with zmq.Context() as context:
        options = EngineOptions(model="paper")
        front = Front(context, tmp_path, options, module=("tests.support.failing_engine",))
        front.hear()
        front.say_raw(b"\xc1")
        heard = front.hear_until(lambda heard: any(isinstance(one, Failed) for one in heard))
        status = front.child.wait(timeout=60)
        front.close()
    assert heard
    assert status == 1


def test_clients_and_kubernetes_are_told_what_the_engine_died_of(tmp_path: Path) -> None:
    with nodes.fake(tmp_path, engine="tests.support.failing_engine") as node:
        node.wait_ready()
        answer = node.http.post("/v1/completions", json={"prompt": "x", "max_tokens": 2})
        status = node.exit_code()

    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "engine_dead"
    assert "illegal memory access" in answer.json()["error"]["message"]
    assert status == 1
    last_word = json.loads(node.last_word.read_text())
    assert last_word["reason"] == "EngineDied"
    assert "illegal memory access" in last_word["message"]
