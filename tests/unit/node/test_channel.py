"""The front's end of the streets to the engine, with a plain ZeroMQ peer at the other one."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
import zmq
import zmq.asyncio

from kvring_node import messages, sockets
from kvring_node.channel import EngineChannel, EngineGone

ENDS = messages.FinishReason.LENGTH


@dataclass
class Streets:
    """A channel that listens, the far ends of both streets, and a clock that stands."""

    channel: EngineChannel
    inbox: "zmq.asyncio.Socket"
    outbox: "zmq.asyncio.Socket"
    now: list[float]

    async def told(self) -> list[messages.ToEngine]:
        """The next frame that the engine gets."""
        frame = await asyncio.wait_for(self.inbox.recv(), 60)
        return msgspec.msgpack.decode(frame, type=list[messages.ToEngine])

    async def say(self, *answers: messages.FromEngine) -> None:
        """One frame from the engine; returns when the channel has read it."""
        num_steps = self.channel.stats.num_steps + 1
        stats = msgspec.structs.replace(self.channel.stats, num_steps=num_steps)
        await self.outbox.send(msgspec.msgpack.encode([*answers, stats]))
        async with asyncio.timeout(60):
            while self.channel.stats.num_steps != num_steps:  # noqa: ASYNC110  # its statistics are no event
                await asyncio.sleep(0)


@pytest_asyncio.fixture
async def streets() -> AsyncIterator[Streets]:
    now = [100.0]
    folder = sockets.private_folder()
    channel = EngineChannel(Path(folder.name), lambda: now[0], lambda stats: None)
    listening = asyncio.ensure_future(channel.listen())
    with (
        folder,
        zmq.asyncio.Context() as context,
        context.socket(zmq.PULL) as inbox,
        context.socket(zmq.PUSH) as outbox,
    ):
        inbox.connect(channel.addresses[0])
        outbox.connect(channel.addresses[1])
        outbox.linger = 0
        yield Streets(channel, inbox, outbox, now)
    listening.cancel()
    await asyncio.wait((listening,))
    channel.close()


def submit(name: str) -> messages.Submit:
    return messages.Submit(name, [1, 2], messages.SamplingParams(max_tokens=3))


def tokens(name: str, *ids: int, reason: messages.FinishReason | None = None) -> messages.Tokens:
    return messages.Tokens(name, [*ids], 0, reason, is_last=reason is not None)


async def test_what_is_posted_in_one_turn_travels_in_one_frame(streets: Streets) -> None:
    await streets.say()  # the streets are open
    streets.channel.submit(submit("a"))
    streets.channel.submit(submit("b"))
    streets.channel.abort("a")

    assert await streets.told() == [submit("a"), submit("b"), messages.Abort("a")]


async def test_a_slow_reader_gets_all_at_once_with_the_moments_they_came(streets: Streets) -> None:
    mailbox = streets.channel.submit(submit("a"))
    await streets.say(tokens("a", 5))
    streets.now[0] = 101.5
    await streets.say(tokens("a", 6), tokens("b", 9))
    streets.now[0] = 200.0

    assert await mailbox.take() == [(100.0, tokens("a", 5)), (101.5, tokens("a", 6))]


async def test_who_wants_all_sleeps_until_the_last(streets: Streets) -> None:
    mailbox = streets.channel.submit(submit("a"))
    reading = asyncio.ensure_future(mailbox.take(wants_all=True))
    await streets.say(tokens("a", 5))
    await streets.say(tokens("a", 6))
    assert not reading.done()

    await streets.say(tokens("a", 7, reason=ENDS))

    assert [answer for _, answer in await reading] == [
        tokens("a", 5),
        tokens("a", 6),
        tokens("a", 7, reason=ENDS),
    ]


async def test_nothing_is_said_about_a_request_that_ended(streets: Streets) -> None:
    await streets.say()
    streets.channel.submit(submit("a"))
    assert await streets.told() == [submit("a")]
    await streets.say(tokens("a", 5, reason=ENDS))

    streets.channel.abort("a")
    streets.channel.submit(submit("b"))

    assert await streets.told() == [submit("b")]


async def test_answers_to_an_aborted_request_are_dropped(streets: Streets) -> None:
    mailbox = streets.channel.submit(submit("a"))
    streets.channel.abort("a")
    await streets.say(tokens("a", 5))
    streets.channel.fail(EngineGone("over"))

    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(mailbox.take(), 0.01)


@pytest.mark.parametrize("wants_all", [False, True])
async def test_a_dead_engine_reaches_every_reader(streets: Streets, wants_all: bool) -> None:
    waiting = streets.channel.submit(submit("a"))
    reading = asyncio.ensure_future(waiting.take(wants_all=wants_all))
    await streets.say()

    streets.channel.fail(EngineGone("killed"))

    with pytest.raises(EngineGone, match="killed"):
        await reading
    with pytest.raises(EngineGone, match="killed"):
        streets.channel.submit(submit("b"))


async def test_what_came_before_the_death_is_still_read(streets: Streets) -> None:
    mailbox = streets.channel.submit(submit("a"))
    await streets.say(tokens("a", 5))
    streets.channel.fail(EngineGone("killed"))

    assert [answer for _, answer in await mailbox.take()] == [tokens("a", 5)]
    with pytest.raises(EngineGone):
        await mailbox.take()


async def test_news_of_the_model_come_once(streets: Streets) -> None:
    failed = messages.LoadFailed("ModelCorrupt", "fetch it again")
    await streets.say(failed)

    assert await streets.channel.news == failed
