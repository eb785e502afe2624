"""One row for each outage, and whatever was not as promised."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tests.reliability.outages.hang import MOST_CALLS, SECONDS, VENDOR, Hang
from tests.reliability.outages.outage import DRAINED_WITHIN, MINUTES, Outcome

_MOST = 10
_COLUMNS = (
    "Away",
    "Writes",
    "failed",
    "refused",
    "Backlog",
    "drained in",
    "really",
    "Disorder",
    "Doubled",
    "Lost",
    "",
)


@contextmanager
def begin(console: Console) -> Iterator[Callable[[Outcome], None]]:
    """A table that grows; answers what adds a row."""
    title = f"Each away for {MINUTES} virtual minutes under load"
    table = Table(
        title=title,
        caption=f"drained in virtual seconds, at most {DRAINED_WITHIN}; refused: by the rules",
    )
    for column in _COLUMNS:
        justify: Literal["left", "right"] = "left" if column in ("Away", "") else "right"
        table.add_column(column, justify=justify, no_wrap=True)
    with Live(table, console=console):
        yield lambda outcome: table.add_row(*_cells(outcome))


def _cells(outcome: Outcome) -> Iterable[str]:
    drained = "never" if outcome.drained is None else f"{outcome.drained} s"
    return (
        outcome.target,
        f"{outcome.writes}",
        f"{len(outcome.failed)}",
        f"{outcome.refused}",
        f"{outcome.backlog}",
        drained,
        f"{outcome.took:.1f} s",
        f"{len(outcome.disorder)}",
        f"{len(outcome.doubled)}",
        f"{len(outcome.lost)}",
        "[green]kept[/green]" if outcome.kept else "[red]BROKEN[/red]",
    )


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
