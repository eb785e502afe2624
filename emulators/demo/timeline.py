"""The stories of a few customers, told from what the product recorded."""

from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from emulators.demo.stage import Player, Stage

_STORIES: tuple[tuple[str, Callable[[Player, str], bool]], ...] = (
    ("renews for another term", lambda who, status: status == "renewed" and not who.special),
    ("paid upfront and completes", lambda _, status: status == "completed"),
    ("pauses and resumes", lambda who, _: who.resumes_at is not None),
    ("cancels while the renewal is queued", lambda who, _: who.special == "stale"),
    ("is declined for good", lambda who, _: who.seed.card == "always_declined"),
)
_QUIET = {"invoice.changed", "subscription.changed", "message.accepted", "message.queued"}


def show(stage: Stage, console: Console) -> None:
    """One table for each kind of life that occurred."""
    now = stage.cloud.now
    for title, fits in _STORIES:
        player = next((p for p in stage.players if fits(p, p.expected(now))), None)
        if player is not None:
            console.print(_story(stage, player, title))


def _story(stage: Stage, player: Player, title: str) -> Table:
    table = Table(title=f"A customer {title}", title_justify="left", show_edge=False)
    table.add_column("virtual time", style="cyan", no_wrap=True)
    table.add_column("what happened")
    table.add_column("detail", style="dim")
    for event in stage.told:
        if player.person.id == event["payload"].get("customer_id") and event["type"] not in _QUIET:
            when = f"{event['created_at']:%Y-%m-%d %H:%M}"
            table.add_row(when, event["type"], _detail(event["payload"]))
    return table


def _detail(payload: dict[str, object]) -> str:
    shown = {
        name: value
        for name, value in payload.items()
        if not name.endswith("_id") and name != "version" and value is not None
    }
    return ", ".join(f"{name}={_plain(value)}" for name, value in shown.items())


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return f"{value['amount'] / 100:.2f} {value['currency']}"
    if isinstance(value, list):
        return "+".join(map(str, value))
    return str(value)
