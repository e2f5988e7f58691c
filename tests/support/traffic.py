"""Clients that stream completion after completion through a pool's Service, and remember what went wrong."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from tests.support import kube, login, poll, pools

CLIENTS = 2
MAX_TOKENS = 96


@dataclass
class Traffic:
    """What the clients saw: streams that ended well, and how the others failed."""

    num_done: int = 0
    failures: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def flows(self, num_more: int, within_s: float = 60) -> None:
        """Return when so many further streams have ended well; none may fail meanwhile."""
        goal = self.num_done + num_more
        poll.until(
            lambda: (self.num_done, self.failures),
            lambda seen: seen[0] >= goal or seen[1],
            what=f"{goal} streams have ended",
            within_s=within_s,
        )
        assert not self.failures

    def ended(self, failure: str | None) -> None:
        """Count one stream."""
        with self.lock:
            if failure is None:
                self.num_done += 1
            else:
                self.failures.append(failure)


@contextlib.contextmanager
def flowing(pool: pools.Pool, kubeconfig: Path) -> Iterator[Traffic]:
    """Traffic while the block lasts; streams that are open at its end are read to their end."""
    traffic, stop = Traffic(), threading.Event()
    with contextlib.ExitStack() as clients:
        https = [clients.enter_context(login.client(kubeconfig)) for _ in range(CLIENTS)]
        threads = [
            threading.Thread(target=_stream, args=(pool, http, number, traffic, stop))
            for number, http in enumerate(https)
        ]
        for thread in threads:
            thread.start()
        try:
            yield traffic
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def _stream(
    pool: pools.Pool, http: httpx.Client, number: int, traffic: Traffic, stop: threading.Event
) -> None:
    count = 0
    while not stop.is_set():
        count += 1
        try:
            pieces = list(pool.stream(http, f"def client_{number}_{count}(", MAX_TOKENS))
            traffic.ended(None if "".join(pieces) else "an empty completion")
        except (httpx.HTTPError, kube.Refused, pools.BrokenStream) as failure:
            traffic.ended(f"{type(failure).__name__}: {failure}")
