"""What an ended request took and gave: metrics, log and trace are three readers of the same account."""

from dataclasses import dataclass

from kvring_node.messages import Submit


@dataclass(frozen=True)
class Origin:
    """The HTTP request that brought it: what its client calls it, and its headers of W3C Trace Context."""

    request_id: str
    trace: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Account:
    """Moments are seconds of the monotonic clock, the same in front and engine; None: it never came so far.

    Attributes:
        origin: who asked.
        submit: the request.
        reason: a FinishReason, or "error".
        arrived_at: when it was handed to the engine.
        scheduled_at: when it first ran. One that joined another's run ran from its arrival on.
        first_token_at: when its first token came.
        last_token_at: when its last token came.
        ended_at: when nobody read any more.
        num_cached_tokens: tokens of the prompt that were found computed.
        answer_tokens: how many tokens each of its answers has.
    """

    origin: Origin
    submit: Submit
    reason: str
    arrived_at: float
    scheduled_at: float | None
    first_token_at: float | None
    last_token_at: float | None
    ended_at: float
    num_cached_tokens: int
    answer_tokens: list[int]

    @property
    def num_prompt_tokens(self) -> int:
        """Of the prompt, which all its answers share."""
        return len(self.submit.prompt_token_ids)

    @property
    def num_tokens(self) -> int:
        """Of all its answers."""
        return sum(self.answer_tokens)

    @property
    def queue_s(self) -> float | None:
        """From arrival until it ran."""
        return _between(self.arrived_at, self.scheduled_at)

    @property
    def prefill_s(self) -> float | None:
        """From when it ran until its first token."""
        return _between(self.scheduled_at, self.first_token_at)

    @property
    def decode_s(self) -> float | None:
        """From its first to its last token."""
        return _between(self.first_token_at, self.last_token_at)

    @property
    def inference_s(self) -> float | None:
        """From when it ran until its last token."""
        return _between(self.scheduled_at, self.last_token_at)

    @property
    def first_token_s(self) -> float | None:
        """From arrival until its first token."""
        return _between(self.arrived_at, self.first_token_at)

    @property
    def total_s(self) -> float:
        """From arrival to its end."""
        return self.ended_at - self.arrived_at


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else max(0.0, end - start)
