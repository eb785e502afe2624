"""Kill a process at every point of every step it takes; compare with an undisturbed life; tell."""

import logging

from rich.console import Console

from tests.reliability.command import add_seeds, asked, parser, run, seeds, some_of
from tests.reliability.crash.proof import POINTS, prove
from tests.reliability.crash.report import show, show_seed


def main() -> int:
    """0 if every promise was kept and something was killed at every point, else 1."""
    options = parser("crash", __doc__)
    add_seeds(options, 20)
    options.add_argument(
        "--points", type=some_of(POINTS), default=POINTS, help="with commas; all if not"
    )
    chosen = asked(options)
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)  # clients die in the midst of calls
    console, verdicts = Console(), []
    for seed in seeds(chosen):
        verdicts.append(prove(seed, chosen.points))
        show_seed(verdicts[-1], console)
    show(verdicts, console)
    return 0 if all(verdict.kept for verdict in verdicts) else 1


if __name__ == "__main__":
    run(main)
