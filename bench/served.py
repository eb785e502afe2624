"""Servers under measurement: gunicorn with one worker, as in their container."""

import ctypes
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench import peers
from emulators.ports import free_port

THREADS = 8
FRAMEWORK = "functions_framework:create_app()"
_READY_SECONDS = 30


@dataclass(frozen=True)
class Served:
    """A server that accepts connections."""

    url: str
    pid: int

    def cpu_seconds(self) -> float:
        """What gunicorn and its worker have taken until now, to the microsecond."""
        family = [self.pid, *(child.pid for child in psutil.Process(self.pid).children())]
        return sum(_cpu_seconds(pid) for pid in family)


def _cpu_seconds(pid: int) -> float:
    """By the process's own clock: the times in /proc come in hundredths of a second."""
    clock = ctypes.c_int()
    if ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise ProcessLookupError(pid)
    return time.clock_gettime(clock.value)


def gunicorn(port: int, app: str, python: Path | None = None) -> list[str]:
    """The command that serves `app`; with `python`, one of the peers by their interpreter."""
    # Isolated, a peer finds neither our modules nor anything named in PYTHONPATH.
    isolated = [str(python), "-I"] if python else [sys.executable]
    folder = ["--chdir", str(peers.FOLDER)] if python else []
    return [
        *isolated, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "1",
        "--threads", str(THREADS), "--keep-alive", "30", "--log-level", "warning", *folder, app,
    ]  # fmt: skip


@contextmanager
def served(
    app: str, environment: Mapping[str, str] | None = None, python: Path | None = None
) -> Iterator[Served]:
    """`app` on a free port, with `environment` on top of ours, until the block ends."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with program(gunicorn(port, app, python), f"{url}/healthz", environment) as pid:
        yield Served(url, pid)


@contextmanager
def program(
    command: Sequence[str],
    url: str,
    environment: Mapping[str, str] | None = None,
    *,
    quiet: bool = False,
) -> Iterator[int]:
    """A process that answers at `url`, whatever it says, until the block ends; its id."""
    errors = subprocess.DEVNULL if quiet else None
    process = subprocess.Popen(
        command, env={**os.environ, **(environment or {})}, stdout=errors, stderr=errors
    )
    try:
        _wait(url, process)
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


def _wait(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            if time.monotonic() > deadline or process.poll() is not None:
                raise
            time.sleep(0.05)
        else:
            return
