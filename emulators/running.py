"""A running local cloud for programs that are not asynchronous: tests, the demo, scripts."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

import uvloop

from emulators.agenda import Agenda
from emulators.cloud import LocalCloud, Options
from emulators.fail_points import FailPoints
from emulators.faults import Fault, FaultKind, Faults, NoSuchFault, checked
from emulators.wiring import invoker

_UNITS = ("weeks", "days", "hours", "minutes", "seconds")
T = TypeVar("T")


class RunningCloud:
    """A local cloud on an asyncio loop in a background thread; every method blocks."""

    def __init__(self, cloud: LocalCloud, loop: asyncio.AbstractEventLoop) -> None:
        self.cloud = cloud
        self._loop = loop

    def run(self, work: Coroutine[Any, Any, T], timeout: float = 120) -> T:
        """Run `work` on the cloud's loop; its result, within `timeout` real seconds."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    @property
    def env(self) -> dict[str, str]:
        """What a function's process would find in its environment."""
        return self.cloud.environment

    @property
    def url(self) -> str:
        """The base address of the functions."""
        return self.cloud.ground.settings["host"]

    @property
    def console_url(self) -> str:
        return self.cloud.url

    @property
    def admin_url(self) -> str:
        """The superuser's database URL."""
        return self.cloud.admin_url or ""

    @property
    def now(self) -> datetime:
        """The virtual instant, in UTC."""
        return self.cloud.ground.clock.now()

    @property
    def agenda(self) -> Agenda:
        return self.cloud.ground.agenda

    @property
    def faults(self) -> Faults:
        """The faults in force; `fault` and `heal` are the safe way to change them from a test."""
        return self.cloud.ground.faults

    @property
    def fail_points(self) -> FailPoints:
        """Where a process of the functions' host can be ended; for `Options(fail_points=True)`."""
        if self.cloud.fail_points is None:
            raise LookupError("this cloud was started without fail points")
        return self.cloud.fail_points

    def advance(self, to: str | datetime | None = None, timeout: float = 120, **by: float) -> None:
        """Move time on: `advance("+6mo")`, `advance(instant)` or `advance(days=3)`."""
        self.run(self.cloud.advance(to if to is not None else timedelta(**by)), timeout)

    def settle(self, timeout: float = 60) -> None:
        """Wait until nothing is under way and nothing is due."""
        self.run(self.cloud.settle(timeout), timeout + 10)

    def start(self, name: str) -> None:
        """Start one more engine, or `postgres`; nothing happens when it runs already."""
        self.run(self.cloud.start_part(name))

    def restart(self, name: str) -> None:
        """End a part (an engine, `postgres`, `host`) as a crash would and start it anew."""
        self.run(self.cloud.restart(name))

    def describe(self, engine: str) -> dict[str, Any]:
        """What an engine says of its state."""

        async def ask() -> dict[str, Any]:
            return self.cloud.engines[engine].describe()

        return self.run(ask())

    def service_token(self, function: str, kind: str) -> str:
        """What Google's `kind` of sender (see `invoker`) shows to a function."""
        sender = invoker(kind, self.env["GOOGLE_CLOUD_PROJECT"])
        address = self.env["FUNCTIONS_URL"].format(function=function)
        return self.cloud.ground.tokens.oidc(sender, address)

    def inbox(self, vendor: str) -> list[dict[str, Any]]:
        """What a vendor was told, newest first."""
        sent: list[dict[str, Any]] = self.describe(vendor)["inbox"]
        return sent

    def fault(self, target: str, kind: FaultKind | str, **limits: Any) -> "FaultInForce":
        """Put a fault in force, for good or for the length of a `with` block.

        `limits` are fields of `Fault` (`share=0.2`, `count=1`, `path="/pause"`, `late=5`), and how
        long it lasts in virtual time as `timedelta` takes it (`minutes=10`). Raises `NoSuchFault`
        for what is not here or cannot be acted out.
        """
        lasts = timedelta(**{name: limits.pop(name) for name in _UNITS if name in limits})
        if lasts < timedelta():
            raise NoSuchFault(f"a fault lasts for some time, not for {lasts}")
        if lasts:
            limits["until"] = self.now + lasts

        async def add() -> Fault:
            meant = checked(target, kind, self.cloud.targets)
            fault = Fault(target, meant, **limits)
            await self.cloud.fault(fault)
            return fault

        return FaultInForce(self, self.run(add()))

    def heal(self, target: str | None = None) -> None:
        """Clear the faults of `target`, or all."""
        self.run(self.cloud.heal(target))


class FaultInForce:
    """A fault that ends with the block it opens, or by `end`."""

    def __init__(self, cloud: RunningCloud, fault: Fault) -> None:
        self._cloud = cloud
        self.fault = fault

    def end(self) -> None:
        """Go back to normal; calls that hang go on. Idempotent."""

        async def end() -> None:
            self._cloud.faults.end(self.fault)
            await self._cloud.cloud.faults_acted_out()

        self._cloud.run(end())

    def __enter__(self) -> Fault:
        return self.fault

    def __exit__(self, *_: object) -> None:
        self.end()


@contextmanager
def running(options: Options, only: frozenset[str] | None = None) -> Iterator[RunningCloud]:
    """A started cloud for the length of the block; its loop is cleaned up afterwards."""
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="local-cloud", daemon=True)
    thread.start()

    async def build() -> LocalCloud:
        return LocalCloud(options)

    try:
        cloud = RunningCloud(asyncio.run_coroutine_threadsafe(build(), loop).result(60), loop)
        try:
            cloud.run(cloud.cloud.start(only))
            yield cloud
        finally:
            cloud.run(cloud.cloud.stop())
            cloud.run(_cancel_others())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
