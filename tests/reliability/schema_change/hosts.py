"""Hosts of old and new code behind one address book, as a platform rolls a release out."""

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import httpx

from emulators import processes, wiring
from emulators.demo.portal import Person, Portal
from emulators.ports import free_port
from tests.reliability.schema_change.newer import Code

_DRAINED = 1.0
"""Seconds until the requests under way at a host that gets no more are answered."""
_PATIENCE = 60.0


@dataclass
class Host:
    """One host; its port stays whatever code it runs."""

    port: int
    log: Path
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, code: Code) -> None:
        """Start, and wait until it answers. Raises `TimeoutError`."""
        with self.log.open("ab") as output:
            self.process = processes.spawn(
                [
                    *(sys.executable, "-m", "tests.reliability.schema_change.newer", code.value),
                    *("--port", str(self.port)),
                ],
                output,
                environment=self.environment,
                folder=wiring.ROOT,
            )
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.url}/health").status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.05)
        raise TimeoutError(self.log.read_text(errors="replace")[-2000:])

    def stop(self) -> None:
        if self.process is not None:
            processes.end(self.process, signal.SIGTERM)
            self.process = None


@dataclass
class Release:
    """Which hosts get the portals' calls, each with its code."""

    random: Random
    serving: dict[str, Code] = field(default_factory=dict)
    served: dict[Code, int] = field(default_factory=dict)

    def pick(self) -> str:
        serving = self.serving
        url = self.random.choice(list(serving))
        self.served[serving[url]] = self.served.get(serving[url], 0) + 1
        return url

    def to(self, *serving: tuple[Host, Code]) -> None:
        """From now on these serve; comes back when the others have answered what they had."""
        self.serving = {host.url: code for host, code in serving}
        time.sleep(_DRAINED)


@dataclass
class Balanced(Portal):
    """A portal whose every call goes to one of the hosts of a release."""

    release: Release | None = None

    def send(self, person: Person, method: str, path: str, body: Any = None) -> httpx.Response:
        assert self.release is not None
        return Portal.send(replace(self, host=self.release.pick()), person, method, path, body)


def second(environment: Mapping[str, str], log: Path) -> Host:
    """Another host of the same cloud, on a port of its own."""
    return Host(free_port(), log, environment)
