"""Side-by-side measurement: interleaved rounds, a ratio for each, their median and spread."""

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from bench import chart as drawn

RESULTS = Path("bench/results")
T = TypeVar("T")
Row = dict[str, str | float]


@dataclass(frozen=True)
class Result:
    """What a benchmark found.

    `limit` is what the median ratio to the peer must reach (`at_least`) or not exceed, or our own
    median where there is no `peer` to compare with; None asks for nothing. `table` is what a single
    figure cannot say; the chart shows its column `bars`.
    """

    name: str
    ours: str
    unit: str
    our_values: list[float]
    limit: float | None
    at_least: bool
    peer: str = ""
    peer_values: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    table: list[Row] = field(default_factory=list)
    bars: str = ""

    @property
    def absent(self) -> bool:
        """There is a peer, but not on this machine: nothing was compared."""
        return bool(self.peer) and not self.ratios

    @property
    def judged_values(self) -> list[float]:
        """What the limit is for, one a round."""
        return self.ratios or self.our_values

    @property
    def judged(self) -> float:
        """What the limit is for."""
        return statistics.median(self.judged_values)

    @property
    def met(self) -> bool | None:
        """Whether the limit is kept; None if there is none or it could not be judged."""
        if self.limit is None or self.absent:
            return None
        return self._keeps(self.judged)

    @property
    def kept(self) -> int:
        """How many rounds kept the limit, each for itself; all of them where there is none."""
        return sum(self._keeps(value) for value in self.judged_values)

    def _keeps(self, value: float) -> bool:
        if self.limit is None:
            return True
        return value >= self.limit if self.at_least else value <= self.limit

    def line(self) -> str:
        """The figure in one line, and below it what belongs to it."""
        ours = f"{self.ours}: {_spread(self.our_values, f' {self.unit}')}"
        if self.absent:
            text = f"{self.name}: NOT JUDGED, {self.peer} is absent\n  {ours}"
        elif self.peer:
            text = f"{self.name}: ratio {_spread(self.ratios)}{self._verdict()}\n  {ours}"
            text += f"; {self.peer}: {_spread(self.peer_values, f' {self.unit}')}"
        else:
            figure = _spread(self.our_values, f" {self.unit}")
            text = f"{self.name}: {figure}{self._verdict()}\n  {self.ours}"
        notes = [f"\n  {name}: {value}" for name, value in self.notes.items()]
        return text + "".join(notes) + "".join(f"\n  {row}" for row in aligned(self.table))

    def _verdict(self) -> str:
        if self.limit is None:
            return ""
        said = f"; wanted {'>=' if self.at_least else '<='} {self.limit:g}: "
        said += "met" if self.met else "MISSED"
        rounds = len(self.judged_values)
        return said if rounds == 1 else f"{said}, by {self.kept} of {rounds} rounds"


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """The bounds of the middle half: a disturbed round moves the extremes, hardly these."""
    if len(values) == 1:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def _spread(values: Sequence[float], unit: str = "") -> str:
    middle = f"{statistics.median(values):,.2f}{unit}"
    if len(values) == 1:
        return middle
    low, high = quartiles(values)
    return (
        f"{middle} (middle half {low:,.2f}-{high:,.2f}, all {min(values):,.2f}-{max(values):,.2f}"
        f" in {len(values)} rounds)"
    )


def aligned(table: Sequence[Row]) -> list[str]:
    """The lines of a table in columns, numbers to the right."""
    if not table:
        return []
    cells = [[*table[0]]] + [
        [value if isinstance(value, str) else f"{value:,.1f}" for value in row.values()]
        for row in table
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    numeric = [not isinstance(value, str) for value in table[0].values()]
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in cells
    ]


def interleaved(measures: Sequence[Callable[[], T]], rounds: int) -> list[list[T]]:
    """What each measured in each round: all take turns, the order turned round every round.

    So a slow change of the machine meets all alike. The first round warms up and is not counted.
    """
    found: list[list[T]] = [[] for _ in measures]
    for turn in range(rounds + 1):
        pairs = list(zip(found, measures, strict=True))
        for values, measure in pairs if turn % 2 else reversed(pairs):
            value = measure()
            if turn:
                values.append(value)
    return found


def compare(
    name: str,
    ours: tuple[str, Callable[[], float]],
    peer: tuple[str, Callable[[], float] | None],
    *,
    unit: str,
    limit: float | None,
    at_least: bool,
    rounds: int = 7,
    notes: dict[str, Any] | None = None,
) -> Result:
    """Measure both in interleaved rounds.

    A peer that cannot be measured here (None) leaves our own values alone.
    """
    our_values, *theirs = interleaved([ours[1], *([peer[1]] if peer[1] else [])], rounds)
    peer_values = theirs[0] if theirs else []
    ratios = [a / b for a, b in zip(our_values, peer_values, strict=True)] if theirs else []
    return Result(
        name,
        ours[0],
        unit,
        our_values,
        limit,
        at_least,
        peer[0],
        peer_values,
        ratios,
        {} if notes is None else notes,
    )


def measure(
    name: str,
    ours: tuple[str, Callable[[], float]],
    *,
    unit: str,
    limit: float | None,
    at_least: bool,
    rounds: int = 7,
    notes: dict[str, Any] | None = None,
) -> Result:
    """Measure something that has no peer; every round counts."""
    values = [ours[1]() for _ in range(rounds)]
    return Result(
        name, ours[0], unit, values, limit, at_least, notes={} if notes is None else notes
    )


def rate(count: int, work: Callable[[], Any]) -> float:
    """How many a second, `work` doing `count` of them."""
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


def expect(what: str, found: object, wanted: object) -> None:
    """Refuse a measurement that did something else than it claims. Raises `AssertionError`."""
    if found != wanted:
        raise AssertionError(f"{what}: {found} instead of {wanted}")


def keep(result: Result, on: dict[str, Any] | None = None) -> None:
    """Write a result as JSON and as a chart beside the others; `on` is what it was taken on."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    low, high = quartiles(result.judged_values)
    judgement = {
        "judged": result.judged,
        "middle_half": [low, high],
        "met": result.met,
        "rounds_kept": result.kept,
    }
    body = asdict(result) | judgement | {"on": on or {}}
    (RESULTS / f"{result.name}.json").write_text(json.dumps(body, indent=2) + "\n")
    (RESULTS / f"{result.name}.svg").write_text(chart(result))


def chart(result: Result) -> str:
    """The result as an SVG picture."""
    if result.bars:
        shown = [(str(next(iter(row.values()))), float(row[result.bars])) for row in result.table]
        return drawn.bars(f"{result.name}: {result.bars}", shown)
    what = f"ratio to {result.peer}" if result.ratios else result.unit
    return drawn.rounds(f"{result.name}: {what}", result.judged_values, result.limit)
