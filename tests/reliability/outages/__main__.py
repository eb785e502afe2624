"""Take engines and vendors away in turn for ten virtual minutes under load, let one hang; tell."""

from argparse import Namespace
from collections.abc import Sequence

from rich.console import Console

from tests.reliability.command import asked, parser, positive, replay, run, some_of
from tests.reliability.outages import hang
from tests.reliability.outages.outage import CALLS, TARGETS, prove
from tests.reliability.outages.report import begin, details, show, show_hang

_HANG = "hung-vendor"


def main() -> int:
    """0 if every outage was passed as promised, else 1."""
    options = parser("outages", __doc__)
    every = (*TARGETS, _HANG)
    known = f"with commas, of {', '.join(every)}; all if not"
    options.add_argument("--targets", type=some_of(every), default=every, help=known)
    options.add_argument("--seed", type=int, default=7, help="of the traffic; 7 if not")
    options.add_argument(
        "--calls", type=positive, default=CALLS, help=f"of portals, in each outage; {CALLS} if not"
    )
    chosen = asked(options)
    console = Console()
    kept = _away([target for target in chosen.targets if target != _HANG], chosen, console)
    if _HANG in chosen.targets:
        hung = hang.prove(chosen.seed)
        show_hang(hung, console)
        kept.append(hung.kept)
    if not all(kept):
        again = f"--targets {','.join(chosen.targets)} --calls {chosen.calls}"
        console.print(f"again: {replay('outages', chosen.seed, again)}", soft_wrap=True)
    return 0 if all(kept) else 1


def _away(targets: Sequence[str], chosen: Namespace, console: Console) -> list[bool]:
    """Take each away in turn; whether each promise was kept."""
    if not targets:
        return []
    outcomes = []
    begin(console)
    for target in targets:
        outcomes.append(prove(target, chosen.seed, chosen.calls))
        show(outcomes[-1], console)
    details(outcomes, console)
    return [outcome.kept for outcome in outcomes]


if __name__ == "__main__":
    run(main)
