"""Virtual time: what happens next, at which instant."""

import heapq
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

_SAME_MOMENT = timedelta(minutes=10)
"""What is due within it may be done at the same time: everything can be so late."""


@dataclass(order=True)
class Job:
    """Something to be done at an instant. `tie` orders what falls on the same one.

    Jobs of one `crowd` are done at the same moment, by threads of their own.
    """

    at: datetime
    tie: float
    number: int
    act: Callable[[], None] = field(compare=False)
    crowd: str = field(default="", compare=False)
    joins: bool = field(default=False, compare=False)
    """Whether it may be done together with others."""


class Agenda:
    """The clock, which only moves when the next job is taken."""

    def __init__(self, start: datetime) -> None:
        self.now = start
        self._jobs: list[Job] = []
        self._number = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._jobs)

    def at(
        self,
        when: datetime,
        act: Callable[[], None],
        *,
        tie: float = 0.0,
        crowd: str = "",
        joins: bool = False,
    ) -> None:
        """Do `act` at `when`, or next if that has passed."""
        with self._lock:
            self._number += 1
            job = Job(max(when, self.now), tie, self._number, act, crowd, joins)
            heapq.heappush(self._jobs, job)

    def next(self, until: datetime | None = None) -> Job | None:
        """Take the next job (not after `until`) and let it be its time."""
        with self._lock:
            if not self._jobs or (until is not None and self._jobs[0].at > until):
                return None
            job = heapq.heappop(self._jobs)
            self.now = max(self.now, job.at)
            return job

    def crowd(self, first: Job, most: int) -> list[Job]:
        """With `first`, what belongs to its crowd; for `most` above 1 also what comes soon."""
        found, last = [first], first.at + _SAME_MOMENT
        with self._lock:
            while self._jobs and (
                (first.crowd and self._jobs[0].crowd == first.crowd)
                or (len(found) < most and self._jobs[0].joins and self._jobs[0].at <= last)
            ):
                found.append(heapq.heappop(self._jobs))
            self.now = max(self.now, found[-1].at)
        return found
