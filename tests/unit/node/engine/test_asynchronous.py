"""The engine shared by the callers of one event loop, on paper: no torch, no model."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from tests.support import paper_engine, poll_async

from kvring_node.engine.asynchronous import AsyncEngine, EngineEnded
from kvring_node.engine.engine import Engine
from kvring_node.messages import FinishReason, SamplingParams

GREEDY = SamplingParams(max_tokens=6, temperature=0, ignore_eos=True)
LONG = SamplingParams(max_tokens=40, temperature=0, ignore_eos=True)


@contextlib.asynccontextmanager
async def shared(
    paper: paper_engine.PaperEngine, max_calls: int = 256
) -> AsyncIterator[tuple[AsyncEngine, Engine]]:
    async with AsyncEngine(paper.engine, max_calls) as engine:
        yield engine, paper.engine


async def test_callers_side_by_side_get_what_each_would_get_alone() -> None:
    prompts = [[seed + 1, 2, 3] for seed in range(12)]
    async with shared(paper_engine.make()) as (engine, _):
        answers = await asyncio.gather(*(engine.generate(prompt, GREEDY) for prompt in prompts))
    alone = [paper_engine.make().engine.generate(prompt, GREEDY) for prompt in prompts]
    assert answers == alone


async def test_pieces_put_together_are_the_whole_answer() -> None:
    async with shared(paper_engine.make()) as (engine, _):
        (whole,) = await engine.generate([5, 6], GREEDY)
        pieces = [piece async for piece in engine.stream([5, 6], GREEDY)]
    assert "".join(piece.text for piece in pieces) == whole.text
    assert pieces[-1].finish_reason is whole.finish_reason is FinishReason.LENGTH


async def test_several_prompts_and_several_answers_keep_their_places() -> None:
    params = SamplingParams(max_tokens=4, temperature=0, ignore_eos=True, n=2)
    async with shared(paper_engine.make()) as (engine, _):
        answers = await engine.generate([[1, 2], [3]], params)
    assert [answer.num_prompt_tokens for answer in answers] == [2, 2, 1, 1]


async def test_a_reader_that_leaves_frees_its_pages() -> None:
    async with shared(paper_engine.make()) as (engine, inner):
        async with contextlib.aclosing(engine.stream([1, 2, 3], LONG)) as pieces:
            await anext(pieces)
        await poll_async.until(lambda: inner.stats().num_pages_used == 0 and not inner.has_work)


async def test_a_cancelled_call_frees_its_pages_and_others_go_on() -> None:
    paper, held, released = paper_engine.make(), threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        assert released.wait(60)

    paper.runner.before_step = hold
    async with shared(paper) as (engine, inner):
        staying = asyncio.create_task(engine.generate([9, 9], LONG))
        leaving = asyncio.create_task(engine.generate([1, 2, 3], LONG))
        await poll_async.until(held.is_set)
        leaving.cancel()
        released.set()
        (answer,) = await staying
        assert len(answer.token_ids) == 40
        with pytest.raises(asyncio.CancelledError):
            await leaving
        await poll_async.until(lambda: inner.stats().num_pages_used == 0)


async def test_a_prompt_that_can_never_run_is_the_callers_error_alone() -> None:
    async with shared(paper_engine.make()) as (engine, _):
        good, bad = await asyncio.gather(
            engine.generate([1], GREEDY), engine.generate([[1], []], GREEDY), return_exceptions=True
        )
    assert isinstance(good, list)
    assert isinstance(bad, ValueError)
    assert "prompt 1: the prompt is empty" in str(bad)


@pytest.mark.parametrize(
    ("prompt", "fields", "complaint"),
    [
        pytest.param([1.5, 2], {}, "prompt 0: send text, or a list of token ids", id="half a token"),
        pytest.param([["a"]], {}, "prompt 0: send text, or a list of token ids", id="words as token ids"),
        pytest.param([[1], None], {}, "prompt 1: send text, or a list of token ids", id="no prompt"),
        pytest.param([1], {"n": None}, r"Expected `int`, got `null` - at `\$\.n`", id="no number of answers"),
        pytest.param([1], {"max_tokens": 2.5}, r"Expected `int`.*max_tokens", id="half a token to come"),
        pytest.param([1], {"temperature": "hot"}, r"Expected `float`.*temperature", id="heat in words"),
        pytest.param([1], {"temperature": object()}, "sampling parameters", id="heat of no known kind"),
        pytest.param(
            [1], {"stop_token_ids": ("x",)}, r"Expected `int`.*stop_token_ids", id="a stop in words"
        ),
        pytest.param([1], {"logit_bias": ((1,),)}, r"logit_bias", id="a bias without its amount"),
        pytest.param([1], {"seed": "1"}, r"Expected `int \| null`.*seed", id="a seed in words"),
    ],
)
async def test_a_call_of_wrong_types_is_its_callers_error_and_the_engine_lives(
    prompt: Any, fields: dict[str, Any], complaint: str
) -> None:
    async with shared(paper_engine.make()) as (engine, _):
        with pytest.raises(ValueError, match=complaint):
            await engine.generate(prompt, SamplingParams(**fields))
        assert len(await engine.generate([1], GREEDY)) == 1


@pytest.mark.parametrize("stop", [[""], [None], ["a", 1]])
async def test_stops_are_strings(stop: Any) -> None:
    async with shared(paper_engine.make()) as (engine, _):
        with pytest.raises(ValueError, match="must be strings, and none of them empty"):
            await engine.generate([1], GREEDY, stop=stop)


async def test_one_stop_string_is_not_a_list_of_its_letters() -> None:
    async with shared(paper_engine.make()) as (engine, _):
        (whole,) = await engine.generate([5, 6], GREEDY)
        first, last = whole.text[0], whole.text[-1]
        (one,) = await engine.generate([5, 6], GREEDY, stop=f"{last}{first}?")
    assert one.text == whole.text


async def test_whole_numbers_of_numpy_are_token_ids() -> None:
    async with shared(paper_engine.make()) as (engine, _):
        expected = await engine.generate([5, 6], GREEDY)
        assert await engine.generate(list(np.array([5, 6])), GREEDY) == expected
        assert await engine.generate([list(np.array([5, 6], np.uint16))], GREEDY) == expected


async def test_calls_beyond_the_bound_wait_outside_the_engine() -> None:
    paper = paper_engine.make()
    async with shared(paper, max_calls=1) as (engine, _):
        await asyncio.gather(*(engine.generate([number + 1, 2, 3], GREEDY) for number in range(20)))
    assert set(paper.runner.batch_tokens) == {3, 1}, "a prompt or a token, never two calls together"


async def test_a_step_that_fails_is_told_to_every_caller_and_to_later_ones() -> None:
    paper = paper_engine.make()

    def fail() -> None:
        raise RuntimeError("out of memory")

    async with shared(paper) as (engine, _):
        paper.runner.before_step = fail
        told = await asyncio.gather(
            *(engine.generate([number + 1], GREEDY) for number in range(3)), return_exceptions=True
        )
        assert [type(error) for error in told] == [EngineEnded] * 3
        with pytest.raises(EngineEnded, match="out of memory"):
            await engine.generate([1], GREEDY)


async def test_closing_ends_the_calls_that_are_open_and_leaves_the_engine_to_whoever_is_next() -> None:
    paper, held, released = paper_engine.make(), threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        assert released.wait(60)

    paper.runner.before_step = hold
    engine = AsyncEngine(paper.engine)
    open_call = asyncio.create_task(engine.generate([1, 2, 3], LONG))
    await poll_async.until(held.is_set)
    closing = asyncio.create_task(engine.close())
    await asyncio.sleep(0)  # closing has begun
    released.set()
    await closing
    with pytest.raises(EngineEnded, match="closed"):
        await open_call
    assert not paper.engine.has_work
    assert paper.engine.stats().num_pages_used == 0
    assert len(paper.engine.generate([1, 2, 3], GREEDY)) == 1


def test_a_loop_that_ends_without_closing_does_not_hang() -> None:
    async def main() -> AsyncEngine:
        engine = AsyncEngine(paper_engine.make().engine)
        await engine.generate([1], GREEDY)
        return engine

    engine = asyncio.run(main())
    engine._thread.join(timeout=60)
    assert not engine._thread.is_alive()
