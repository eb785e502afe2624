"""`python -m tests.reliability.schema_change`: replace a column under load, and tell."""

import argparse
import sys

from tests.reliability.schema_change.proof import prove


def main() -> int:
    """0 if nobody noticed and all is as it should be, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--customers", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=5, help="how long each state lasts")
    parser.add_argument("--workers", type=int, default=4, help="portals that call at once")
    options = parser.parse_args()
    outcome = prove(options.seed, options.customers, options.seconds, options.workers)
    sys.stdout.writelines(f"{line}\n" for line in outcome.lines())
    return 0 if outcome.kept else 1


if __name__ == "__main__":
    sys.exit(main())
