"""Forms through the whole node: hostile ones are refused while others stream, and nothing of them is left."""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from tests.support import node as nodes
from tests.support import poll
from tests.support.node import Node

NUM_FORMS = 500
"""In the soak; each is another one, and every tenth is left by its client."""


CHAIN = "start: r0\n" + "".join(f"r{i}: r{i + 1}\n" for i in range(3000)) + 'r3000: "z"'
HOSTILE = [
    pytest.param(
        {"guided_json": {"type": "integer", "multipleOf": 999983}}, "guided_json", id="seconds in 41 bytes"
    ),
    pytest.param(
        {"guided_regex": "a?" * 5000 + "a" * 5000}, "guided_regex", id="a minute for the first mask"
    ),
    pytest.param({"guided_grammar": CHAIN}, "guided_grammar", id="the stack"),
    pytest.param(
        {"structured_outputs": {"json": {"properties": {f"p{i}": {} for i in range(3000)}}}},
        "structured_outputs.json",
        id="too many properties",
    ),
    pytest.param({"guided_regex": "a" * 70_000}, "guided_regex", id="too long"),
    pytest.param({"guided_regex": "a(b"}, "guided_regex", id="not a regex"),
    pytest.param(
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "nothing"}}}},
        "response_format",
        id="not a schema",
    ),
]


@pytest.mark.parametrize(("fields", "param"), HOSTILE)
def test_a_hostile_form_is_a_400_that_names_its_field_and_streams_go_on(
    fields: dict[str, object], param: str, node: Node
) -> None:
    stream = {"prompt": "go on", "max_tokens": 100, "stream": True, "ignore_eos": True}
    with ThreadPoolExecutor(1) as pool, node.http.stream("POST", "/v1/completions", json=stream) as other:
        lines = other.iter_lines()
        next(lines)
        refused = pool.submit(ask, node, **fields)
        assert [*lines][-2:] == ["data: [DONE]", ""]
    answer = refused.result()
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param
    assert ask(node, guided_regex="[ab]{3}").status_code == 200


def test_a_stream_begins_and_ends_while_a_form_is_tried(node: Node) -> None:
    assert ask(node, guided_regex="known").status_code == 200
    (trial,) = trials(node)
    with ThreadPoolExecutor(1) as pool:
        trial.suspend()
        try:
            waiting = pool.submit(ask, node, guided_regex="unknown")
            stream = {"prompt": "go on", "max_tokens": 100, "stream": True, "ignore_eos": True}
            with node.http.stream("POST", "/v1/completions", json=stream) as other:
                assert [*other.iter_lines()][-2:] == ["data: [DONE]", ""]
            assert ask(node, guided_regex="known").status_code == 200
            assert not waiting.done()
        finally:
            trial.resume()
        assert waiting.result().json()["choices"][0]["text"] == "unknown"


def ask(node: Node, **fields: object) -> httpx.Response:
    body = {"prompt": "x", "max_tokens": 8, **fields}
    return httpx.post(f"{node.url}/v1/completions", json=body, timeout=300)  # a trial is nice to all others


def trials(node: Node) -> list[psutil.Process]:
    return node.engine().children()


@pytest.mark.slow
def test_many_forms_leave_nothing_behind(node: Node) -> None:
    engine = node.engine()
    assert ask(node, guided_regex="a{1,2}").status_code == 200
    before = engine.num_fds(), len(trials(node)), engine.num_threads()

    def one(number: int) -> int:
        kinds: list[dict[str, object]] = [
            {"guided_regex": f"[ab]{{1,{number + 1}}}"},
            {"guided_json": {"const": number}},
            {"guided_choice": [f"yes {number}", f"no {number}"]},
            {"guided_regex": f"(a{number}"},
        ]
        if number % 100 == 99:
            return ask(node, guided_json={"type": "integer", "multipleOf": 999_900 + number}).status_code
        if number % 10 == 9:
            with contextlib.suppress(httpx.ReadTimeout):
                body = {"prompt": "x", "max_tokens": 300, **kinds[number % 4]}
                httpx.post(f"{node.url}/v1/completions", json=body, timeout=httpx.Timeout(60, read=0.01))
            return 0
        return ask(node, **kinds[number % 4]).status_code

    with ThreadPoolExecutor(8) as pool:
        codes = [*pool.map(one, range(NUM_FORMS))]

    assert set(codes) == {0, 200, 400}
    poll.until(
        lambda: node.http.get("/v1/metrics").json(),
        lambda now: now["pages_used"] == 0 and now["requests_running"] == 0,
        what="no request is left",
        within_s=60,
    )
    assert (engine.num_fds(), len(trials(node)), engine.num_threads()) == before


@pytest.mark.parametrize("how", ["terminated", "killed", "its engine killed", "in the middle of a trial"])
def test_the_trial_does_not_outlive_the_node(how: str, model: Path, tmp_path: Path) -> None:
    with nodes.real(model, tmp_path, "--cache-bytes", "4Mi", "--grace-s", "0.1") as node:
        node.wait_ready()
        assert trials(node) == []
        assert ask(node, guided_regex="a").status_code == 200
        (trial,) = trials(node)
        match how:
            case "terminated":
                node.terminate()
            case "killed":
                node.process.kill()
            case "its engine killed":
                node.engine().kill()
            case _:
                with contextlib.suppress(httpx.ReadTimeout):
                    hostile = {"prompt": "x", "guided_regex": "a?" * 5000 + "a" * 5000}
                    httpx.post(
                        f"{node.url}/v1/completions", json=hostile, timeout=httpx.Timeout(60, read=0.1)
                    )
                node.process.kill()
        poll.until(lambda: nodes.has_ended(trial), what="the trial's end", within_s=120)
