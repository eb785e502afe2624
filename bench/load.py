"""Portal traffic against a local cloud in processes of its own: `make load`.

`python -m bench.load [--seconds 30] [--customers 100] [--workers 16] [--seed 7]`. It stays on
127.0.0.1, ends after `--seconds`, and makes no more than `MOST_CALLS` calls. What was acknowledged
is looked for in Postgres afterwards, so that speed was not had by forgetting. A driver and a cloud
that share a machine take from each other: the table of processes says how much.
"""

import argparse
import json
import os
import statistics
import sys
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

from bench import environment
from bench.emulated import WHOLE_CLOUD, Running, local_cloud
from bench.kit import Result, Row, aligned, keep
from emulators.demo.portal import Portal
from emulators.parts import telemetry
from emulators.ports import ADDRESS, free_port
from emulators.traffic import Sent, Traffic

MOST_CALLS = 200_000
WARM_UP_SECONDS = 4.0
_SPANS = 15
_BEGIN, _END = "<!-- load -->", "<!-- end of load -->"


@dataclass(frozen=True)
class Elsewhere:
    """A local cloud in another process, on real time."""

    env: dict[str, str]

    @property
    def now(self) -> datetime:
        return datetime.now(UTC)

    @property
    def admin_url(self) -> str:
        return self.env["DATABASE_ADMIN_URL"]


@dataclass
class Site:
    """Where the traffic goes."""

    cloud: Elsewhere

    @cached_property
    def portal(self) -> Portal:
        return Portal(self.cloud.env, self.cloud.env["FUNCTIONS_URL"].partition("/{")[0])


@dataclass(frozen=True)
class Load:
    """What a run found. `cpu` is seconds of processor time by kind of process."""

    sent: list[Sent]
    seconds: float
    cpu: dict[str, float]
    spans: list[Row]
    missing: list[str]

    @property
    def calls(self) -> list[Sent]:
        """The calls of the portal; what only prepares them is not measured."""
        return [one for one in self.sent if one.request.method]

    @property
    def rate(self) -> float:
        return len(self.calls) / self.seconds


# Running


@contextmanager
def site(traced: bool) -> Iterator[tuple[Site, Running]]:
    """A fresh cloud in a process of its own, its environment and its processes."""
    port = free_port()
    sends = telemetry(f"http://{ADDRESS}:{port}") if traced else {}
    before = dict(os.environ)
    os.environ |= sends
    try:
        with local_cloud(*WHOLE_CLOUD, "--port", f"console={port}") as running:
            yield Site(Elsewhere(running.variables)), running
    finally:
        os.environ.clear()
        os.environ |= before


def drive(seconds: float, customers: int, workers: int, seed: int, traced: bool = True) -> Load:
    """Open the clinics, warm up, and measure `seconds` of traffic."""
    with site(traced) as (place, running):
        traffic = Traffic(place, seed)
        try:
            traffic.open(customers)
            traffic.run(seconds=WARM_UP_SECONDS, workers=workers)
            _forget_traces(place)
            cpu_before, begun = _cpu(running), time.perf_counter()
            sent = traffic.run(calls=MOST_CALLS, seconds=seconds, workers=workers)
            took = time.perf_counter() - begun
            cpu = {kind: n - cpu_before.get(kind, 0.0) for kind, n in _cpu(running).items()}
            spans = _slowest(place) if traced else []
            return Load(sent, took, cpu, spans, traffic.missing())
        finally:
            place.portal.close()


def _cpu(running: Running) -> dict[str, float]:
    """Seconds of processor time by kind of process, since each began."""
    found: dict[str, float] = defaultdict(float)
    for process in [psutil.Process(), *running.processes()]:
        times = process.cpu_times()
        found[_kind(process, running)] += times.user + times.system
    return dict(found)


def _kind(process: psutil.Process, running: Running) -> str:
    if process.pid == os.getpid():
        return "the driver"
    if process.pid == running.pid:
        return "the local cloud's engines"
    named = " ".join(process.cmdline()) + process.name()
    return "PostgreSQL" if "postgres" in named else "the functions' host"


def _ask(place: Site, method: str, path: str) -> Any:
    request = urllib.request.Request(place.cloud.env["CLINICLOOP_CLOUD"] + path, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or b"null")


def _forget_traces(place: Site) -> None:
    _ask(place, "DELETE", "/api/traces")


def _slowest(place: Site) -> list[Row]:
    """The kinds of spans that took most of the time, of the traces that are still kept."""
    time.sleep(1)  # the exporters send what they have every quarter of a second
    found = _ask(place, "GET", f"/api/spans/slowest?limit={_SPANS}")["spans"]
    names = ("service", "name", "count", "p50", "p95", "p99", "max", "total")
    return [{name: row[name] for name in names} for row in found]


# Saying what was found


def routes(load: Load) -> list[Row]:
    """A row for each route: calls, errors, and the milliseconds of its answers."""
    by_route: dict[str, list[Sent]] = defaultdict(list)
    for one in load.calls:
        by_route[one.route].append(one)
    rows = [_row(route, calls) for route, calls in sorted(by_route.items())]
    return [*rows, _row("all", load.calls)]


def _row(route: str, calls: Sequence[Sent]) -> Row:
    times = [one.took * 1000 for one in calls]
    cuts = statistics.quantiles(times, n=100, method="inclusive") if len(times) > 1 else times * 99
    failed = sum(one.unknown for one in calls)
    return {
        "route": route,
        "calls": float(len(calls)),
        "failed": float(failed),
        "p50 ms": cuts[49],
        "p95 ms": cuts[94],
        "p99 ms": cuts[98],
    }


def processes(load: Load) -> list[Row]:
    """Which processes the time of the processors went to."""
    whole = sum(load.cpu.values()) or 1.0
    return [
        {
            "processes": kind,
            "CPU s": seconds,
            "share %": seconds / whole * 100,
            "CPU ms a call": seconds / max(len(load.calls), 1) * 1000,
        }
        for kind, seconds in sorted(load.cpu.items(), key=lambda pair: -pair[1])
    ]


def result(load: Load, workers: int) -> Result:
    """As the other benchmarks keep it."""
    statuses = Counter(str(one.status) for one in load.calls)
    return Result(
        name="load",
        ours=f"portal calls of {workers} callers at once",
        unit="calls/s",
        our_values=[load.rate],
        limit=None,
        at_least=True,
        notes={
            "answers by status": dict(sorted(statuses.items())),
            "acknowledged and missing": load.missing,
            "processes": processes(load),
            "slowest spans": load.spans,
        },
        table=routes(load),
        bars="p99 ms",
    )


def show(load: Load, workers: int) -> Iterator[str]:
    """What was found, line by line."""
    statuses = Counter(str(one.status) for one in load.calls)
    told = ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items()))
    found = f"{len(load.calls)} calls of {workers} callers in {load.seconds:.1f} s"
    yield f"{found}: {load.rate:.0f} calls/s; answers by status: {told}"
    yield f"acknowledged and then missing: {len(load.missing)}"
    for title, table in (
        ("Answers by route", routes(load)),
        ("Processor time", processes(load)),
        ("Spans that took most of the time, ms", load.spans),
    ):
        yield ""
        yield title
        yield from aligned(table)


def publish(page: Path, lines: Sequence[str]) -> None:
    """Put what was found between the markers of a page. Raises `ValueError` without markers."""
    text = page.read_text()
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"{page} has no {_BEGIN} ... {_END}")
    figures = "\n".join(lines)
    page.write_text(f"{before}{begin}\n```\n{figures}\n```\n{end}{after}")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("python -m bench.load", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--customers", type=int, default=100)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--untraced", action="store_true", help="no telemetry, so no spans")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the figures into this page")
    chosen = parser.parse_args(arguments)
    on, before = environment.machine(), environment.load()
    print(environment.described(on), flush=True)
    load = drive(chosen.seconds, chosen.customers, chosen.workers, chosen.seed, not chosen.untraced)
    lines = [*show(load, chosen.workers)]
    print("\n".join(lines))
    loads = {"load_before": before, "load_after": environment.load()}
    keep(result(load, chosen.workers), on | loads)
    if chosen.write is not None:
        publish(chosen.write, [environment.described(on), *lines])
    return 1 if load.missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
