"""The engine process, its first step fails: `python -m tests.support.failing_engine OPTIONS IN OUT PID`."""

import sys

import msgspec
from tests.support import paper_engine

from kvring_node import logs
from kvring_node.engine import process
from kvring_node.engine.engine import Engine
from kvring_node.engine.options import EngineOptions


def load(_: EngineOptions) -> Engine:
    paper = paper_engine.make()

    def fail() -> None:
        raise RuntimeError("CUDA error: an illegal memory access")

    paper.runner.before_step = fail
    return paper.engine


if __name__ == "__main__":
    logs.configure("info")
    given, inbox, outbox, front = sys.argv[-4:]
    options = msgspec.json.decode(given, type=EngineOptions)
    sys.exit(process.main(options, inbox, outbox, int(front), load))
