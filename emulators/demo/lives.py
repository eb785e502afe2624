"""What customers do after they signed, and two accidents that the product must survive."""

from collections.abc import Callable
from datetime import datetime, timedelta

from dateutil.relativedelta import relativedelta

from emulators.demo.stage import Player, Stage

Act = Callable[[], None]


def choose_specials(stage: Stage) -> None:
    """Two customers who would just renew: one cancels at the last moment, one loses their task."""
    plain = [
        player
        for player in stage.players
        if player.seed.renews
        and not player.seed.upfront
        and player.seed.card == "ok"
        and player.seed.pauses_month is None
        and player.seed.changes_plan_month is None
    ]
    plain[0].special, plain[1].special = "stale", "lost"


def agenda(stage: Stage, begins: datetime, month: int) -> list[tuple[datetime, Act]]:
    """Who does what when in a month (counted from 1), in the order of time."""
    start = begins + relativedelta(months=month - 1)
    end = begins + relativedelta(months=month)
    found = [
        (instant, act)
        for number, player in enumerate(stage.players)
        for instant, act in _acts(stage, player, start + timedelta(days=20, minutes=number), month)
    ]
    found += _accidents(stage)
    found += [(start + timedelta(days=day), stage.listen) for day in range(7, 31, 7)]
    return sorted(
        ((instant, act) for instant, act in found if start < instant <= end),
        key=lambda entry: entry[0],
    )


def _acts(stage: Stage, player: Player, at: datetime, month: int) -> list[tuple[datetime, Act]]:
    seed = player.seed
    todo: list[tuple[datetime, Act]] = []
    if seed.cancels_month == month:
        body = {"at_term": month % 2 == 0}
        todo.append((at, lambda: _ask(stage, player, "POST", "/cancellation", body)))
    if seed.pauses_month == month and player.may_pause:
        todo.append((at, lambda: _pause(stage, player)))
    if seed.resumes_month == month and player.may_pause:
        todo.append((at, lambda: _resume(stage, player)))
    if seed.changes_plan_month == month and seed.treatment != "skin-care":
        plan = {"plan": f"{seed.treatment}-6month-EUR", "takes_effect": "end_of_term"}
        todo.append((at, lambda: _ask(stage, player, "POST", "/plan", plan)))
    if seed.changes_phone_month == month:
        todo.append((at, lambda: _change_phone(stage, player)))
    return todo


def _ask(stage: Stage, player: Player, method: str, what: str, body: object = None) -> None:
    """Sign in anew (the last token expired long ago) and ask something of the contract."""
    stage.portal.sign_in(player.person)
    stage.portal.call(player.person, method, f"/contracts/{player.contract_id}{what}", body)


def _pause(stage: Stage, player: Player) -> None:
    _ask(stage, player, "POST", "/pause")
    player.pauses_at = stage.cloud.now


def _resume(stage: Stage, player: Player) -> None:
    _ask(stage, player, "POST", "/resume")
    player.resumes_at = stage.cloud.now


def _change_phone(stage: Stage, player: Player) -> None:
    stage.portal.sign_in(player.person)
    stage.portal.call(player.person, "PATCH", "/customers/me", {"phone": player.seed.new_phone})


def _accidents(stage: Stage) -> list[tuple[datetime, Act]]:
    """Twelve hours before a renewal its task is queued: one is outrun, another is lost."""
    acts = {"stale": _cancel_late, "lost": _lose_task}
    return [
        (player.renewal_at - timedelta(hours=12), lambda p=player: acts[p.special](stage, p))  # type: ignore[misc]
        for player in stage.players
        if player.special
    ]


def _cancel_late(stage: Stage, player: Player) -> None:
    """Cancel while the renewal's task is queued; the task must find nothing to do."""
    stage.marks["queued"] = _queued(stage, player)
    _ask(stage, player, "POST", "/cancellation", {"at_term": False})


def _lose_task(stage: Stage, player: Player) -> None:
    """Make the timer disappear, so that only the daily check can notice the renewal."""
    stage.rows(
        "DELETE FROM platform.timers WHERE kind = 'contract.renewal' AND subject = :subject",
        subject=player.contract_id,
    )


def _queued(stage: Stage, player: Player) -> bool:
    found = stage.rows(
        "SELECT queued_at FROM platform.timers "
        "WHERE kind = 'contract.renewal' AND subject = :subject AND state = 'scheduled'",
        subject=player.contract_id,
    )
    return bool(found and found[0]["queued_at"])
