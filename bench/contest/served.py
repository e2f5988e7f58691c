"""Contestants over HTTP: our node and vLLM's OpenAI server, each a process tree of its own on 127.0.0.1."""

import asyncio
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
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from bench.contest.workload import Answers, Request

START_S = 300.0


class Served:
    """A server, and a client that asks everything at once.

    It is suspended while others have their turn: a server that looks for work without rest would slow them.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str], log: Path, stream: bool):
        """Starts the server and waits for it. `command` gets its port as last argument."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        self._url = f"http://127.0.0.1:{port}"
        self._stream = stream
        self._used_s = 0.0
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [*command, port], env={**os.environ, **env}, stdout=file, stderr=file, start_new_session=True
            )
        self._model = self._wait_ready(log)
        self.cached_tokens = 0
        self._signal(signal.SIGSTOP)

    def __call__(self, requests: Sequence[Request]) -> Answers:
        """Greedy, never ending early."""
        self._signal(signal.SIGCONT)
        try:
            return asyncio.run(self._ask_all(requests))
        finally:
            self._signal(signal.SIGSTOP)

    def cpu_s(self) -> float:
        """Processor time of the server's processes so far."""
        root = psutil.Process(self._process.pid)
        times = [process.cpu_times() for process in (root, *root.children(recursive=True))]
        return sum(used.user + used.system for used in times)

    def close(self) -> None:
        """Ends the server and all that it has started."""
        if self._process.poll() is None:
            self._signal(signal.SIGCONT)
            self._signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        os.killpg(self._process.pid, number)

    async def _ask_all(self, requests: Sequence[Request]) -> Answers:
        timeout = aiohttp.ClientTimeout(total=3600)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            return await asyncio.gather(*(self._ask(session, request) for request in requests))

    async def _ask(self, session: aiohttp.ClientSession, request: Request) -> list[int]:
        body = {
            "model": self._model,
            "prompt": request.prompt,
            "max_tokens": request.max_tokens,
            "temperature": 0,
            "ignore_eos": True,
            "return_token_ids": True,
            "stream": self._stream,
        }
        async with session.post(f"{self._url}/v1/completions", json=body) as response:
            if response.status != 200:
                sys.exit(f"{self._url}: {await response.text()}")
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

    def _wait_ready(self, log: Path) -> str:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                sys.exit(f"the server ended:\n{log.read_text()[-4000:]}")
            try:
                with urllib.request.urlopen(f"{self._url}/v1/models", timeout=5) as response:
                    models = json.load(response)["data"]
            except (urllib.error.URLError, OSError):
                models = []
            if models:
                return str(models[0]["id"])
            time.sleep(0.2)
        self.close()
        sys.exit(f"the server is not ready after {START_S:.0f} s:\n{log.read_text()[-4000:]}")


def node(folder: Path, options: Sequence[str], num_threads: int, log: Path, stream: bool) -> Served:
    """Our node as users start it."""
    flags = ["--model", str(folder), "--host", "127.0.0.1", "--num-threads", str(num_threads), *options]
    command = [sys.executable, "-m", "kvring_node", *flags, "--port"]
    return Served(command, {"OMP_NUM_THREADS": str(num_threads)}, log, stream)


def vllm(
    python: Path, folder: Path, options: Sequence[str], num_threads: int, log: Path, stream: bool
) -> Served:
    """vLLM's server from a virtual environment of its own."""
    flags = ["--model", str(folder), "--dtype", "float32", "--enforce-eager", "--host", "127.0.0.1", *options]
    command = [str(python), "-m", "vllm.entrypoints.openai.api_server", *flags, "--port"]
    env = {"VLLM_CPU_KVCACHE_SPACE": "2", "OMP_NUM_THREADS": str(num_threads), "HF_HUB_OFFLINE": "1"}
    return Served(command, env, log, stream)
