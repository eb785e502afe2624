"""What portal calls take while a vendor hangs, against what they take in calm.

In production every function is a service of its own; here all share the host's sixteen threads, so
that calls which hang are in everybody's way unless they are few.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.kit import Result, compare, expect
from emulators.cloud import Options
from emulators.demo.journey import BEGINS
from emulators.demo.stage import Stage
from emulators.running import running
from emulators.traffic import Traffic

LIMIT = 1.2
ROUNDS = 5
VENDOR = "zendesk"
_SECONDS = 4.0
_WORKERS = 2
_CUSTOMERS = 16
_PLENTY = 10_000
_REST_SECONDS = 30.0


class _Portal:
    """A clinic at work, on time that runs."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._traffic = Traffic(stage, seed=1)
        self._traffic.open(_CUSTOMERS)
        self.hung: list[int] = []

    def calm(self) -> float:
        """The 99th percentile of what portal calls take, in milliseconds."""
        self._rest()
        sent = self._traffic.run(seconds=_SECONDS, workers=_WORKERS)
        took = [one.took * 1000 for one in sent if one.request.method]
        expect("portal calls that failed", sum(one.unknown for one in sent), 0)
        return statistics.quantiles(took, n=100)[98]

    def hanging(self) -> float:
        """The same while a vendor answers nobody."""
        self._rest()
        fault = self._stage.cloud.fault(VENDOR, "hang", count=_PLENTY)
        try:
            return self.calm()
        finally:
            self.hung.append(_PLENTY - (fault.fault.count or 0))
            fault.end()

    def _rest(self) -> None:
        """Wait until what the round before left behind is done."""
        until = time.monotonic() + _REST_SECONDS
        cloud = self._stage.cloud
        while any(one["backlog"] for one in cloud.describe("pubsub")["subscriptions"]):
            if time.monotonic() > until or cloud.faults.in_force():
                return
            time.sleep(0.1)

    def check(self) -> None:
        """Every round was one, and every acknowledged write is there."""
        expect("rounds without a call that hung", self.hung.count(0), 0)
        expect("acknowledged writes that are not there", self._traffic.missing(), [])


def run() -> Iterator[Result]:
    with tempfile.TemporaryDirectory(prefix="clinicloop-bench-") as folder:
        options = Options(Path(folder), throwaway=True, in_memory=True, starts=BEGINS)
        with running(options) as cloud:
            stage = Stage(cloud)
            try:
                portal = _Portal(stage)
                result = compare(
                    "hung_vendor",
                    (f"99th percentile of portal calls while {VENDOR} hangs", portal.hanging),
                    ("in calm", portal.calm),
                    unit="ms",
                    limit=LIMIT,
                    at_least=False,
                    rounds=ROUNDS,
                )
                portal.check()
                result.notes["calls that hung in each round"] = portal.hung
                yield result
            finally:
                stage.close()
