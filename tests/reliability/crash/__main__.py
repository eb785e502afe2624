"""`python -m tests.reliability.crash --seeds 20`: kill at every point, compare, tell."""

import argparse
import logging
import sys

from rich.console import Console

from tests.reliability.crash.proof import POINTS, prove
from tests.reliability.crash.report import show, show_seed


def main() -> int:
    """0 if every promise was kept and something was killed at every point, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many: 1, 2, 3 ...")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--points", default=",".join(POINTS), help="with commas; all by default")
    options = parser.parse_args()
    points = options.points.split(",")
    if unknown := set(points) - set(POINTS):
        parser.error(f"no points: {', '.join(unknown)}; there is {', '.join(POINTS)}")
    seeds = [options.seed] if options.seed is not None else range(1, options.seeds + 1)
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)  # clients die in the midst of calls
    console, verdicts = Console(), []
    for seed in seeds:
        verdicts.append(prove(seed, points))
        show_seed(verdicts[-1], console)
    show(verdicts, console)
    return 0 if all(verdict.kept for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
