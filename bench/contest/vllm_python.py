"""Another interpreter's vLLM: an argument of benches, and what is looked up before anything long begins."""

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench import arguments
from bench.contest.contestant import Absent

HELP = "an interpreter with vLLM 0.32: FOLDER/bin/python after `bench/vllm.sh FOLDER` (for CPUs; 6 GB)"
LOOK = "import vllm; from vllm.platforms import current_platform as p; print(p.device_type, vllm.__version__)"


def version(python: Path, device: str | None = None) -> str:
    """The version of that interpreter's vLLM.

    Raises:
        Absent: it has none, or one for another device than `device`.
    """
    arguments.tell(f"looking for vLLM in {python}")
    # -P: a folder that has an operator.py or http.py must not hide the standard library's
    found = subprocess.run([str(python), "-P", "-c", LOOK], capture_output=True, text=True, check=False)
    words = found.stdout.split()
    if found.returncode or len(words) < 2:
        why = "".join(found.stderr.splitlines()[-1:])
        raise Absent(
            f"{python} cannot import vllm ({why}); `bench/vllm.sh FOLDER` makes an environment that can"
        )
    if device not in (None, words[-2]):
        raise Absent(f"the vLLM of {python} computes on {words[-2] or 'nothing'}, not on {device}")
    return words[-1]


@contextlib.contextmanager
def asked(python: Path, given: Sequence[str]) -> Iterator[Callable[[str], float]]:
    """A program of that interpreter's, which answers each line with a number; it ends with the context.

    An interpreter without vLLM ends the bench.
    """
    try:
        version(python)
    except Absent as error:
        arguments.refuse(str(error))
    with subprocess.Popen(
        [str(python), "-P", *given],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "VLLM_LOGGING_LEVEL": "ERROR"},
        text=True,
        start_new_session=True,  # who interrupts the bench wants no last words of its peer's
    ) as process:
        sink, source = process.stdin, process.stdout
        assert sink is not None
        assert source is not None

        def ask(line: str) -> float:
            with contextlib.suppress(BrokenPipeError):
                print(line, file=sink, flush=True)
            answer = source.readline()
            if not answer:
                arguments.refuse(f"vLLM in {python} has ended; see its words above, and try vLLM 0.32")
            return float(answer)

        try:
            yield ask
        finally:
            process.kill()
            with contextlib.suppress(BrokenPipeError):  # of a line that it did not live to read
                sink.close()
