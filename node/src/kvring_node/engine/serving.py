"""The loop that turns an engine for others: a process does it for the front, a thread for async callers."""

from collections.abc import Callable, Sequence
from typing import Protocol

from kvring_node.engine.engine import Engine
from kvring_node.messages import Abort, FromEngine, Refused, Submit, ToEngine

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


def serve(engine: Engine, mailbox: Mailbox, wanted: Callable[[], bool]) -> None:
    """Drain the inbox, step, emit, as long as `wanted`; waits without turning when there is nothing to do.

    What a step raises is the engine's fault and ends the loop: its pages may be half written.
    """
    while wanted():
        answers: list[FromEngine] = []
        for message in mailbox.receive(0 if engine.has_work else IDLE_MS):
            match message:
                case Submit():
                    refused = _add(engine, message)
                    if refused is not None:
                        answers.append(refused)
                case Abort():
                    engine.abort(message.request_id)
        answers += engine.step()
        answers.append(engine.stats())
        mailbox.send(answers)


def _add(engine: Engine, request: Submit) -> Refused | None:
    try:
        return engine.add(request)
    except ValueError as error:  # its id is taken; the others do not pay for it
        return Refused(request.request_id, str(error), "request_id")
