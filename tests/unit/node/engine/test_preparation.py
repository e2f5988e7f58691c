"""Whoever waits for a form waits alone: steps go on, known forms pass, who leaves is forgotten."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

import numpy as np
import numpy.typing as npt
import pytest
from tests.support import paper_engine, poll_async

from kvring_node.engine.asynchronous import AsyncEngine
from kvring_node.engine.ports import Prepared
from kvring_node.engine.preparation import Preparation
from kvring_node.messages import Grammar, GrammarKind, SamplingParams
from kvring_node.sequence import GrammarState

LONG = SamplingParams(max_tokens=60, temperature=0, ignore_eos=True)


def held_to(text: str) -> SamplingParams:
    form = Grammar(GrammarKind.REGEX, text)
    return SamplingParams(max_tokens=4, temperature=0, ignore_eos=True, grammar=form)


class AnyText:
    """A form that every answer has."""

    is_lost = False

    def bitmask(self) -> npt.NDArray[np.int32]:
        raise AssertionError("the paper runner asks for no mask")

    def accept(self, token_id: int) -> None:
        pass

    def fork(self) -> "AnyText":
        return self


class HeldGrammars:
    """Forms named "slow" take until they are let go; "bad" is refused; "known" is remembered."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.let_go = threading.Event()

    def warm_up(self) -> None:
        raise AssertionError("it is its process that warms an engine up")

    def start(self, grammar: Grammar) -> GrammarState:
        self.begun.append(grammar.text)
        if grammar.text.startswith("slow"):
            assert self.let_go.wait(60)
        if grammar.text == "bad":
            raise ValueError("the regex cannot be used")
        return AnyText()

    def recall(self, grammar: Grammar) -> Prepared | None:
        return AnyText if grammar.text == "known" else None


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[tuple[AsyncEngine, HeldGrammars, paper_engine.PaperEngine]]:
    grammars = HeldGrammars()
    paper = paper_engine.make(grammars=grammars)
    try:
        async with AsyncEngine(paper.engine) as engine:
            yield engine, grammars, paper
    finally:
        grammars.let_go.set()


async def test_others_are_served_from_first_to_last_while_a_form_is_tried() -> None:
    async with serving() as (engine, grammars, _):
        waiting = asyncio.create_task(engine.generate([1, 2], held_to("slow")))
        await poll_async.until(lambda: grammars.begun == ["slow"])

        pieces = [piece async for piece in engine.stream([3, 4], LONG)]

        assert sum(len(piece.token_ids) for piece in pieces) == LONG.max_tokens
        assert not waiting.done()
        grammars.let_go.set()
        (answer,) = await waiting
        assert answer.token_ids == paper_engine.expected([1, 2], 4)


async def test_a_form_that_is_known_passes_those_that_are_tried() -> None:
    async with serving() as (engine, grammars, _):
        waiting = asyncio.create_task(engine.generate([1, 2], held_to("slow")))
        await poll_async.until(lambda: grammars.begun == ["slow"])
        (answer,) = await engine.generate([1, 2], held_to("known"))
        assert len(answer.token_ids) == 4
        assert not waiting.done()
        grammars.let_go.set()
        await waiting


def test_an_idle_loop_is_woken_when_the_form_is_there() -> None:
    woken = threading.Event()
    preparation = Preparation(HeldGrammars(), woken.set)
    form = Grammar(GrammarKind.REGEX, "quick")
    request = paper_engine.submit("one", [1, 2], grammar=form)
    preparation.hold(request, form)
    assert woken.wait(60)
    ((taken, prepared),) = preparation.take()
    assert taken is request
    assert isinstance(prepared(), AnyText)
    assert preparation.take() == []
    preparation.close()


async def test_a_refusal_reaches_its_caller_alone() -> None:
    async with serving() as (engine, _, _paper):
        good, bad = await asyncio.gather(
            engine.generate([1], held_to("good")),
            engine.generate([1], held_to("bad")),
            return_exceptions=True,
        )
    assert not isinstance(good, BaseException)
    assert isinstance(bad, ValueError)
    assert "cannot be used" in str(bad)


async def test_who_leaves_is_forgotten_and_a_form_nobody_waits_for_is_not_begun() -> None:
    async with serving() as (engine, grammars, paper):
        leaving = [asyncio.create_task(engine.generate([1], held_to(f"slow {i}"))) for i in range(5)]
        await poll_async.until(lambda: grammars.begun == ["slow 0"])
        for one in leaving:
            one.cancel()
        for one in leaving:
            with pytest.raises(asyncio.CancelledError):
                await one
        await engine.generate([9], LONG)  # their leaving has arrived before this
        grammars.let_go.set()
        await engine.generate([2], held_to("last"))

        assert grammars.begun == ["slow 0", "last"]
        assert paper.engine.stats().num_pages_used == 0
        assert not paper.engine.has_work
        paper.engine.check()


async def test_an_engine_closes_while_a_form_is_tried() -> None:
    async with serving() as (engine, grammars, _):
        waiting = asyncio.create_task(engine.generate([1, 2], held_to("slow")))
        await poll_async.until(lambda: grammars.begun == ["slow"])
        await engine.close()
        with pytest.raises(RuntimeError, match="closed"):
            await waiting
