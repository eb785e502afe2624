"""One seed: its life undisturbed and its life under fire, and what differs."""

import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

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
from tests.reliability.crash.traffic import Town

POINTS = tuple(f"{step}:{side}" for step in Step for side in ("before", "after"))
_EARLY = 0.7
"""A point is armed for one of the times up to this share of how often it is reached undisturbed.
What kills has the rest go other ways: what was not reached late in the life kills at once then."""


@dataclass(frozen=True)
class Life:
    """What came of a life: what is true, and what happened at the points."""

    true: Things
    reached: Counter[str]
    killed: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """What a seed's life under fire lost and doubled, by promise; `armed` are the points meant.

    `compared` is what is true after the undisturbed life.
    """

    seed: int
    armed: tuple[str, ...]
    killed: tuple[str, ...]
    reached: Counter[str]
    compared: Things
    lost: Things
    doubled: Things
    seconds: float

    @property
    def spared(self) -> list[str]:
        """Points at which nothing was killed: of them nothing is proven."""
        return [point for point in self.armed if point not in self.killed]

    @property
    def kept(self) -> bool:
        """Whether every promise was kept and every point was put to the proof."""
        whole = not any(map(Counter.total, (*self.lost.values(), *self.doubled.values())))
        return whole and not self.spared


def prove(seed: int, points: Sequence[str] = POINTS) -> Verdict:
    """Live the seed's life twice, each on a fresh local cloud, and compare."""
    began = time.monotonic()
    calm = _live(seed, {})
    dice = Random(f"points {seed}")
    lots = {point: dice.random() * _EARLY for point in POINTS}
    passing = {point: int(lots[point] * calm.reached[point]) for point in points}
    troubled = _live(seed, passing)
    return Verdict(
        seed=seed,
        armed=tuple(points),
        killed=troubled.killed,
        reached=troubled.reached,
        compared=calm.true,
        lost=promises.lost(calm.true, troubled.true),
        doubled=promises.doubled(calm.true, troubled.true),
        seconds=time.monotonic() - began,
    )


def _live(seed: int, passing: Mapping[str, int]) -> Life:
    """Live once; of the points in `passing` each kills after so many times."""
    with tempfile.TemporaryDirectory(prefix="clinicloop-crash-") as folder:
        options = Options(
            Path(folder),
            throwaway=True,
            in_memory=True,
            starts=journey.BEGINS,
            frozen=True,
            fail_points=True,
        )
        with running(options) as cloud:
            stage = Stage(cloud)
            stage.portal = PatientPortal(cloud.env, cloud.url)
            points = cloud.fail_points
            try:
                _arm(points, passing)
                insist = partial(_insist, points)
                Town(Street(stage), seed, insist).live()
                points.disarm()
                killed = tuple(fired.point for fired in points.fired())
                return Life(promises.things(stage), points.reached(), killed)
            finally:
                stage.close()


def _arm(points: FailPoints, passing: Mapping[str, int]) -> None:
    for point, times in passing.items():
        points.arm(point, Action.KILL, times)


def _insist(points: FailPoints) -> None:
    _arm(points, dict.fromkeys(points.armed(), 0))
