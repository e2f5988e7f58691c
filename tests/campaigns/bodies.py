"""Any bytes at the parsers of request bodies: `python -m tests.campaigns.bodies --seconds 60`.

Atheris (libFuzzer) mutates whole requests of every kind, guided by the branches of our own code. A body is
either what the desk takes, or refused by an `ApiError` 400 that says why; anything else ends the campaign
with the bytes that did it.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris
import msgspec
from bench import arguments
from fastapi import Request

with atheris.instrument_imports(include=["kvring_node.web", "kvring_node.prompts"]):
    from kvring_node.web import answers, bodies, chat, completions, errors, generate, requests, turns

SEEDS: list[tuple[str, dict[str, Any]]] = [
    ("completions", {"prompt": ["a", "b"], "n": 2, "stop": ["x"], "logit_bias": {"1": -5}, "logprobs": 2}),
    ("completions", {"prompt": [[1, 2], [3]], "echo": True, "max_tokens": 0, "guided_choice": ["a", "b"]}),
    ("chat", {"messages": [{"role": "user", "content": [{"type": "text", "text": "é"}]}], "top_logprobs": 1}),
    ("chat", {"messages": [], "response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}),
    ("chat", {"messages": [], "structured_outputs": {"regex": "a+"}, "stream_options": {}}),
    ("generate", {"prompt": "x", "prompt_tokens": [1], "temperature": 1e-9, "priority": -1}),
    ("tokenize", {"prompt": "x", "add_special_tokens": None}),
    ("batch", {"requests": [{"prompt": "x"}, 1, []]}),
]

HTTP = Request({"type": "http", "headers": [(b"x-kvring-tenant", b"ann")], "state": {"request_id": "x"}})


def _completions(body: requests.CompletionRequest) -> None:
    completions.check(body)
    assert completions.asks(body, "cmpl", HTTP)


def _chat(body: requests.ChatCompletionRequest) -> None:
    chat.check(body)
    prompt = turns.conversation(body.messages, body)
    ask = answers.ask(
        body, "chatcmpl", prompt, max_tokens=body.max_tokens, logprobs=None, prompt_logprobs=None, http=HTTP
    )
    assert ask.params.n >= 1


def _batch(body: requests.BatchRequest) -> None:
    for item in body.requests:
        bodies.parse(item, _ITEM)


def _nothing(body: Any) -> None:
    assert body is not None


_ITEM = msgspec.json.Decoder(requests.GenerateRequest)
PARSERS: list[tuple[str, msgspec.json.Decoder[Any], Callable[[Any], None]]] = [
    ("completions", msgspec.json.Decoder(requests.CompletionRequest), _completions),
    ("chat", msgspec.json.Decoder(requests.ChatCompletionRequest), _chat),
    ("generate", _ITEM, lambda body: _nothing(generate.ask(body, HTTP))),
    ("batch", msgspec.json.Decoder(requests.BatchRequest), _batch),
    ("tokenize", msgspec.json.Decoder(requests.TokenizeRequest), _nothing),
    ("detokenize", msgspec.json.Decoder(requests.DetokenizeRequest), _nothing),
]


def one(data: bytes) -> None:
    """The first byte chooses the parser, the rest is the body."""
    if not data:
        return
    _, decoder, take = PARSERS[data[0] % len(PARSERS)]
    refusal = None
    try:
        take(bodies.parse(data[1:], decoder))
    except errors.ApiError as error:
        refusal = error
    if refusal:
        assert refusal.status == 400, refusal.status
        assert refusal.body.error.message
        msgspec.json.encode(refusal.body)


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--seconds", type=arguments.count, default=60, help="default 60")
    parser.add_argument("--seed", type=arguments.count, default=1, help="default 1")
    args = parser.parse_args()
    numbers = {name: number for number, (name, _, _) in enumerate(PARSERS)}
    with tempfile.TemporaryDirectory() as corpus:
        for at, (name, body) in enumerate(SEEDS):
            content = bytes([numbers[name]]) + json.dumps(body).encode()
            (Path(corpus) / f"{at}").write_bytes(content)
        flags = [
            f"-max_total_time={args.seconds}",
            f"-seed={args.seed}",
            "-max_len=2048",
            "-print_final_stats=1",
        ]
        atheris.Setup([sys.argv[0], *flags, corpus], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
