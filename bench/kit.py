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
    """What a benchmark found; `limit` is what the ratio must reach (`at_least`) or not exceed."""

    name: str
    ours: str
    peer: str
    unit: str
    our_values: list[float]
    peer_values: list[float]
    ratios: list[float]
    limit: float
    at_least: bool
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def met(self) -> bool:
        return self.ratio >= self.limit if self.at_least else self.ratio <= self.limit

    def line(self) -> str:
        sign = ">=" if self.at_least else "<="
        spread = f"{min(self.ratios):.2f}-{max(self.ratios):.2f}"
        ours, peer = statistics.median(self.our_values), statistics.median(self.peer_values)
        return (
            f"{self.name}: ratio {self.ratio:.2f} ({spread} over {len(self.ratios)} rounds), "
            f"wanted {sign} {self.limit:g}: {'met' if self.met else 'MISSED'}\n"
            f"  {self.ours}: {ours:,.1f} {self.unit}; {self.peer}: {peer:,.1f} {self.unit}"
            + "".join(f"\n  {name}: {value}" for name, value in self.notes.items())
        )


def compare(
    name: str,
    ours: tuple[str, Callable[[], float]],
    peer: tuple[str, Callable[[], float]],
    *,
    unit: str,
    limit: float,
    at_least: bool,
    rounds: int = 7,
    notes: dict[str, Any] | None = None,
) -> Result:
    """Measure both in turns, the order swapped each round; the first round warms up, uncounted."""
    our_values: list[float] = []
    peer_values: list[float] = []
    for turn in range(rounds + 1):
        pair = [(our_values, ours[1]), (peer_values, peer[1])]
        for values, measure in pair if turn % 2 else reversed(pair):
            value = measure()
            if turn:
                values.append(value)
    ratios = [a / b for a, b in zip(our_values, peer_values, strict=True)]
    return Result(
        name, ours[0], peer[0], unit, our_values, peer_values, ratios, limit, at_least, notes or {}
    )


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
    body = asdict(result) | {"ratio": result.ratio, "met": result.met, "on": surroundings()}
    (RESULTS / f"{result.name}.json").write_text(json.dumps(body, indent=2) + "\n")
