"""Runs other people's programs; what they complained about becomes part of the failure."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from dev.cluster import layout
from dev.failure import Failure

SHOWN_LINES = 15
PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout_s: float | None = 120,
    remedy: str = "",
) -> str:
    """Runs a command to its end and returns what it printed.

    Raises:
        Failure: the program is missing, took too long or exited with an error; holds the end of its output.
    """
    name = " ".join(str(word) for word in command[:3])
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=past_proxies(os.environ if env is None else env),
            input=stdin,
            timeout=timeout_s,
            text=True,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as missing:
        raise Failure(f"{command[0]} is not installed", remedy) from missing
    except subprocess.TimeoutExpired as late:
        raise Failure(f"`{name} …` did not end within {timeout_s} s", remedy) from late
    if done.returncode != 0:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-SHOWN_LINES:])
        raise Failure(f"`{name} …` exited with {done.returncode}: {said}", remedy)
    return done.stdout


def succeeds(command: Sequence[str | Path], timeout_s: float = 30) -> bool:
    """Whether a command, run for its exit status alone, ends well."""
    try:
        run(command, timeout_s=timeout_s)
    except Failure:
        return False
    return True


def past_proxies(env: Mapping[str, str]) -> dict[str, str]:
    """The same environment, but no proxy in it stands before this host, or the local cluster's addresses."""
    if not any(env.get(name) or env.get(name.upper()) for name in PROXIES):
        return dict(env)
    exceptions = env.get("NO_PROXY") or env.get("no_proxy", "")
    value = ",".join([*filter(None, [exceptions]), "127.0.0.1", *layout.RANGES])
    return {**env, "NO_PROXY": value, "no_proxy": value}
