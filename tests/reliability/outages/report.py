"""One row for each outage as it comes, and whatever was not as promised."""

from collections.abc import Iterable

from rich.console import Console

from tests.reliability.outages.hang import MOST_CALLS, SECONDS, VENDOR, Hang
from tests.reliability.outages.outage import DRAINED_WITHIN, MINUTES, Outcome

_MOST = 10
_COLUMNS = "away      writes  failed  refused  backlog  drained  really  disorder  doubled  lost"
_ROW = "{:<9}{:>7}{:>8}{:>9}{:>9}{:>9}{:>8}{:>10}{:>9}{:>6}  {}"


def begin(console: Console) -> None:
    """The heading of the rows to come."""
    console.print(
        f"Each away for {MINUTES} virtual minutes. refused: by the rules; drained: within "
        f"{DRAINED_WITHIN} virtual seconds\n\n{_COLUMNS}",
        highlight=False,
        soft_wrap=True,
    )


def show(outcome: Outcome, console: Console) -> None:
    """One row."""
    drained = "never" if outcome.drained is None else f"{outcome.drained} s"
    row = _ROW.format(
        outcome.target,
        outcome.writes,
        len(outcome.failed),
        outcome.refused,
        outcome.backlog,
        drained,
        f"{outcome.took:.1f} s",
        len(outcome.disorder),
        len(outcome.doubled),
        len(outcome.lost),
        "[green]kept[/green]" if outcome.kept else "[red]BROKEN[/red]",
    )
    console.print(row, highlight=False, soft_wrap=True)


def details(outcomes: Iterable[Outcome], console: Console) -> None:
    """Say what exactly was not as promised."""
    for outcome in outcomes:
        for what in ("failed", "disorder", "doubled", "lost"):
            said: list[str] = getattr(outcome, what)
            for one in said[:_MOST]:
                console.print(f"{outcome.target}, {what}: {one}", markup=False)
            if len(said) > _MOST:
                console.print(f"{outcome.target}, {what}: and {len(said) - _MOST} more")


def show_hang(hung: Hang, console: Console) -> None:
    """One sentence, and what was not as promised."""
    console.print(
        f"{VENDOR} hung for {SECONDS:g} s of {hung.writes} writes and got {hung.calls} calls "
        f"(at most {MOST_CALLS}); failed writes {len(hung.failed)}, left behind {hung.left}, "
        f"doubled {len(hung.doubled)}, lost {len(hung.lost)}: "
        + ("[green]kept[/green]" if hung.kept else "[red]BROKEN[/red]")
    )
    for one in (*hung.failed, *hung.doubled, *hung.lost)[:_MOST]:
        console.print(one, markup=False)
