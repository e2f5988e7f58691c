"""Reads forms, one JSON string a line; writes what is wrong with each, empty when nothing is.

A form that takes too long is cut off by a signal: nobody handles it, so the process ends even from deep
inside the library. Its own time counts, not the clock's: the verdict is the same on a busy machine.
"""

import json
import os
import resource
import signal
import sys

import llguidance

from kvring_node.grammars import limits


def main() -> None:
    """Answers until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C may go to the whole group; the engine ends us
    os.nice(limits.TRIAL_NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (limits.COMPILE_BYTES, limits.COMPILE_BYTES))
    resource.setrlimit(resource.RLIMIT_STACK, (limits.STACK_BYTES, limits.STACK_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    tokenizer = llguidance.LLTokenizer("byte")
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, limits.COMPILE_S)
        matcher = llguidance.LLMatcher(tokenizer, json.loads(line), log_level=0, limits=limits.make_limits())
        matcher.compute_bitmask()
        error = matcher.get_error()
        del matcher  # may overflow the stack, too
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.stdout.write(json.dumps(error) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
