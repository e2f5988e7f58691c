"""Contestants over HTTP: our node and vLLM's OpenAI server, each a process tree of its own on 127.0.0.1."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from bench.contest.contestant import Absent
from bench.contest.workload import Answers, Request

START_S = 300.0


class Served:
    """A server, and a client that asks everything at once.

    It is suspended while others have their turn: a server that looks for work without rest would slow them.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str], log: Path, stream: bool):
        """Starts the server and waits for it. `command` ends with the flag that takes its model's name.

        Raises:
            Absent: it does not start.
        """
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        self._model = f"bench-{os.getpid()}-{port}"
        self._url = f"http://127.0.0.1:{port}"
        self._stream = stream
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [*command, self._model, "--port", port],
                env={**os.environ, **env},
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self._log = log
        try:
            self._wait_ready()
        except BaseException:
            self.close()
            raise
        self.cached_tokens = 0
        self._signal(signal.SIGSTOP)

    def __call__(self, requests: Sequence[Request]) -> Answers:
        """Greedy, never ending early."""
        self._signal(signal.SIGCONT)
        try:
            return asyncio.run(self._ask_all(requests))
        except aiohttp.ClientError as error:
            raise Absent(f"the server failed: {error!r}\n{self._last_words()}") from error
        finally:
            self._signal(signal.SIGSTOP)

    def cpu_s(self) -> float:
        """Processor time of the server's processes so far."""
        times = [process.cpu_times() for process in self._family()]
        return sum(used.user + used.system for used in times)

    def close(self) -> None:
        """Ends the server and all that it has started."""
        if self._process.poll() is None:
            self._signal(signal.SIGCONT)
            self._signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):  # who interrupts twice is in a hurry
                self._signal(signal.SIGKILL)
                self._process.wait()

    def _family(self) -> list[psutil.Process]:
        root = psutil.Process(self._process.pid)
        return [root, *root.children(recursive=True)]

    def _signal(self, number: signal.Signals) -> None:
        """To all its processes, which need not be of one group."""
        for process in self._family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    async def _ask_all(self, requests: Sequence[Request]) -> Answers:
        timeout = aiohttp.ClientTimeout(total=None)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            return await asyncio.gather(*(self._ask(session, request) for request in requests))

    async def _ask(self, session: aiohttp.ClientSession, request: Request) -> list[int]:
        body = {
            "model": self._model,
            "prompt": request.prompt,
            "max_tokens": request.max_tokens,
            "temperature": 0,
            "repetition_penalty": 1.0,  # a model's generation_config.json may advise another
            "ignore_eos": True,
            "return_token_ids": True,
            "stream": self._stream,
        }
        async with session.post(f"{self._url}/v1/completions", json=body) as response:
            if response.status != 200:
                raise Absent(f"the server refused a request: {await response.text()}")
            if not self._stream:
                return self._token_ids(await response.json())
            token_ids: list[int] = []
            async for line in response.content:
                if line.startswith(b"data: {"):
                    token_ids += self._token_ids(json.loads(line[6:]))
            return token_ids

    def _token_ids(self, answer: Any) -> list[int]:
        details = (answer.get("usage") or {}).get("prompt_tokens_details") or {}
        self.cached_tokens += details.get("cached_tokens") or 0
        return [token_id for choice in answer["choices"] for token_id in choice["token_ids"] or ()]

    def _wait_ready(self) -> None:
        """The name tells it from a stranger that took the port meanwhile."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise Absent(f"the server ended:\n{self._last_words()}")
            try:
                with urllib.request.urlopen(f"{self._url}/v1/models", timeout=5) as response:
                    names = [model["id"] for model in json.load(response)["data"]]
            except (urllib.error.URLError, OSError):
                names = []
            if self._model in names:
                return
            time.sleep(0.2)
        raise Absent(f"the server is not ready after {START_S:.0f} s:\n{self._last_words()}")

    def _last_words(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]


@dataclass(frozen=True)
class Conditions:
    """What both servers are told alike. `longest`: tokens of prompt and answer together."""

    folder: Path
    device: str
    num_threads: int
    max_num_sequences: int
    max_batch_tokens: int
    cache_bytes: int
    num_requests: int
    longest: int
    stream: bool


def node(given: Conditions, log: Path) -> Served:
    """Our node as users start it; it is long silent while it is suspended, and takes all requests at once."""
    flags = {
        "model": given.folder,
        "device": given.device,
        "dtype": "float32",
        "num-threads": given.num_threads,
        "max-sequences": given.max_num_sequences,
        "max-batch-tokens": given.max_batch_tokens,
        "cache-bytes": given.cache_bytes,
        "max-waiting": given.num_requests,
        "max-body-bytes": "1Gi",
        "max-silence-s": 999_999,
        "host": "127.0.0.1",
    }
    command = [sys.executable, "-m", "kvring_node", *_flags(flags), "--served-name"]
    return Served(command, {"OMP_NUM_THREADS": str(given.num_threads)}, log, given.stream)


def vllm(python: Path, given: Conditions, log: Path) -> Served:
    """vLLM's server from a virtual environment of its own, built for the device."""
    flags = {
        "model": given.folder,
        "dtype": "float32",
        "max-num-seqs": given.max_num_sequences,
        "max-num-batched-tokens": given.max_batch_tokens,
        "max-model-len": given.longest,
        "kv-cache-memory-bytes": given.cache_bytes,
        "host": "127.0.0.1",
    }
    # A GPU is shared with the other contestants; on a CPU, compiling takes minutes.
    own = ["--gpu-memory-utilization", "0.5"] if given.device == "cuda" else ["--enforce-eager"]
    command = [
        str(python),
        "-m",
        "vllm.entrypoints.openai.api_server",
        *_flags(flags),
        *own,
        "--served-model-name",
    ]
    # Left to itself it keeps one processor free, whatever the number of threads; unbound it is slower.
    processors = sorted(os.sched_getaffinity(0))[: given.num_threads]
    env = {
        "OMP_NUM_THREADS": str(given.num_threads),
        "VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, processors)),
        "HF_HUB_OFFLINE": "1",
    }
    return Served(command, env, log, given.stream)


def _flags(values: Mapping[str, object]) -> list[str]:
    return [word for name, value in values.items() for word in (f"--{name}", str(value))]
