"""Requests in flight: which sequences answer them, and who else listens to the same answer.

A request for one answer that follows from its content (greedy, or with a seed) joins an identical one that
is in flight: one run answers both, and whoever comes later gets at once what the run has said so far.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from kvring_node.engine.scheduler import Advance
from kvring_node.messages import SamplingParams, Submit, Tokens
from kvring_node.sequence import Phase, Sequence


@dataclass(frozen=True, slots=True)
class Key:
    """Requests of equal keys get equal answers, and would have waited in the same place."""

    prompt_token_ids: tuple[int, ...]
    params: SamplingParams
    priority: int
    tenant: str
    deadline_s: float | None


@dataclass(slots=True, eq=False)
class Run:
    """One computation, and the requests that it answers; `num_open` answers have not ended for them."""

    sequences: list[Sequence]
    listeners: list[str]
    key: Key | None
    num_open: int


class InFlight:
    """All runs, by request and by sequence."""

    def __init__(self) -> None:
        self._by_request: dict[str, Run] = {}
        self._by_sequence: dict[Sequence, Run] = {}
        self._by_key: dict[Key, Run] = {}
        self.num_coalesced = 0

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._by_request

    @property
    def request_ids(self) -> list[str]:
        """Requests that have not ended."""
        return list(self._by_request)

    def join(self, request: Submit) -> Tokens | None:
        """Listens to an identical run: what it has said so far. None: there is none."""
        key = _key(request)
        run = self._by_key.get(key) if key else None
        if run is None:
            return None
        self._by_request[request.request_id] = run
        run.listeners.append(request.request_id)
        self.num_coalesced += 1
        (sequence,) = run.sequences
        return _message(sequence, request.request_id, sequence.token_ids[sequence.num_prompt_tokens :])

    def start(self, request: Submit, sequences: list[Sequence]) -> None:
        """A new run for this request."""
        run = Run(sequences, [request.request_id], _key(request), len(sequences))
        self._by_request[request.request_id] = run
        for sequence in sequences:
            self._by_sequence[sequence] = run
        if run.key:
            self._by_key[run.key] = run

    def leave(self, request_id: str, index: int | None = None) -> list[Sequence]:
        """A request is gone, or waits for this answer no more: the sequences that nobody waits for now.

        An unknown one has ended already.
        """
        run = self._by_request.get(request_id)
        if run is None:
            return []
        if index is not None:
            sequence = run.sequences[index]
            if sequence.phase is Phase.FINISHED:
                return []
            if run.num_open > 1:
                run.num_open -= 1
                return [sequence]
        del self._by_request[request_id]
        run.listeners.remove(request_id)
        if run.listeners:
            return []
        self._forget(run)
        return [sequence for sequence in run.sequences if sequence.phase is not Phase.FINISHED]

    def tell(self, advance: Advance) -> Iterator[Tokens]:
        """What a step added to an answer, for each request that listens to it."""
        sequence = advance.sequence
        run = self._by_sequence[sequence]
        if advance.finish_reason is not None:
            run.num_open -= 1
        is_last = run.num_open == 0
        for request_id in run.listeners:
            message = _message(sequence, request_id, [advance.token_id])
            message.finish_reason, message.is_last = advance.finish_reason, is_last
            if advance.logprobs is not None:
                message.logprobs = [advance.logprobs]
            wants_scores = sequence.params.prompt_logprobs is not None
            if wants_scores and sequence.index == 0 and sequence.num_generated == 1:
                message.prompt_logprobs = sequence.prompt_logprobs
            yield message
        if is_last:
            for request_id in run.listeners:
                del self._by_request[request_id]
            self._forget(run)

    def _forget(self, run: Run) -> None:
        for sequence in run.sequences:
            del self._by_sequence[sequence]
        if run.key:
            del self._by_key[run.key]


def _key(request: Submit) -> Key | None:
    params = request.params
    is_certain = params.temperature == 0 or params.seed is not None
    asks_more = params.n > 1 or params.logprobs is not None or params.prompt_logprobs is not None
    if not is_certain or asks_more:
        return None
    return Key(tuple(request.prompt_token_ids), params, request.priority, request.tenant, request.deadline_s)


def _message(sequence: Sequence, request_id: str, token_ids: list[int]) -> Tokens:
    return Tokens(
        request_id=request_id,
        token_ids=token_ids,
        num_cached_tokens=sequence.num_cached_tokens or 0,
        index=sequence.index,
        first_scheduled_at=sequence.first_scheduled_at or 0.0,
    )
