"""Replace a column release by release, old and new code side by side under load, and tell."""

from tests.reliability.command import add_load, asked, parser, run, told
from tests.reliability.schema_change.proof import prove


def main() -> int:
    """0 if nobody noticed and all is as it should be, else 1."""
    options = parser("schema_change", __doc__)
    add_load(options)
    options.add_argument("--seconds", type=float, default=5, help="of each state; 5 if not")
    chosen = asked(options)
    outcome = prove(chosen.seed, chosen.customers, chosen.seconds, chosen.workers)
    return told("schema_change", outcome, chosen, f"--seconds {chosen.seconds:g}")


if __name__ == "__main__":
    run(main)
