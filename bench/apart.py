"""Each benchmark in a process of its own: what one sets or keeps there ends with it."""

import importlib
import sys
import time
from multiprocessing import get_context

from bench import environment
from bench.kit import keep

MISSED, BROKEN = 3, 1


def apart(name: str) -> int:
    """Run a benchmark; answers 0, `MISSED` if a limit was, or `BROKEN` if it came to no end."""
    process = get_context("spawn").Process(target=run, args=(name,))
    process.start()
    process.join()
    if process.exitcode not in (0, MISSED):
        print(f"{name}: BROKEN\n", flush=True)
        return BROKEN
    return process.exitcode or 0


def run(name: str) -> None:
    """Run a benchmark here, print and keep what it finds; exits with `MISSED` if a limit was."""
    missed = 0
    before, begun = environment.load(), time.perf_counter()
    for result in importlib.import_module(f"bench.{name}").run():
        after = environment.load()
        keep(result, environment.machine() | {"load_before": before, "load_after": after})
        missed += result.met is False
        print(result.line(), flush=True)
    seconds = time.perf_counter() - begun
    print(
        f"  [{name}: {seconds:.0f} s, load {before} before, {environment.load()} after]\n",
        flush=True,
    )
    sys.exit(MISSED if missed else 0)
