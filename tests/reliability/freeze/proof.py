"""One seed: its life undisturbed, and its life among processes that stand still."""

import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from unittest.mock import patch

import httpx

from emulators import http_target
from emulators.cloud import Options
from emulators.demo import journey
from emulators.demo.stage import Stage
from emulators.fail_points import Action, FailPoints
from emulators.running import running
from shared.platform.steps import Step
from tests.journeys.street import Street
from tests.reliability.crash import promises
from tests.reliability.crash.portal import PatientPortal
from tests.reliability.crash.promises import Things
from tests.reliability.crash.proof import POINTS
from tests.reliability.crash.traffic import Town
from tests.reliability.freeze.warden import watching

AFTERWARDS = f"{Step.ANSWER}:after"
_EARLY = 0.7
_PATIENCE = 6.0
"""Real seconds that whoever called a process waits for it, and a statement for a lock."""


@dataclass(frozen=True)
class Life:
    """What is true after a life, how often points were reached, and where somebody stood still."""

    true: Things
    reached: Counter[str]
    stopped: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """What a seed's life lost and doubled, by promise, and where its processes stood still."""

    seed: int
    armed: tuple[str, ...]
    stopped: tuple[str, ...]
    lost: Things
    doubled: Things
    seconds: float

    @property
    def kept(self) -> bool:
        whole = not any(map(Counter.total, (*self.lost.values(), *self.doubled.values())))
        return whole and set(self.stopped) == set(self.armed)


def chosen(seed: int, count: int) -> tuple[str, ...]:
    """The points of a seed: after the answer always, and so many others."""
    others = [point for point in POINTS if point != AFTERWARDS]
    return (AFTERWARDS, *Random(f"points {seed}").sample(others, min(count, len(others))))


def prove(seed: int, points: Sequence[str]) -> Verdict:
    """Live the seed's life twice, each on a fresh local cloud, and compare."""
    began = time.monotonic()
    calm = _live(seed, {})
    dice = Random(f"times {seed}")
    passing = {point: int(dice.random() * _EARLY * calm.reached[point]) for point in points}
    troubled = _live(seed, passing)
    return Verdict(
        seed=seed,
        armed=tuple(points),
        stopped=troubled.stopped,
        lost=promises.lost(calm.true, troubled.true),
        doubled=promises.doubled(calm.true, troubled.true),
        seconds=time.monotonic() - began,
    )


def _live(seed: int, passing: Mapping[str, int]) -> Life:
    """Each of the points in `passing` stops a process once, when it was passed so many times."""
    with fresh_stage() as stage:
        points = stage.cloud.fail_points
        _arm(points, passing)
        with watching(stage.cloud, Random(f"cut {seed}")):
            Town(Street(stage), seed, partial(_insist, points)).live()
            points.disarm()
        stage.cloud.settle()
        stage.cloud.advance(hours=1)
        stage.listen()
        stopped = tuple(fired.point for fired in points.fired())
        return Life(promises.things(stage), points.reached(), stopped)


def _arm(points: FailPoints, passing: Mapping[str, int]) -> None:
    for point, times in passing.items():
        points.arm(point, Action.STOP, times)


def _insist(points: FailPoints) -> None:
    """What was passed less often than in the undisturbed life stops the next time."""
    _arm(points, dict.fromkeys(points.armed(), 0))


@contextmanager
def fresh_stage() -> Iterator[Stage]:
    """A local cloud on which nobody waits long for somebody who stands still."""
    hasty = {"STATEMENT_TIMEOUT_MS": str(int(_PATIENCE * 1000))}
    with (
        tempfile.TemporaryDirectory(prefix="clinicloop-freeze-") as folder,
        patch.dict(os.environ, hasty),
        patch.object(http_target, "STALL_SECONDS", _PATIENCE),
        running(_options(Path(folder))) as cloud,
    ):
        stage = Stage(cloud)
        alone = httpx.Limits(max_keepalive_connections=0)
        http = httpx.Client(timeout=2 * _PATIENCE, limits=alone)
        stage.portal = PatientPortal(cloud.env, cloud.url, http)
        try:
            yield stage
        finally:
            stage.close()


def _options(folder: Path) -> Options:
    return Options(
        folder,
        throwaway=True,
        in_memory=True,
        starts=journey.BEGINS,
        frozen=True,
        fail_points=True,
    )
