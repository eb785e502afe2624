"""`python -m tests.reliability.outages`: take each target away in turn, and tell."""

import argparse
import sys

from rich.console import Console

from tests.reliability.outages.outage import CALLS, TARGETS, prove
from tests.reliability.outages.report import begin, details


def main() -> int:
    """0 if every outage was passed as promised, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", action="append", choices=TARGETS, help="all by default")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--calls", type=int, default=CALLS, help="of portals, in each outage")
    options = parser.parse_args()
    console = Console()
    outcomes = []
    with begin(console) as show:
        for target in options.target or TARGETS:
            outcomes.append(prove(target, options.seed, options.calls))
            show(outcomes[-1])
    details(outcomes, console)
    return 0 if all(outcome.kept for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
