"""A stand-in for the engine process that speaks `messages`: it answers a prompt with the prompt, repeated.

Answer number i of `n` begins with the prompt's token i. Every token has the log probability -0.5, and its
followers in the vocabulary one less each. A grammar that is empty is refused, any other is not looked at.
`python -m tests.support.fake_engine FLAGS OPTIONS IN OUT PID`: the last four are what the front gives to the
real one. The journal has one line for each message that came.
"""

import argparse
import itertools
import os
import sys
from pathlib import Path

import msgspec
import zmq

from kvring_node import messages
from kvring_node.engine.options import EngineOptions
from kvring_node.model import generation_config

MAX_MODEL_LEN = 512
VOCAB = 256


class Echo:
    """One request: its answers in the making."""

    def __init__(self, submit: messages.Submit) -> None:
        self.submit = submit
        prompt = submit.prompt_token_ids
        self.answers = {
            index: itertools.islice(itertools.cycle(prompt), index, None) for index in range(submit.params.n)
        }
        self.num_said = 0

    def step(self) -> list[messages.Tokens]:
        """The next token of each answer that has not ended."""
        self.num_said += 1
        said = [self._tokens(index, next(tokens)) for index, tokens in self.answers.items()]
        for one in said:
            if one.finish_reason:
                del self.answers[one.index]
        said[-1].is_last = not self.answers
        if self.num_said == 1 and self.submit.params.prompt_logprobs is not None:
            num_top = self.submit.params.prompt_logprobs
            said[0].prompt_logprobs = [_scored(i, num_top) for i in self.submit.prompt_token_ids[1:]]
        return said

    def _tokens(self, index: int, token_id: int) -> messages.Tokens:
        params = self.submit.params
        stops = token_id in params.stop_token_ids and self.num_said > params.min_tokens
        reason = messages.FinishReason.LENGTH if self.num_said == params.max_tokens else None
        return messages.Tokens(
            self.submit.request_id,
            [token_id],
            num_cached_tokens=len(self.submit.prompt_token_ids) // 16 * 16,
            finish_reason=messages.FinishReason.STOP if stops else reason,
            index=index,
            logprobs=None if params.logprobs is None else [_scored(token_id, params.logprobs)],
        )


def _scored(token_id: int, num_top: int) -> messages.TokenLogprobs:
    top = [((token_id + rank) % VOCAB, -0.5 - rank) for rank in range(num_top)]
    return messages.TokenLogprobs(token_id, -0.5, 1, top)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--step-s", type=float, default=0.001)
    parser.add_argument("--journal", type=Path, default=Path(os.devnull))
    parser.add_argument("--fail", default="")
    parser.add_argument("--never-load", action="store_true")
    parser.add_argument("--babble", action="store_true", help="answer the first request with a broken frame")
    parser.add_argument("--vocab", type=int, default=VOCAB, help="token ids above are refused")
    parser.add_argument("options")
    parser.add_argument("inbox")
    parser.add_argument("outbox")
    parser.add_argument("front", type=int)
    args = parser.parse_args()
    options = msgspec.json.decode(args.options, type=EngineOptions)
    with zmq.Context() as context, context.socket(zmq.PULL) as source, context.socket(zmq.PUSH) as sink:
        sink.linger = 1000  # the front may be gone
        source.connect(args.inbox)
        sink.connect(args.outbox)
        encode = msgspec.msgpack.encode
        if args.fail:
            sink.send(encode([messages.LoadFailed(args.fail, "the fake was told to fail; tell it not to")]))
            return 1
        while args.never_load and os.getppid() == args.front:
            source.poll(1000)
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
                    refused += take(message, running, args.vocab)
            if running and args.babble:
                sink.send(b"\xc1")
            steps = [one for echo in running.values() for one in echo.step()]
            num_steps += bool(steps)
            for step in steps:
                if step.is_last:
                    del running[step.request_id]
            sink.send(msgspec.msgpack.encode([*refused, *steps, _stats(len(running), num_steps)]))


def take(message: messages.ToEngine, running: dict[str, Echo], vocab: int) -> list[messages.Refused]:
    match message:
        case messages.Abort(request_id=name, index=None):
            running.pop(name, None)
        case messages.Abort(request_id=name, index=int(index)) if name in running:
            running[name].answers.pop(index, None)
            if not running[name].answers:
                del running[name]
        case messages.Submit() if max(message.prompt_token_ids) >= vocab:
            return [messages.Refused(message.request_id, f"token ids are below {vocab}", "prompt")]
        case messages.Submit() if message.params.grammar and not message.params.grammar.text:
            return [messages.Refused(message.request_id, "the grammar is empty", "grammar")]
        case messages.Submit():
            running[message.request_id] = Echo(message)
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
        sampling=generation_config.sampling_defaults(Path(options.model)),
    )


def _stats(num_running: int, num_steps: int) -> messages.Stats:
    return messages.Stats(num_running=num_running, num_pages_used=num_running, num_steps=num_steps)


if __name__ == "__main__":
    sys.exit(main())
