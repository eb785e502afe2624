"""Run the benchmarks: `python -m bench` all of them, `python -m bench NAME` one."""

import importlib
import os
import sys

from bench.kit import keep, surroundings

NAMES = (
    "cold_start",
    "push_handling",
    "outbox_relay",
    "virtual_months",
    "cloud_start",
    "idle_cpu",
    "pubsub_throughput",
    "pubsub_memory",
    "firestore_contention",
)


def main() -> int:
    chosen = sys.argv[1:] or NAMES
    print("on", surroundings(), flush=True)
    missed = 0
    for name in chosen:
        for result in importlib.import_module(f"bench.{name}").run():
            keep(result)
            missed += result.met is False
            print(result.line(), flush=True)
    return 1 if missed and "BENCH_STRICT" in os.environ else 0


if __name__ == "__main__":
    sys.exit(main())
