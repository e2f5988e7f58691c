"""The engine process over its real sockets: what it says, that it waits without turning, and how it ends."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import zmq
from tests.support import node, poll, tiny_models
from tests.support.engine_front import DEADLINE_MS, Front, engine_command

from kvring_node import sockets
from kvring_node.engine.options import EngineOptions
from kvring_node.engine.process import Mailbox
from kvring_node.messages import (
    Abort,
    FinishReason,
    FromEngine,
    Loaded,
    LoadFailed,
    Refused,
    SamplingParams,
    Stats,
    Submit,
    Tokens,
)

LONG = SamplingParams(max_tokens=400, temperature=0, ignore_eos=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny_models.llama(folder)
    return folder


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Path], Front]]:
    with ExitStack() as stack:
        context: zmq.Context[zmq.Socket[bytes]] = stack.enter_context(zmq.Context())

        def front(folder: Path) -> Front:
            made = Front(context, tmp_path, EngineOptions(model=str(folder), kv_bytes=1 << 20))
            stack.callback(made.close)
            return made

        yield front


def finished(*request_ids: str) -> Callable[[list[FromEngine]], bool]:
    def told(heard: list[FromEngine]) -> bool:
        last = [message for message in heard if isinstance(message, Tokens) and message.finish_reason]
        return {message.request_id for message in last} >= set(request_ids)

    return told


def stats(heard: list[FromEngine]) -> Stats:
    return next(message for message in reversed(heard) if isinstance(message, Stats))


def test_a_conversation(model: Path, start: Callable[[Path], Front]) -> None:
    front = start(model)
    (loaded,) = front.hear()
    assert isinstance(loaded, Loaded)
    assert loaded.max_model_len == 512

    short = SamplingParams(max_tokens=3, temperature=0, ignore_eos=True)
    front.say(Submit("a", [1, 2, 3], short), Submit("b", [4], short), Submit("bad", [], short))
    heard = front.hear_until(finished("a", "b"))
    assert [message.request_id for message in heard if isinstance(message, Refused)] == ["bad"]
    last = [message for message in heard if isinstance(message, Tokens) and message.finish_reason]
    assert {message.finish_reason for message in last} == {FinishReason.LENGTH}
    assert stats(heard).num_pages_used == 0

    front.say(Submit("long", [1], LONG))
    front.hear_until(lambda heard: any(isinstance(message, Tokens) for message in heard))
    front.say(Abort("long"))
    heard = front.hear_until(lambda heard: bool(heard) and stats(heard).num_running == 0)
    assert not finished("long")(heard), "an aborted request is not answered"
    assert stats(heard).num_pages_used == 0

    front.hear_until(lambda heard: len(heard) >= 1)
    before = psutil.Process(front.child.pid).cpu_times()
    front.hear_until(lambda heard: len(heard) >= 2)
    after = psutil.Process(front.child.pid).cpu_times()
    assert (after.user + after.system) - (before.user + before.system) < 0.2, "an idle engine does not turn"

    front.child.terminate()
    assert front.child.wait(timeout=DEADLINE_MS / 1000) == -signal.SIGTERM


def test_a_thread_can_wake_the_loop() -> None:
    with zmq.Context() as context, context.socket(zmq.PULL) as source, context.socket(zmq.PUSH) as sink:
        mailbox = Mailbox(source, sink)
        asleep = threading.Thread(target=mailbox.receive, args=(10 * DEADLINE_MS,), daemon=True)
        asleep.start()
        mailbox.wake()
        asleep.join(DEADLINE_MS / 1000)
        assert not asleep.is_alive()


def test_a_model_that_cannot_be_loaded_is_reported_before_the_end(
    tmp_path: Path, start: Callable[[Path], Front]
) -> None:
    front = start(tmp_path / "nowhere")
    (failed,) = front.hear()
    assert isinstance(failed, LoadFailed)
    assert failed.reason == "ModelNotFound"
    assert front.child.wait(timeout=DEADLINE_MS / 1000) == 1


ORPHANING = """
import os, subprocess, sys
child = subprocess.Popen([*sys.argv[1:], str(os.getpid())])
print(child.pid, flush=True)
sys.stdin.read()
"""


def test_the_engine_does_not_outlive_its_front(model: Path) -> None:
    options = EngineOptions(model=str(model), kv_bytes=1 << 20)
    with (
        sockets.private_folder() as folder,
        zmq.Context() as context,
        context.socket(zmq.PULL) as heard,
    ):
        inbox, outbox = f"ipc://{folder}/to", f"ipc://{folder}/from"
        heard.bind(outbox)
        engine = engine_command(options, inbox, outbox)
        front = subprocess.Popen(
            [sys.executable, "-c", ORPHANING, *engine],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert front.stdout is not None
        child = psutil.Process(int(front.stdout.readline()))
        assert heard.poll(DEADLINE_MS)
        front.kill()
        front.communicate()
        poll.until(lambda: node.has_ended(child), what="the engine's end", within_s=DEADLINE_MS / 1000)


def test_a_front_that_died_while_the_engine_started_leaves_no_engine(model: Path, tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with zmq.Context() as context:
        front = Front(context, tmp_path, EngineOptions(model=str(model), kv_bytes=1 << 20), pid=gone.pid)
        try:
            assert front.child.wait(timeout=DEADLINE_MS / 1000) == 0
        finally:
            front.child.kill()
            front.close()
