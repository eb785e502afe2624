"""Kill PostgreSQL under load, look for all that was acknowledged, and tell."""

import sys

from tests.reliability.command import asked, parser, positive, replay, run
from tests.reliability.database_kill.proof import prove


def main() -> int:
    """0 if every acknowledged write is there and all went on by itself, else 1."""
    options = parser("database_kill", __doc__)
    options.add_argument("--seed", type=int, default=7, help="of the traffic; 7 if not")
    options.add_argument("--kills", type=positive, default=3, help="3 if not")
    options.add_argument("--customers", type=positive, default=40, help="40 if not")
    options.add_argument(
        "--workers", type=positive, default=4, help="portals that call at once; 4 if not"
    )
    chosen = asked(options)
    outcome = prove(chosen.seed, chosen.kills, chosen.customers, chosen.workers)
    sys.stdout.writelines(f"{line}\n" for line in outcome.lines())
    if outcome.kept:
        return 0
    size = f"--kills {chosen.kills} --customers {chosen.customers}"
    again = replay("database_kill", chosen.seed, f"{size} --workers {chosen.workers}")
    sys.stdout.write(f"again: {again}\n")
    return 1


if __name__ == "__main__":
    run(main)
