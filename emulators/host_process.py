"""The functions' host as a child process of the local cloud."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from emulators import processes, wiring

ADDRESS = "127.0.0.1"


class HostFailed(Exception):
    """The host ended instead of serving; the message holds the end of its log."""


class HostProcess:
    """`python -m emulators.host` on a fixed port, restartable. Its output goes to `log`."""

    def __init__(self, port: int, functions: Path, wiring_file: Path, log: Path) -> None:
        self.port = port
        self._functions = functions.absolute()
        self._wiring = wiring_file.absolute()
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.port}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def start(self, environment: Mapping[str, str], patience: float = 60) -> None:
        """Start, and wait until all functions are loaded and answer.

        Raises `HostFailed` when a function cannot be loaded or `patience` real seconds are over.
        """
        with self._log.open("ab") as output:
            self._process = processes.spawn(
                [
                    sys.executable,
                    *("-m", "emulators.host", "--port", str(self.port)),
                    *("--functions", self._functions, "--wiring", self._wiring),
                ],
                output,
                environment=environment,
                folder=wiring.ROOT,
            )
        timeout = aiohttp.ClientTimeout(total=patience)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            deadline = asyncio.get_running_loop().time() + patience
            while self.running and asyncio.get_running_loop().time() < deadline:
                try:
                    async with session.get(f"{self.url}/health") as answer:
                        if answer.status == 200:
                            return
                except (aiohttp.ClientError, TimeoutError):
                    await asyncio.sleep(0.02)
        self.kill()
        raise HostFailed(self._log.read_text(errors="replace")[-4000:])

    async def stop(self) -> None:
        """Let requests under way finish for a few seconds, then end."""
        if self._process is not None:
            await asyncio.to_thread(processes.end, self._process, signal.SIGTERM)
            self._process = None

    def kill(self) -> None:
        """SIGKILL the host and its workers at once, as a crash would."""
        if self._process is not None:
            if self.running:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
