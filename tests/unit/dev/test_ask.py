"""The first prompt of `make run`."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from dev import ask, failure
from dev.target import Target

ANSWER = {"choices": [{"text": "pass"}], "usage": {}}


@contextmanager
def pool(*statuses: int) -> Iterator[tuple[Target, list[int]]]:
    """A cluster whose pool answers with these statuses in turn, and those that it has not used yet."""
    left = list(statuses)

    class Pool(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status = left.pop(0)
            body = json.dumps(ANSWER if status == 200 else {"error": {"message": "no such prompt"}}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Pool) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        proxy = f"echo Starting to serve on 127.0.0.1:{server.server_port}; exec sleep 60"
        try:
            yield Target(("sh", "-c", proxy), ()), left
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("passing", [429, 500, 502, 503, 504])
def test_what_may_pass_is_asked_again(passing: int) -> None:
    with pool(passing, passing, 200) as (cluster, left), ask.door(cluster) as address:
        assert ask.answer(address, "/", "demo") == ANSWER
        assert left == []


@pytest.mark.parametrize("final", [400, 401, 403, 404, 413, 422])
def test_a_refusal_for_good_is_told_at_once_in_the_words_of_who_refuses(final: int) -> None:
    with pool(final, 200) as (cluster, left), ask.door(cluster) as address:
        with pytest.raises(failure.Failure, match=f"HTTP {final}: .*no such prompt"):
            ask.answer(address, "/", "demo")
        assert left == [200]


def test_a_kubectl_that_opens_no_door_is_a_failure() -> None:
    with (
        pytest.raises(failure.Failure, match="kubectl proxy"),
        ask.door(Target(("sh", "-c", "exit 1"), ())) as _,
    ):
        pass
