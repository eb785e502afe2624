"""What was promised is kept by others when the process that promised it stands still from then on.

And nothing is doubled or undone when it goes on: after its answer, or in the middle of a request.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from emulators.demo.stage import Player
from tests.journeys.street import RENEWAL
from tests.reliability.freeze.hall import Hall
from tests.reliability.freeze.proof import Verdict, chosen, fresh_stage, prove

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def hall() -> Iterator[Hall]:
    with fresh_stage() as stage:
        made = Hall(stage)
        yield made
        made.close()


@pytest.fixture(scope="module")
def player(hall: Hall) -> Player:
    return hall.open()


@dataclass
class Kept:
    """A promise, and what is true of it with the process still standing, and when it went on."""

    promised: Any
    while_stopped: Any
    afterwards: Any
    changed: dict[str, Any]
    """What is different in the facts once the process went on."""


def frozen(hall: Hall, ask: Callable[[], Any], truth: Callable[[], Any]) -> Kept:
    """Stop a process after its answer; time passes; it goes on, later than all its leases."""
    answers: list[Any] = []
    pid = hall.stopped_after(lambda: answers.append(ask()))
    hall.cloud.advance(minutes=15)
    while_stopped, before = truth(), hall.facts()
    hall.thaw(pid)
    after = hall.facts()
    differing = {key: after[key] for key in after if after[key] != before[key]}
    return Kept(answers[0], while_stopped, truth(), differing)


def test_a_portals_command_is_carried_out_by_others(hall: Hall, player: Player) -> None:
    path = f"/contracts/{player.contract_id}/pause"
    hall.stage.portal.sign_in(player.person)

    def pause() -> Any:
        return hall.stage.portal.call(player.person, "POST", path)["status"]

    def truth() -> tuple[Any, ...]:
        document = hall.stage.mirrored("contracts")[player.contract_id]
        at_vendor = hall.stage.at_chargebee("subscription")[player.subscription_id]["status"]
        return document["status"], at_vendor

    kept = frozen(hall, pause, truth)
    assert kept.promised == "paused"
    assert kept.while_stopped == kept.afterwards == ("paused", "paused")
    assert kept.changed == {}
    hall.street.about(player, "resume")


def test_a_webhook_is_taken_over_by_others(hall: Hall, player: Player) -> None:
    chargebees = "count(*) FROM platform.webhooks WHERE vendor = 'chargebee'"
    known = hall.stage.one(f"SELECT {chargebees}")

    def truth() -> tuple[int, int]:
        return (
            hall.stage.one(f"SELECT {chargebees}"),
            hall.stage.one(
                "SELECT count(*) FROM platform.intents "
                "WHERE handler = 'webhook_applies' AND state = 'done'"
            ),
        )

    hall.cloud.settle()
    kept = frozen(hall, hall.webhook, truth)
    assert kept.promised == 204
    assert kept.while_stopped[0] >= known + 1
    assert kept.while_stopped == kept.afterwards
    assert kept.while_stopped[0] == kept.while_stopped[1]
    assert kept.changed == {}


def test_a_push_that_was_acknowledged_took_effect(hall: Hall, player: Player) -> None:
    event_id = str(uuid4())

    def truth() -> tuple[int, int]:
        told = [sent for sent in hall.stage.sent("iterable") if sent.id.startswith(event_id)]
        values = "SELECT coalesce(sum(amount), 0) FROM customers.lifetime_values"
        return int(hall.stage.one(values)), len(told)

    value, _ = truth()
    kept = frozen(hall, lambda: hall.push_payment(player, 1234, event_id), truth)
    assert kept.promised == 204
    assert kept.while_stopped == kept.afterwards == (value + 1234, 1)
    assert hall.push_payment(player, 1234, event_id) == 204
    assert (truth(), kept.changed) == ((value + 1234, 1), {})


def test_a_cron_that_was_answered_left_nothing_behind(hall: Hall, player: Player) -> None:
    with hall.cloud.fault("pubsub", "down"):
        hall.street.ask(player, "PATCH", "/customers/me", {"phone": "+491713920077"})
    unsent = "SELECT count(*) FROM platform.outbox WHERE sent_at IS NULL"
    assert hall.stage.one(unsent) == 1
    kept = frozen(
        hall,
        lambda: hall.trigger("outbox_relay", "/crons/outbox_drains", "scheduler"),
        lambda: hall.stage.one(unsent),
    )
    assert (kept.promised, kept.while_stopped, kept.afterwards) == (204, 0, 0)
    assert kept.changed == {}


def test_a_task_that_was_done_fired_its_timer(hall: Hall, player: Player) -> None:
    query = "SELECT * FROM platform.timers WHERE kind = 'contract.renewal' ORDER BY due_at LIMIT 1"
    (timer,) = hall.stage.rows(query)
    due = max(timer["due_at"], RENEWAL)
    hall.cloud.advance(due - timedelta(days=2))
    with hall.cloud.fault("tasks", "delay", late=7200):
        hall.cloud.advance(due + timedelta(minutes=1))
        body = {"timer_id": str(timer["id"]), "version": timer["version"]}

        def truth() -> tuple[int, int]:
            renewed = "SELECT count(*) FROM contracts.contracts WHERE predecessor_id IS NOT NULL"
            subscription = hall.stage.at_chargebee("subscription")[player.subscription_id]
            linked = subscription["cf_contract_id"] not in ("", None, player.contract_id)
            return hall.stage.one(renewed), int(linked)

        kept = frozen(hall, lambda: hall.trigger("contract_agent", "/timers", "tasks", body), truth)
    assert kept.promised == 204
    assert kept.while_stopped == kept.afterwards == (1, 1)
    assert kept.changed == {}


@pytest.fixture(scope="module")
def verdict() -> Verdict:
    """A life in which processes stood still after an answer and in the middle of requests."""
    return prove(1, chosen(1, 5))


def test_processes_stood_still_where_they_were_to(verdict: Verdict) -> None:
    assert set(verdict.stopped) == set(verdict.armed)


def test_nothing_was_lost_or_doubled(verdict: Verdict) -> None:
    assert {promise: found for promise, found in verdict.lost.items() if found} == {}
    assert {promise: found for promise, found in verdict.doubled.items() if found} == {}
