"""What measures: counters, gauges and histograms in OpenTelemetry's sense, added up in the process.

Attributes are named when an instrument is declared and given in that order, so that none can carry
what was not meant to be seen. Where nothing is exported, nothing is added up.
"""

import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Any

from shared.platform.telemetry import export

Values = tuple[str | int, ...]
Reading = Iterable[tuple[float, Values]]
STALE = 300.0
"""Seconds after which a gauge that nobody set again is not reported any more."""

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Bounds for durations of requests, by the semantic conventions."""
LAGS = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 3600.0, 86400.0)


class Instrument:
    """`unit` is UCUM's; `attributes` are the names of what is told apart; an alert looks for it."""

    def __init__(
        self,
        name: str,
        unit: str,
        description: str,
        attributes: tuple[str, ...] = (),
        alert: str = "",
    ) -> None:
        self.name, self.unit, self.description = name, unit, description
        self.attributes, self.alert = attributes, alert
        self._lock = threading.Lock()
        DECLARED.append(self)


DECLARED: list[Instrument] = []
"""All instruments, in the order of their declaration."""


class Counter(Instrument):
    """Only goes up."""

    def __init__(self, *description: Any, **more: Any) -> None:
        super().__init__(*description, **more)
        self.totals: dict[Values, float] = {}

    def add(self, amount: float, *values: str | int) -> None:
        if export.on():
            with self._lock:
                self.totals[values] = self.totals.get(values, 0) + amount


class Gauge(Instrument):
    """Stands at a value, which was set lately or which `read` answers.

    Where it `adds_up`, the processes' values make one sum (OpenTelemetry's UpDownCounter).
    """

    def __init__(self, *description: Any, adds_up: bool = False, **more: Any) -> None:
        super().__init__(*description, **more)
        self.adds_up = adds_up
        self.latest: dict[Values, tuple[float, float]] = {}
        self.read: Callable[[], Reading] | None = None

    def set(self, value: float, *values: str | int) -> None:
        if export.on():
            with self._lock:
                self.latest[values] = value, time.time()

    def readings(self) -> list[tuple[float, float, Values]]:
        """Value, when it was taken (seconds of the epoch), attributes."""
        now = time.time()
        if self.read is not None:
            return [(value, now, values) for value, values in self.read()]
        with self._lock:
            found = [(value, at, values) for values, (value, at) in self.latest.items()]
        return [one for one in found if now - one[1] < STALE]


class Distribution:
    """What a histogram knows of one set of attributes; `counts` has one more than the bounds."""

    __slots__ = ("count", "counts", "sum")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.count, self.sum = 0, 0.0

    def copy(self) -> "Distribution":
        made = Distribution(0)
        made.counts, made.count, made.sum = [*self.counts], self.count, self.sum
        return made


class Histogram(Instrument):
    """How values spread over `bounds`, each the upper end of a bucket."""

    def __init__(self, *description: Any, bounds: tuple[float, ...] = SECONDS, **more: Any) -> None:
        super().__init__(*description, **more)
        self.bounds = bounds
        self.spread: dict[Values, Distribution] = {}

    def record(self, value: float, *values: str | int) -> None:
        if not export.on():
            return
        with self._lock:
            known = self.spread.get(values)
            if known is None:
                known = self.spread[values] = Distribution(len(self.bounds) + 1)
            known.counts[bisect_left(self.bounds, value)] += 1
            known.count += 1
            known.sum += value

    def readings(self) -> list[tuple[Values, Distribution]]:
        """By attributes; copies, whose counts add up whatever is recorded meanwhile."""
        with self._lock:
            return [(values, known.copy()) for values, known in self.spread.items()]
