"""`python -m kvring_node --model FOLDER`: serve a model over HTTP."""

import os
import signal
import sys

if __name__ == "__main__":
    # Process 1 of a container never hears a signal that it has no handler for, and the imports below take
    # their time: a pod deleted meanwhile would stay for its whole grace.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from kvring_contract import names
from kvring_node import fetch, front, logs, settings, sockets
from kvring_node.model.tokenizer import Tokenizer

ENGINE_COMMAND = (sys.executable, "-m", "kvring_node.engine.process")


def main(
    argv: Sequence[str] | None = None,
    *,
    engine_command: Sequence[str] = ENGINE_COMMAND,
    termination_log: Path = Path(names.TERMINATION_LOG),
) -> None:
    """Serve until a signal; exits with 0, with 1 after a fault, with 2 when it cannot even begin."""
    try:
        code = _serve(sys.argv[1:] if argv is None else argv, engine_command, termination_log)
    except front.Ended as error:
        print(f"kvring_node: {error}", file=sys.stderr)
        error.tell(termination_log)
        code = 2
    sys.stderr.flush()
    os._exit(code)  # a download that was interrupted still has its thread, and it would keep the process


def _serve(argv: Sequence[str], engine_command: Sequence[str], termination_log: Path) -> int:
    try:
        chosen = settings.parse(argv)
    except settings.InvalidSettings as error:
        raise front.Ended("InvalidSettings", str(error)) from error
    logs.configure(chosen.log_level)
    ports = front.Ports(
        engine_command=engine_command,
        load_tokenizer=Tokenizer,
        download=fetch.from_hub(chosen.download_dir),
        wall_clock=time.time,
        monotonic=time.monotonic,
        termination_log=termination_log,
    )
    try:
        return uvloop.run(front.run(chosen, ports))
    except sockets.CannotStart as error:
        raise front.Ended("CannotStart", str(error)) from error


if __name__ == "__main__":
    main()
