"""Verdicts as tables: promise by promise, and point by point."""

from collections import Counter
from collections.abc import Sequence
from itertools import islice

from rich.console import Console
from rich.table import Table

from tests.reliability.command import replay
from tests.reliability.crash.proof import POINTS, Verdict

_SHOWN = 12
"""So many differences of a promise are named."""


def replay_of(verdict: Verdict) -> str:
    """The command that does it again."""
    chosen = "" if verdict.armed == POINTS else f"--points {','.join(verdict.armed)}"
    return replay("crash", verdict.seed, chosen)


def show_seed(verdict: Verdict, console: Console) -> None:
    """One line; of a seed that failed, what was lost and doubled and how to see it again."""
    lost, doubled = _total(verdict.lost), _total(verdict.doubled)
    console.print(
        f"seed {verdict.seed:>4}  killed at {len(set(verdict.killed))} of {len(verdict.armed)} "
        f"points  lost {lost}  doubled {doubled}  {verdict.seconds:.0f} s",
        style="" if verdict.kept else "red",
    )
    if verdict.kept:
        return
    if verdict.spared:
        console.print(f"  nothing was killed at: {', '.join(verdict.spared)}")
    for word, found in (("lost", verdict.lost), ("doubled", verdict.doubled)):
        for promise, things in found.items():
            for thing, times in islice(things.items(), _SHOWN):
                console.print(f"  {word} {times}: {thing}  [{promise}]", markup=False)
    console.print(f"  again: {replay_of(verdict)}", style="bold", soft_wrap=True)


def show(verdicts: Sequence[Verdict], console: Console) -> None:
    """All seeds in two tables."""
    console.print(_by_point(verdicts))
    console.print(_by_promise(verdicts))
    kept = sum(verdict.kept for verdict in verdicts)
    took = sum(verdict.seconds for verdict in verdicts)
    console.print(f"{kept} of {len(verdicts)} seeds kept every promise, {took:.0f} s")


def _by_point(verdicts: Sequence[Verdict]) -> Table:
    """A seed kills at all of its points, so what it lost is counted at each of them."""
    table = Table("point", title=f"Killed at each point, {len(verdicts)} seeds")
    for heading in ("reached", "seeds killed", "lost", "doubled"):
        table.add_column(heading, justify="right")
    for point in POINTS:
        killed = [verdict for verdict in verdicts if point in verdict.killed]
        meant = sum(point in verdict.armed for verdict in verdicts)
        if meant:
            table.add_row(
                point,
                str(sum(verdict.reached[point] for verdict in verdicts)),
                f"{len(killed)}/{meant}",
                str(sum(_total(verdict.lost) for verdict in killed)),
                str(sum(_total(verdict.doubled) for verdict in killed)),
                style="" if len(killed) == meant else "red",
            )
    return table


def _by_promise(verdicts: Sequence[Verdict]) -> Table:
    table = Table("promise", title="Against the undisturbed lives of the same seeds")
    for heading in ("compared", "lost", "doubled"):
        table.add_column(heading, justify="right")
    for promise in verdicts[0].lost:
        sums = [
            sum(of[promise].total() for of in found)
            for found in (
                [verdict.compared for verdict in verdicts],
                [verdict.lost for verdict in verdicts],
                [verdict.doubled for verdict in verdicts],
            )
        ]
        table.add_row(promise, *map(str, sums), style="red" if any(sums[1:]) else "")
    return table


def _total(found: dict[str, Counter[str]]) -> int:
    return sum(map(Counter.total, found.values()))
