"""A stand-in for the engine process that speaks `messages`: it answers a prompt with the prompt, repeated.

`python -m tests.support.fake_engine [--step-s S] [--journal FILE] [--fail WHY] [--babble] OPTIONS IN OUT PID`
The last four are what the front gives to the real one. The journal has one line for each message that came.
"""

import argparse
import itertools
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import zmq

from kvring_node import messages
from kvring_node.engine.options import EngineOptions

MAX_MODEL_LEN = 512
VOCAB = 256


@dataclass
class Echo:
    """One request: what is left of its answer."""

    submit: messages.Submit
    tokens: Iterator[int]
    num_left: int

    def step(self) -> messages.Tokens:
        self.num_left -= 1
        reason = messages.FinishReason.LENGTH if self.num_left == 0 else None
        cached = len(self.submit.prompt_token_ids) // 16 * 16
        return messages.Tokens(
            self.submit.request_id, [next(self.tokens)], cached, reason, is_last=bool(reason)
        )


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--step-s", type=float, default=0.001)
    parser.add_argument("--journal", type=Path, default=Path(os.devnull))
    parser.add_argument("--fail", default="")
    parser.add_argument("--babble", action="store_true", help="answer the first request with a broken frame")
    parser.add_argument("options")
    parser.add_argument("inbox")
    parser.add_argument("outbox")
    parser.add_argument("front", type=int)
    args = parser.parse_args()
    options = msgspec.json.decode(args.options, type=EngineOptions)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with zmq.Context() as context, context.socket(zmq.PULL) as source, context.socket(zmq.PUSH) as sink:
        sink.linger = 1000  # the front may be gone
        source.connect(args.inbox)
        sink.connect(args.outbox)
        encode = msgspec.msgpack.encode
        if args.fail:
            sink.send(encode([messages.LoadFailed(args.fail, "the fake was told to fail; tell it not to")]))
            return 1
        sink.send(encode([_loaded(options)]))
        serve(source, sink, args, args.front)
    return 0


def serve(
    source: "zmq.Socket[bytes]", sink: "zmq.Socket[bytes]", args: argparse.Namespace, parent: int
) -> None:
    decoder = msgspec.msgpack.Decoder(list[messages.ToEngine])
    running: dict[str, Echo] = {}
    num_steps = 0
    with args.journal.open("a", buffering=1) as journal:
        while os.getppid() == parent:
            refused: list[messages.FromEngine] = []
            # The wait stands for the time that a step of the model would take.
            if source.poll(args.step_s * 1000 if running else 1000):
                for message in decoder.decode(source.recv()):
                    print(msgspec.json.encode(message).decode(), file=journal)
                    refused += take(message, running)
            if running and args.babble:
                sink.send(b"\xc1")
            steps = [echo.step() for echo in running.values()]
            num_steps += bool(steps)
            for step in steps:
                if step.finish_reason:
                    del running[step.request_id]
            sink.send(msgspec.msgpack.encode([*refused, *steps, _stats(len(running), num_steps)]))


def take(message: messages.ToEngine, running: dict[str, Echo]) -> list[messages.Refused]:
    match message:
        case messages.Abort():
            running.pop(message.request_id, None)
        case messages.Submit() if max(message.prompt_token_ids) >= VOCAB:
            return [messages.Refused(message.request_id, f"token ids are below {VOCAB}", "prompt")]
        case messages.Submit():
            tokens = itertools.cycle(message.prompt_token_ids)
            running[message.request_id] = Echo(message, tokens, message.params.max_tokens)
    return []


def _loaded(options: EngineOptions) -> messages.Loaded:
    return messages.Loaded(
        fingerprint="0123456789ab",
        device="cpu",
        dtype="float32",
        max_model_len=options.max_model_len or MAX_MODEL_LEN,
        page_tokens=options.page_tokens,
        num_pages=100,
        page_bytes=4096,
    )


def _stats(num_running: int, num_steps: int) -> messages.Stats:
    return messages.Stats(
        num_running=num_running,
        num_waiting=0,
        num_pages_used=num_running,
        num_pages_cached=0,
        num_preemptions=0,
        prefix_queries_tokens=0,
        prefix_hits_tokens=0,
        num_steps=num_steps,
    )


if __name__ == "__main__":
    sys.exit(main())
