"""Clients of every kind, well behaved and not, for a node that serves strangers: one call, one outcome.

Each is a coroutine function of a session, the node's address and a seeded generator; it raises
`AssertionError` when the node answers what it must not.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp

Client = Callable[[aiohttp.ClientSession, str, random.Random], Awaitable[None]]

WORDS = ("def f(x):", "import os\n", "été ", "漢字🎈", "a" * 40, "once upon a time ")
OK = {200}
REFUSED = {400, 404, 413}


async def post(
    session: aiohttp.ClientSession, url: str, body: Any, expected: set[int], **given: Any
) -> bytes:
    async with session.post(url, json=body, **given) as answer:
        content = await answer.read()
        assert answer.status in expected, f"{url} {body} -> {answer.status} {content[:300]!r}"
        assert answer.headers["x-request-id"]
        return content


def prompt(rng: random.Random) -> str:
    return "".join(rng.choices(WORDS, k=rng.randint(1, 6)))


def sampled(rng: random.Random) -> dict[str, Any]:
    """Parameters by chance, all of them good."""
    choices: dict[str, Any] = {
        "temperature": rng.choice([0, 0.7, 1.5]),
        "top_k": rng.choice([-1, 1, 20]),
        "top_p": rng.choice([0.3, 1]),
        "min_p": rng.choice([0, 0.2]),
        "repetition_penalty": rng.choice([1, 1.3]),
        "presence_penalty": rng.choice([-1, 0, 1]),
        "frequency_penalty": rng.choice([0, 0.5]),
        "logit_bias": {str(rng.randrange(256)): rng.uniform(-5, 5)},
        "seed": rng.randrange(3),
        "stop": rng.choice([None, "a", ["é", "zz"]]),
        "stop_token_ids": [rng.randrange(256)],
        "ignore_eos": rng.random() < 0.5,
        "priority": rng.randint(-2, 2),
        "user": rng.choice(["ann", "bob"]),
        "n": rng.choice([1, 1, 2, 4]),
    }
    kept = rng.sample(sorted(choices), rng.randint(0, 5))
    return {"max_tokens": rng.randint(1, 12), **{name: choices[name] for name in kept}}


async def whole(session: aiohttp.ClientSession, url: str, rng: random.Random) -> None:
    fields = {"logprobs": rng.choice([None, 0, 3]), "echo": rng.random() < 0.2}
    body = {"prompt": prompt(rng), **sampled(rng), **fields}
    await post(session, f"{url}/v1/completions", body, OK)


async def several(session: aiohttp.ClientSession, url: str, rng: random.Random) -> None:
    body = {"prompt": [prompt(rng) for _ in range(rng.randint(2, 4))], **sampled(rng)}
    await post(session, f"{url}/v1/completions", body, OK)


async def streamed(session: aiohttp.ClientSession, url: str, rng: random.Random) -> None:
    body = {"prompt": prompt(rng), **sampled(rng), "stream": True, "logprobs": rng.choice([None, 2])}
    content = await post(session, f"{url}/v1/completions", body, OK)
    assert content.endswith(b"data: [DONE]\n\n")
    assert b'"error"' not in content


async def chat(session: aiohttp.ClientSession, url: str, rng: random.Random) -> None:
    turns = [{"role": "user", "content": prompt(rng)}]
    body = {"messages": turns, **sampled(rng), "stream": rng.random() < 0.5}
    await post(session, f"{url}/v1/chat/completions", body, OK)


async def formed(session: aiohttp.ClientSession, url: str, rng: random.Random) -> None:
    forms: list[dict[str, Any]] = [
        {"guided_choice": ["yes", "no"]},
        {"guided_regex": "[ab]{1,9}"},
        {"guided_json": {}},
    ]
    body = {"prompt": prompt(rng), **rng.choice(forms), "max_tokens": 12, "n": rng.choice([1, 2])}
    await post(session, f"{url}/v1/completions", body, OK)


async def batch(session: aiohttp.ClientSession, url: str, rng: random.Random) -> None:
    wishes = [{"prompt": prompt(rng), "max_tokens": rng.choice([-1, 2, 5])} for _ in range(3)]
    await post(session, f"{url}/v1/batch", {"requests": wishes}, OK)


async def tokens(session: aiohttp.ClientSession, url: str, rng: random.Random) -> None:
    await post(session, f"{url}/tokenize", {"prompt": prompt(rng)}, OK)
    await post(session, f"{url}/detokenize", {"tokens": [rng.randrange(400)]}, OK)


async def watched(session: aiohttp.ClientSession, url: str, rng: random.Random) -> None:
    path = rng.choice(["/metrics", "/v1/metrics", "/health", "/ready", "/v1/models", "/openapi.json"])
    async with session.request(rng.choice(["GET", "HEAD"]), url + path) as answer:
        assert answer.status == 200
        await answer.read()


async def wrong(session: aiohttp.ClientSession, url: str, rng: random.Random) -> None:
    path, body = rng.choice(
        [
            ("/v1/completions", {"prompt": ""}),
            ("/v1/completions", {"prompt": [10**6]}),
            ("/v1/completions", {"prompt": ["fine", "x" * 600]}),
            ("/v1/completions", {"prompt": "x", "n": 0}),
            ("/v1/completions", {"prompt": "x", "model": "another"}),
            ("/v1/completions", {"prompt": "x", "guided_regex": "("}),
            ("/v1/completions", {"prompt": "x", "logit_bias": {"299999": 1}}),
            ("/v1/chat/completions", {"messages": []}),
            ("/v1/generate", {}),
            ("/tokenize", {}),
            ("/nowhere", {}),
        ]
    )
    await post(session, url + path, body, REFUSED)


async def garbage(session: aiohttp.ClientSession, url: str, rng: random.Random) -> None:
    content = rng.choice([b"", b'{"prompt": ', b"\xff\xfe", b"[" * 5000, rng.randbytes(64)])
    async with session.post(f"{url}/v1/completions", data=content) as answer:
        assert answer.status == 400, await answer.text()


async def left_while_waiting(session: aiohttp.ClientSession, url: str, rng: random.Random) -> None:
    body = {"prompt": prompt(rng), "max_tokens": 200, "ignore_eos": True, "n": rng.choice([1, 3])}
    try:
        async with asyncio.timeout(rng.uniform(0.001, 0.1)):
            await post(session, f"{url}/v1/completions", body, OK)
    except TimeoutError:
        pass


async def left_while_reading(session: aiohttp.ClientSession, url: str, rng: random.Random) -> None:
    body = {"prompt": prompt(rng), "max_tokens": 200, "ignore_eos": True, "stream": True}
    async with session.post(f"{url}/v1/completions", json=body) as answer:
        assert answer.status == 200
        for _ in range(rng.randint(0, 5)):
            await answer.content.readline()
        answer.close()


async def left_while_asking(_session: aiohttp.ClientSession, url: str, rng: random.Random) -> None:
    address = urlsplit(url)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    said = b'POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{"prompt": "abc"'
    writer.write(said[: rng.randint(1, len(said))])
    await writer.drain()
    writer.close()
    await writer.wait_closed()


CLIENTS: dict[Client, int] = {
    whole: 26,
    formed: 4,
    several: 5,
    streamed: 15,
    chat: 12,
    batch: 4,
    tokens: 4,
    watched: 2,
    wrong: 8,
    garbage: 5,
    left_while_waiting: 6,
    left_while_reading: 6,
    left_while_asking: 3,
}
"""How often each comes, in a hundred."""
