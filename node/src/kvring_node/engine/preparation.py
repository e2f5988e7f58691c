"""Requests whose form is not ready yet: a thread prepares one form after another, and no step waits for it.

The library lets go of the interpreter while it compiles, so the loop that turns the engine goes on meanwhile.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from kvring_node.engine.ports import Grammars, Prepared
from kvring_node.messages import Grammar, Submit
from kvring_node.sequence import GrammarState


class Preparation:
    """Called by one loop. Forms that are known pass those that are not."""

    def __init__(self, grammars: Grammars, wake: Callable[[], None]) -> None:
        """`wake` is called, from any thread, when there is something to take."""
        self._grammars = grammars
        self._wake = wake
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kvring-forms")
        self._ready: list[tuple[Submit, Prepared]] = []
        self._held: deque[tuple[Submit, Future[GrammarState]]] = deque()

    def hold(self, request: Submit, grammar: Grammar) -> None:
        """Keeps the request until its form is ready."""
        prepared = self._grammars.recall(grammar)
        if prepared:
            self._ready.append((request, prepared))
        else:
            future = self._thread.submit(self._grammars.start, grammar)
            self._held.append((request, future))
            future.add_done_callback(lambda _: self._wake())

    def drop(self, request_id: str) -> None:
        """Forgets a request; what its form has begun to be is finished for others."""
        for request, future in self._held:
            if request.request_id == request_id:
                future.cancel()
        self._held = deque(held for held in self._held if held[0].request_id != request_id)
        self._ready = [one for one in self._ready if one[0].request_id != request_id]

    def take(self) -> list[tuple[Submit, Prepared]]:
        """Requests whose form is ready, or refused."""
        while self._held and self._held[0][1].done():
            request, future = self._held.popleft()
            self._ready.append((request, future.result))
        taken, self._ready = self._ready, []
        return taken

    def close(self) -> None:
        """Forgets all; the thread ends after the form that it is at."""
        self._thread.shutdown(wait=False, cancel_futures=True)
