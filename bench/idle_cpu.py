"""What the whole local cloud takes of a core while nobody asks it for anything."""

import time
from collections.abc import Iterator

from bench.emulated import WHOLE_CLOUD, Running, local_cloud
from bench.kit import Result, measure

SECONDS = 20
ROUNDS = 3
REST_SECONDS = 10
LIMIT_PERCENT = 2.0


def _taken(cloud: Running) -> dict[str, float]:
    """CPU seconds of each process until now."""
    taken = {}
    for process in cloud.processes():
        times = process.cpu_times()
        taken[f"{process.pid} {process.name()}"] = times.user + times.system
    return taken


def run() -> Iterator[Result]:
    shares: dict[str, float] = {}
    with local_cloud(*WHOLE_CLOUD) as cloud:
        time.sleep(REST_SECONDS)

        def idle() -> float:
            before, begun = _taken(cloud), time.perf_counter()
            time.sleep(SECONDS)
            after, seconds = _taken(cloud), time.perf_counter() - begun
            for name, spent in after.items():
                shares[name] = round((spent - before.get(name, 0)) / seconds * 100, 2)
            return (sum(after.values()) - sum(before.values())) / seconds * 100

        yield measure(
            "idle_cpu",
            ("all processes of the local cloud, idle", idle),
            unit="% of a core",
            limit=LIMIT_PERCENT,
            at_least=False,
            rounds=ROUNDS,
            notes={"by process in the last round, %": shares},
        )
