"""The loop that turns an engine for others: a process does it for the front, a thread for async callers."""

from collections.abc import Callable, Sequence
from typing import Protocol

from kvring_node.engine.engine import Engine
from kvring_node.engine.ports import Prepared
from kvring_node.engine.preparation import Preparation
from kvring_node.messages import Abort, FromEngine, Grammar, Refused, SamplingParams, Submit, ToEngine

IDLE_MS = 1000
"""How long an engine without work waits for a message before it says that it is there."""


class Mailbox(Protocol):
    """Where requests come from and answers go to."""

    def receive(self, timeout_ms: int) -> Sequence[ToEngine]:
        """All messages that have arrived; waits for the first one at most `timeout_ms`."""
        ...

    def send(self, messages: Sequence[FromEngine]) -> None:
        """Hands messages over; never blocks."""
        ...

    def wake(self) -> None:
        """Has `receive` return at once, this time or the next; from any thread."""
        ...


def serve(engine: Engine, mailbox: Mailbox, wanted: Callable[[], bool]) -> None:
    """Drain the inbox, step, emit, as long as `wanted`; waits without turning when there is nothing to do.

    What a step raises is the engine's fault and ends the loop: its pages may be half written.
    """
    preparation = Preparation(engine.grammars, mailbox.wake)
    try:
        while wanted():
            answers: list[FromEngine] = []
            for message in mailbox.receive(0 if engine.has_work else IDLE_MS):
                match message:
                    case Submit(params=SamplingParams(grammar=None)):
                        answers += _add(engine, message)
                    case Submit(params=SamplingParams(grammar=Grammar() as grammar)):
                        preparation.hold(message, grammar)
                    case Abort():
                        preparation.drop(message.request_id)
                        engine.abort(message.request_id, message.index)
            for request, prepared in preparation.take():
                answers += _add(engine, request, prepared)
            answers += engine.step()
            answers.append(engine.stats())
            mailbox.send(answers)
    finally:
        preparation.close()


def _add(engine: Engine, request: Submit, prepared: Prepared | None = None) -> list[Refused]:
    try:
        refused = engine.add(request, prepared)
    except ValueError as error:  # its id is taken; the others do not pay for it
        refused = Refused(request.request_id, str(error), "request_id")
    return [refused] if refused is not None else []
