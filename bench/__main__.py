"""Run the benchmarks: `python -m bench` all of them, `python -m bench NAME ...` some.

`--publish` writes docs/benchmarks.md from the results that are there, and measures nothing. With
BENCH_STRICT set, a limit that is missed is an exit code of 1; a benchmark that breaks always is.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import environment, publish
from bench.apart import BROKEN, MISSED, apart

NAMES = sorted(
    path.stem
    for path in Path(__file__).parent.glob("*.py")
    if "\ndef run() -> Iterator[Result]:" in path.read_text()
)
"""A module that has this function is a benchmark."""


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
    ends = [apart(name) for name in chosen.names or NAMES]
    return 1 if BROKEN in ends or (MISSED in ends and "BENCH_STRICT" in os.environ) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
