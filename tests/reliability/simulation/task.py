"""What one delivery, command or cron is to the simulator: its lots, its ids, where it dies."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from shared.platform.steps import Step


class Killed(BaseException):
    """The process ends here: nothing that comes after is done, its connection is dropped."""


STATEMENT = "statement"
"""The point before each statement of a transaction; those of steps have a colon."""
_EXPOSING = {f"{Step.INTENT_CLAIM}:after", f"{Step.VENDOR_CALL}:before"}


@dataclass
class Task:
    """One run of the product's code in a process of its own."""

    name: str
    lots: Random
    wait: Callable[[timedelta], None]
    """Lets virtual time pass while this task waits for somebody."""
    dies_after: int = -1
    """How many points of `dies_among` are reached until its process ends; never, if negative."""
    dies_among: str = ""
    """Which points count: those whose names have this in them."""
    faults: float = 0.0
    """The share of vendor calls that fail in one way or another."""
    since: datetime | None = None
    """The instant its ids show, where they must be the same in every run."""
    exposed: bool = False
    """Whether an intent is leased and the vendor has not acted yet."""

    def reached(self, point: str) -> None:
        """A point of a step: let others run, or die."""
        if point in _EXPOSING:
            self.exposed = True
        turns = _here.turns
        if turns is not None:
            turns.pause()
        if self.dies_among in point:
            self.dies_after -= 1
            if self.dies_after == -1:
                raise Killed(point)


@dataclass
class Turns:
    """A thread among others: where it lets them run, and the backend of its session."""

    pause: Callable[[], None]
    backend: int = 0


class _Here(threading.local):
    task: Task | None = None
    turns: Turns | None = None


_here = _Here()


def begin(task: Task | None) -> None:
    """What this thread does from now on."""
    _here.task = task


def current() -> Task | None:
    return _here.task


def take_turns(turns: Turns | None) -> None:
    """Let this thread be one of several, or alone again."""
    _here.turns = turns


def uses(backend: int) -> None:
    """This thread speaks to Postgres by the session of `backend` now."""
    if _here.turns is not None:
        _here.turns.backend = backend


def reached(point: str) -> None:
    """For `steps.use`."""
    if _here.task is not None:
        _here.task.reached(point)
