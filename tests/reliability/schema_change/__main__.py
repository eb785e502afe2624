"""Replace a column release by release, old and new code side by side under load, and tell."""

import sys

from tests.reliability.command import asked, parser, positive, replay, run
from tests.reliability.schema_change.proof import prove


def main() -> int:
    """0 if nobody noticed and all is as it should be, else 1."""
    options = parser("schema_change", __doc__)
    options.add_argument("--seed", type=int, default=7, help="of the traffic; 7 if not")
    options.add_argument("--seconds", type=float, default=5, help="of each state; 5 if not")
    options.add_argument("--customers", type=positive, default=40, help="40 if not")
    options.add_argument(
        "--workers", type=positive, default=4, help="portals that call at once; 4 if not"
    )
    chosen = asked(options)
    outcome = prove(chosen.seed, chosen.customers, chosen.seconds, chosen.workers)
    sys.stdout.writelines(f"{line}\n" for line in outcome.lines())
    if outcome.kept:
        return 0
    size = f"--customers {chosen.customers} --seconds {chosen.seconds:g}"
    again = replay("schema_change", chosen.seed, f"{size} --workers {chosen.workers}")
    sys.stdout.write(f"again: {again}\n")
    return 1


if __name__ == "__main__":
    run(main)
