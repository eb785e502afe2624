"""Side-by-side measurement: interleaved rounds, a ratio for each, their median and spread."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path("bench/results")


@dataclass(frozen=True)
class Result:
    """What a benchmark found.

    `limit` is what the median ratio to the peer must reach (`at_least`) or not exceed, or our own
    median where there is no `peer` to compare with; None asks for nothing.
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

    @property
    def absent(self) -> bool:
        """There is a peer, but not on this machine: nothing was compared."""
        return bool(self.peer) and not self.ratios

    @property
    def judged(self) -> float:
        """What the limit is for."""
        return statistics.median(self.ratios or self.our_values)

    @property
    def met(self) -> bool | None:
        """Whether the limit is kept; None if there is none or it could not be judged."""
        if self.limit is None or self.absent:
            return None
        return self.judged >= self.limit if self.at_least else self.judged <= self.limit

    def line(self) -> str:
        verdict = {True: "met", False: "MISSED", None: f"NOT JUDGED, {self.peer} is absent"}
        wanted = f"wanted {'>=' if self.at_least else '<='} {self.limit:g}" if self.limit else ""
        ours = _spread(self.our_values, f" {self.unit}")
        if not self.peer:
            judgement = f"; {wanted}: {verdict[self.met]}" if wanted else ""
            text = f"{self.name}: {ours}{judgement}\n  {self.ours}"
        elif self.absent:
            text = f"{self.name}: {ours}; ratio {wanted}: {verdict[None]}\n  {self.ours}"
        else:
            text = f"{self.name}: ratio {_spread(self.ratios)}"
            text += f", {wanted}: {verdict[self.met]}" if wanted else ""
            text += f"\n  {self.ours}: {ours}"
            text += f"; {self.peer}: {_spread(self.peer_values, f' {self.unit}')}"
        return text + "".join(f"\n  {name}: {value}" for name, value in self.notes.items())


def _spread(values: list[float], unit: str = "") -> str:
    middle = f"{statistics.median(values):,.2f}{unit}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):,.2f}-{max(values):,.2f} over {len(values)} rounds)"


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
    """Measure both in turns, the order swapped each round; the first round warms up, uncounted.

    A peer that cannot be measured here (None) leaves our own values alone.
    """
    our_values: list[float] = []
    peer_values: list[float] = []
    for turn in range(rounds + 1):
        pair = [(our_values, ours[1]), (peer_values, peer[1])]
        for values, measure in pair if turn % 2 else reversed(pair):
            if measure is not None:
                value = measure()
                if turn:
                    values.append(value)
    ratios = [a / b for a, b in zip(our_values, peer_values, strict=False)]
    return Result(
        name, ours[0], unit, our_values, limit, at_least, peer[0], peer_values, ratios, notes or {}
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
    return Result(name, ours[0], unit, values, limit, at_least, notes=notes or {})


def rate(count: int, work: Callable[[], Any]) -> float:
    """How many a second, `work` doing `count` of them."""
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


def surroundings() -> dict[str, Any]:
    """What the figures were taken on."""
    return {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "machine": platform.machine(),
    }


def keep(result: Result) -> None:
    """Write a result as JSON beside the others."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    body = asdict(result) | {"judged": result.judged, "met": result.met, "on": surroundings()}
    (RESULTS / f"{result.name}.json").write_text(json.dumps(body, indent=2) + "\n")
