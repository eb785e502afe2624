"""Kill PostgreSQL under load, look for all that was acknowledged, and tell."""

from tests.reliability.command import add_load, asked, parser, positive, run, told
from tests.reliability.database_kill.proof import prove


def main() -> int:
    """0 if every acknowledged write is there and all went on by itself, else 1."""
    options = parser("database_kill", __doc__)
    add_load(options)
    options.add_argument("--kills", type=positive, default=3, help="3 if not")
    chosen = asked(options)
    outcome = prove(chosen.seed, chosen.kills, chosen.customers, chosen.workers)
    return told("database_kill", outcome, chosen, f"--kills {chosen.kills}")


if __name__ == "__main__":
    run(main)
