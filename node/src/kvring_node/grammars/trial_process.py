"""Reads forms, one JSON string a line; writes what is wrong with each, empty when nothing is.

A form that takes too long is cut off by the alarm: nobody handles it, so the process ends even from deep
inside the library.
"""

import json
import resource
import signal
import sys

import llguidance

from kvring_node.grammars import limits


def main() -> None:
    """Answers until standard input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (limits.COMPILE_BYTES, limits.COMPILE_BYTES))
    resource.setrlimit(resource.RLIMIT_STACK, (limits.STACK_BYTES, limits.STACK_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    tokenizer = llguidance.LLTokenizer("byte")
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_REAL, limits.COMPILE_S)
        matcher = llguidance.LLMatcher(tokenizer, json.loads(line), log_level=0, limits=limits.make_limits())
        matcher.compute_bitmask()
        error = matcher.get_error()
        del matcher  # may overflow the stack, too
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.stdout.write(json.dumps(error) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
