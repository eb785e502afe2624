"""`python -m tests.reliability.outages`: take each target away in turn, and tell."""

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console

from tests.reliability.outages import hang
from tests.reliability.outages.outage import CALLS, TARGETS, prove
from tests.reliability.outages.report import begin, details, show_hang

_HANG = "hung-vendor"
_WIDTH = 110


def main() -> int:
    """0 if every outage was passed as promised, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    choices = (*TARGETS, _HANG)
    parser.add_argument("--target", action="append", choices=choices, help="all by default")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--calls", type=int, default=CALLS, help="of portals, in each outage")
    options = parser.parse_args()
    wanted = options.target or choices
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH
    kept = _away([target for target in wanted if target != _HANG], options, console)
    if _HANG in wanted:
        hung = hang.prove(options.seed)
        show_hang(hung, console)
        kept.append(hung.kept)
    return 0 if all(kept) else 1


def _away(targets: Sequence[str], options: argparse.Namespace, console: Console) -> list[bool]:
    """Take each away in turn; whether each promise was kept."""
    if not targets:
        return []
    outcomes = []
    with begin(console) as show:
        for target in targets:
            outcomes.append(prove(target, options.seed, options.calls))
            show(outcomes[-1])
    details(outcomes, console)
    return [outcome.kept for outcome in outcomes]


if __name__ == "__main__":
    sys.exit(main())
