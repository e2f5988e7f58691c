"""The engine process as a child of the front: started, watched, stopped."""

import asyncio
import signal
from collections.abc import Sequence


class EngineProcess:
    """One child process. Its standard output and error are the front's own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @staticmethod
    async def start(command: Sequence[str]) -> "EngineProcess":
        """Start `command`; it must end by itself when this process dies.

        It has a session of its own: a signal to our process group, as `timeout` and shells send it, would end
        the engine in the middle of what we are about to drain.
        """
        return EngineProcess(
            await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, start_new_session=True
            )
        )

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    async def ended(self) -> str:
        """Wait until the child has ended; says how, for people."""
        code = await self._process.wait()
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}" + (
                _OOM_HINT if code == -signal.SIGKILL else ""
            )
        return f"ended with exit code {code}"

    async def stop(self, within_s: float) -> None:
        """Ask the child to end, and kill it when it has not done so after `within_s` seconds."""
        if self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), within_s)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


_OOM_HINT = " (out of memory? raise the container's memory limit or lower --cache-bytes)"
