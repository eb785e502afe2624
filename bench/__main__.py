"""Run the benchmarks: `python -m bench` all of them, `python -m bench NAME ...` some.

`--publish` writes docs/benchmarks.md from the results that are there, and measures nothing. With
BENCH_STRICT set, a limit that is missed is an exit code of 1.
"""

import argparse
import importlib
import os
import sys
import time
from collections.abc import Sequence

from bench import environment, publish
from bench.kit import keep

NAMES = (
    "cold_start",
    "push_handling",
    "layers",
    "telemetry_overhead",
    "outbox_relay",
    "virtual_months",
    "cloud_start",
    "idle_cpu",
    "pubsub_throughput",
    "pubsub_memory",
    "firestore_contention",
)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("python -m bench", description="Run the benchmarks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(NAMES)}")
    parser.add_argument("--publish", action="store_true", help="write docs/benchmarks.md")
    chosen = parser.parse_args(arguments)
    if unknown := [name for name in chosen.names if name not in NAMES]:
        parser.error(f"no benchmark is called {unknown[0]}; there are {', '.join(NAMES)}")
    if chosen.publish:
        publish.write()
        return 0
    print(environment.described(environment.machine()), flush=True)
    missed = sum(run(name) for name in chosen.names or NAMES)
    return 1 if missed and "BENCH_STRICT" in os.environ else 0


def run(name: str) -> int:
    """Run one benchmark, print and keep what it finds; answers how many limits were missed."""
    missed = 0
    before, begun = environment.load(), time.perf_counter()
    for result in importlib.import_module(f"bench.{name}").run():
        after = environment.load()
        keep(result, environment.machine() | {"load_before": before, "load_after": after})
        missed += result.met is False
        print(result.line(), flush=True)
    seconds = time.perf_counter() - begun
    print(f"  [{name}: {seconds:.0f} s, load {before} before, {environment.load()} after]\n")
    return missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
