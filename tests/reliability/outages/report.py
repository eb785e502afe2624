"""One row for each outage, and whatever was not as promised."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tests.reliability.outages.outage import DRAINED_WITHIN, MINUTES, Outcome

_MOST = 10
_COLUMNS = (
    "Away",
    "Writes asked",
    "failed",
    "refused by rules",
    "Backlog",
    "drained after",
    "Out of order",
    "Doubled",
    "Lost",
    "",
)


@contextmanager
def begin(console: Console) -> Iterator[Callable[[Outcome], None]]:
    """A table that grows; answers what adds a row."""
    title = f"Each away for {MINUTES} virtual minutes under load"
    table = Table(title=title, caption=f"drained: at most {DRAINED_WITHIN} virtual seconds")
    for column in _COLUMNS:
        table.add_column(column, justify="left" if column in ("Away", "") else "right")
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
        f"{drained} ({outcome.took:.1f} s real)",
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
