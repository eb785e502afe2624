"""`python -m tests.reliability.database_kill`: kill PostgreSQL under load, compare, tell."""

import argparse
import sys

from tests.reliability.database_kill.proof import prove


def main() -> int:
    """0 if every acknowledged write is there and all went on by itself, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--customers", type=int, default=40)
    parser.add_argument("--workers", type=int, default=4, help="portals that call at once")
    options = parser.parse_args()
    outcome = prove(options.seed, options.kills, options.customers, options.workers)
    sys.stdout.writelines(f"{line}\n" for line in outcome.lines())
    return 0 if outcome.kept else 1


if __name__ == "__main__":
    sys.exit(main())
