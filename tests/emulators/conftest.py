"""Engines under test run on their own asyncio loop in a background thread."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from emulators.agenda import Agenda
from emulators.clock import VirtualClock
from emulators.engine import Engine, Ground
from emulators.faults import Faults
from emulators.journal import Journal
from emulators.rsa_keys import RsaKey, new_key
from emulators.tokens import TokenIssuer
from tests.emulators.http_receiver import HttpReceiver

if TYPE_CHECKING:
    from tests.emulators.pubsub_cloud import Cloud

T = TypeVar("T")
Start = Callable[[Callable[[Ground], Any]], tuple[Any, int]]
"""Starts an engine by its class; answers the engine and its port."""


@dataclass
class Loop:
    """A running loop and the ground its engines stand on."""

    loop: asyncio.AbstractEventLoop
    ground: Ground

    def run(self, work: Coroutine[Any, Any, T], timeout: float = 30) -> T:
        """Run `work` on the loop and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)

    def settle(self) -> None:
        self.run(self.ground.agenda.settle(20))

    def advance(self, **by: float) -> None:
        """Move virtual time on by `timedelta(**by)`, everything due on the way done."""
        target = self.ground.clock.now() + timedelta(**by)
        self.run(self.ground.agenda.advance(target, 20), timeout=60)


@pytest.fixture(scope="session")
def signing_key() -> RsaKey:
    """The key of all engines in memory: to make one takes longer than most tests."""
    return new_key()


@pytest.fixture
def make_loop(tmp_path: Path, signing_key: RsaKey) -> Iterator[Callable[..., Loop]]:
    """Make loops with a ground each: `make_loop()` in memory, `make_loop(folder)` durable."""
    made: list[tuple[Loop, threading.Thread]] = []

    def make(folder: Path | None = None) -> Loop:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()

        clock = VirtualClock(tmp_path / f"clock-{len(made)}")
        key = None if folder else signing_key
        ground = asyncio.run_coroutine_threadsafe(_ground(clock, folder, key), loop).result(20)
        made.append((Loop(loop, ground), thread))
        return made[-1][0]

    yield make
    for made_loop, thread in made:
        made_loop.run(_wind_up(made_loop.ground))
        made_loop.loop.call_soon_threadsafe(made_loop.loop.stop)
        thread.join(10)
        made_loop.loop.close()


async def _ground(clock: VirtualClock, folder: Path | None, key: RsaKey | None) -> Ground:
    ground = Ground(
        clock=clock,
        agenda=Agenda(clock),
        faults=Faults(clock, Random(7)),
        tokens=TokenIssuer(clock, Journal(folder, "tokens"), key),
        random=Random(7),
        folder=folder,
    )
    ground.background = asyncio.create_task(ground.agenda.run())  # type: ignore[attr-defined]
    return ground


async def _wind_up(ground: Ground) -> None:
    await ground.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@pytest.fixture
def loop(make_loop: Callable[..., Loop]) -> Loop:
    return make_loop()


@pytest.fixture
def start_engine(loop: Loop) -> Iterator[Start]:
    """Starts engines on the test's ground."""
    started: list[Engine] = []

    def start(kind: Callable[[Ground], Engine]) -> tuple[Engine, int]:
        async def go() -> tuple[Engine, int]:
            engine = kind(loop.ground)
            port = await engine.start()
            started.append(engine)
            return engine, port

        return loop.run(go())

    yield start
    for engine in started:
        loop.run(engine.stop())


@pytest.fixture
def receiver(start_engine: Start) -> HttpReceiver:
    """What records the calls that engines make."""
    receiver: HttpReceiver = start_engine(HttpReceiver)[0]
    return receiver


@pytest.fixture
def cloud(loop: Loop, start_engine: Start, monkeypatch: pytest.MonkeyPatch) -> Iterator["Cloud"]:
    """Pub/Sub in use, with official clients and a receiver of pushes."""
    from tests.emulators.pubsub_cloud import pubsub_cloud  # it needs this module's `Loop`

    with pubsub_cloud(loop, start_engine, monkeypatch) as made:
        yield made


@pytest.fixture
def frozen(loop: Loop) -> None:
    """Only the test moves virtual time."""
    loop.ground.clock.freeze()
