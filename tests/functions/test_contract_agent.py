"""The life of contracts at the billing provider: linked, begun, renewed, completed, ended."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.domains.contracts.model import ACTIVATION_TIMER, RENEWAL_TIMER
from shared.events.billing import SubscriptionChanged, SubscriptionStatus
from shared.kernel.ids import ContractId, CustomerId, EventId, SubscriptionId
from shared.kernel.tenancy import Role
from tests.conftest import BERLIN, KOLKATA
from tests.functions.contract_desk import (
    AGENT,
    MONTHLY,
    QUARTERLY,
    SIX_MONTHS,
    ZONE,
    Deal,
    Desk,
    desk,
    site,
)

__all__ = ["desk", "site"]


def midnight(day: Any) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=ZONE).astimezone(UTC)


# It is linked


def test_a_contract_is_put_on_its_subscription_and_its_renewal_is_scheduled(desk: Desk) -> None:
    deal = desk.deal()
    row = desk.row(deal.contract)
    assert desk.held(deal)["cf_contract_id"] == str(deal.contract)
    assert (row["status"], row["linked"]) == ("active", True)
    due = midnight(row["ends_on"] - timedelta(days=1))
    assert desk.renewal(deal.contract)["due_at"] == due
    (created,) = desk.emitted("contract.created", deal.contract)
    assert datetime.fromisoformat(created["renewal_at"]) == due


def test_a_request_that_is_delivered_twice_links_once(desk: Desk) -> None:
    deal = desk.deal()
    version = desk.held(deal)["resource_version"]
    desk.tell("contract.requested")
    assert desk.held(deal)["resource_version"] == version
    assert len(desk.emitted("contract.created", deal.contract)) == 1


def test_a_fact_told_by_two_occurrences_links_once(desk: Desk) -> None:
    deal = desk.deal()
    (row,) = desk.house.rows("SELECT * FROM platform.outbox WHERE type = 'contract.requested'")
    attributes = row["attributes"] | {"ce-id": str(EventId.new())}
    assert desk.house.push(AGENT, row["payload"].encode(), attributes).status_code == 204
    assert len(desk.emitted("contract.created", deal.contract)) == 1


def rejected(desk: Desk, uid: str, subscription: str) -> ContractId:
    contract = desk.request(uid, subscription)
    desk.tell("contract.requested")
    assert desk.status(contract) == "rejected"
    assert len(desk.emitted("contract.rejected", contract)) == 1
    assert desk.emitted("contract.created", contract) == []
    return contract


def test_somebody_elses_subscription_is_rejected(desk: Desk) -> None:
    eve, _ = desk.join()
    _, ada = desk.join()
    theirs = desk.site.subscribe(desk.site.customer(customer_id=ada))
    rejected(desk, eve, theirs)
    held = desk.site.sdk.Subscription.retrieve(theirs).subscription.raw_data
    assert "cf_contract_id" not in held


def test_a_subscription_of_another_clinic_is_rejected(desk: Desk) -> None:
    uid, customer = desk.join()
    desk.site.customer(customer_id=customer)
    rejected(desk, uid, desk.site.subscribe(customer, KOLKATA))


def test_a_subscription_that_does_not_exist_is_rejected(desk: Desk) -> None:
    uid, _ = desk.join()
    rejected(desk, uid, "no-such-subscription")


def test_a_subscription_that_has_ended_is_rejected(desk: Desk) -> None:
    uid, customer = desk.join()
    ended = desk.site.subscribe(desk.site.customer(customer_id=customer))
    desk.site.sdk.Subscription.cancel_for_items(ended, {})
    rejected(desk, uid, ended)


def test_a_rejected_contract_makes_room_for_another(desk: Desk) -> None:
    uid, customer = desk.join()
    desk.site.customer(customer_id=customer)
    rejected(desk, uid, "no-such-subscription")
    contract = desk.request(uid, desk.site.subscribe(customer))
    desk.tell("contract.requested")
    assert desk.status(contract) == "active"


def test_a_contract_begins_on_its_first_day(desk: Desk) -> None:
    deal = desk.deal(starts_in=3)
    assert desk.status(deal.contract) == "future"
    timer = desk.house.timer(ACTIVATION_TIMER, deal.contract)
    assert timer["due_at"] == midnight(desk.row(deal.contract)["starts_on"])
    desk.reach(timer["due_at"])
    desk.fire(timer)
    assert desk.status(deal.contract) == "active"
    assert len(desk.emitted("contract.activated", deal.contract)) == 1


# Its term ends


def test_without_an_upfront_option_a_term_is_followed_by_another(desk: Desk) -> None:
    deal = desk.deal()
    before = desk.row(deal.contract)
    desk.end_term(deal)
    (successor,) = desk.successors(deal.contract)
    assert desk.status(deal.contract) == "renewed"
    assert (successor["status"], successor["starts_on"]) == ("future", before["ends_on"])
    assert (successor["plan"], successor["subscription_id"]) == (MONTHLY, deal.subscription)
    desk.tell("contract.renewed")
    assert desk.held(deal)["cf_contract_id"] == str(successor["id"])
    assert desk.renewal(successor["id"])["state"] == "scheduled"
    begins = desk.house.timer(ACTIVATION_TIMER, successor["id"])
    desk.reach(begins["due_at"])
    desk.fire(begins)
    assert desk.status(successor["id"]) == "active"


def test_an_upfront_term_is_completed_and_goes_on_monthly(desk: Desk) -> None:
    deal = desk.deal(SIX_MONTHS)
    desk.end_term(deal)
    assert desk.status(deal.contract) == "completed"
    assert desk.successors(deal.contract) == []
    desk.tell("contract.completed")
    held = desk.held(deal)
    assert "cf_contract_id" not in held
    assert (desk.price(deal), desk.coming_price(deal)) == (SIX_MONTHS, MONTHLY)
    desk.reach(desk.site.now + timedelta(days=5))
    assert desk.price(deal) == MONTHLY


def test_a_contract_that_ends_with_its_term_is_cancelled_then(desk: Desk) -> None:
    deal = desk.deal()
    desk.ask(deal, "cancellation", {"at_term": True})
    desk.tell("contract.cancelled")
    assert desk.held(deal)["status"] == "active"
    desk.end_term(deal)
    assert desk.status(deal.contract) == "cancelled"
    desk.tell("contract.cancelled")
    assert desk.held(deal)["status"] == "non_renewing"
    desk.reach(desk.site.now + timedelta(days=5))
    assert desk.held(deal)["status"] == "cancelled"


def test_a_cancellation_that_was_undone_does_not_keep_it_from_renewing(desk: Desk) -> None:
    deal = desk.deal()
    desk.ask(deal, "cancellation", {"at_term": True})
    desk.ask(deal, "cancellation", method="DELETE")
    desk.end_term(deal)
    assert desk.status(deal.contract) == "renewed"


def test_a_plan_for_the_next_term_reaches_the_provider_with_it(desk: Desk) -> None:
    deal = desk.deal()
    desk.ask(deal, "plan", {"plan": SIX_MONTHS, "takes_effect": "end_of_term"})
    desk.tell("contract.plan_changed")
    assert desk.held(deal)["has_scheduled_changes"] is False
    desk.end_term(deal)
    (successor,) = desk.successors(deal.contract)
    assert successor["plan"] == SIX_MONTHS
    desk.tell("contract.renewed")
    assert (desk.price(deal), desk.coming_price(deal)) == (MONTHLY, SIX_MONTHS)


def test_a_renewal_task_that_comes_twice_renews_once(desk: Desk) -> None:
    deal = desk.deal()
    timer = desk.renewal(deal.contract)
    desk.end_term(deal)
    desk.fire(timer)
    assert len(desk.successors(deal.contract)) == 1
    assert len(desk.emitted("contract.renewed", deal.contract)) == 1


def test_a_renewal_task_that_comes_early_does_nothing(desk: Desk) -> None:
    deal = desk.deal()
    timer = desk.renewal(deal.contract)
    desk.reach(timer["due_at"] - timedelta(seconds=1))
    desk.fire(timer)
    assert desk.status(deal.contract) == "active"


def stale(desk: Desk, deal: Deal, timer: dict[str, Any]) -> None:
    """The task of a timer as it was comes when it was due."""
    status = desk.status(deal.contract)
    desk.reach(timer["due_at"])
    desk.fire(timer)
    assert desk.status(deal.contract) == status
    assert desk.successors(deal.contract) == []


def test_a_stale_task_of_a_cancelled_contract_does_nothing(desk: Desk) -> None:
    deal = desk.deal()
    timer = desk.renewal(deal.contract)
    desk.reach(timer["due_at"] - timedelta(hours=12))
    desk.ask(deal, "cancellation", {"at_term": False})
    stale(desk, deal, timer)
    assert desk.status(deal.contract) == "cancelled"


def test_a_stale_task_of_a_paused_contract_does_nothing(desk: Desk) -> None:
    deal = desk.deal()
    timer = desk.renewal(deal.contract)
    desk.ask(deal, "pause")
    stale(desk, deal, timer)


def test_a_stale_task_of_a_moved_renewal_does_nothing(desk: Desk) -> None:
    deal = desk.deal()
    timer, ends_on = desk.renewal(deal.contract), desk.row(deal.contract)["ends_on"]
    desk.ask(deal, "pause")
    desk.reach(desk.site.now + timedelta(days=10))
    desk.ask(deal, "resume")
    assert desk.row(deal.contract)["ends_on"] == ends_on + timedelta(days=10)
    stale(desk, deal, timer)
    moved = desk.renewal(deal.contract)
    assert moved["due_at"] == midnight(ends_on + timedelta(days=9))
    desk.reach(moved["due_at"])
    desk.fire(moved)
    assert desk.status(deal.contract) == "renewed"


# Timers are lost


def lose(desk: Desk, kind: str, contract: ContractId) -> datetime:
    """The timer disappears; when it was due."""
    due: datetime = desk.house.timer(kind, contract)["due_at"]
    desk.house.rows("DELETE FROM platform.timers WHERE subject = :id", id=contract)
    return due


def test_the_daily_check_renews_a_contract_whose_timer_was_lost(desk: Desk) -> None:
    deal = desk.deal()
    due = lose(desk, RENEWAL_TIMER, deal.contract)
    desk.reach(due - timedelta(minutes=1))
    desk.house.cron(AGENT, "contracts_check")
    assert desk.status(deal.contract) == "active"
    desk.reach(due)
    assert desk.house.cron(AGENT, "contracts_check").status_code == 204
    desk.house.fire(AGENT, desk.house.timer(RENEWAL_TIMER, deal.contract))
    assert desk.status(deal.contract) == "renewed"
    desk.house.cron(AGENT, "contracts_check")
    assert len(desk.successors(deal.contract)) == 1


def test_the_daily_check_begins_a_contract_whose_timer_was_lost(desk: Desk) -> None:
    deal = desk.deal(starts_in=2)
    desk.reach(lose(desk, ACTIVATION_TIMER, deal.contract))
    desk.house.cron(AGENT, "contracts_check")
    desk.house.fire(AGENT, desk.house.timer(ACTIVATION_TIMER, deal.contract))
    assert desk.status(deal.contract) == "active"


def test_an_idle_check_says_when_there_may_be_something_to_do(desk: Desk) -> None:
    later, sooner = desk.deal(), desk.deal(starts_in=2)
    idle = desk.house.cron(AGENT, "contracts_check").headers["X-Idle-Until"]
    assert datetime.fromisoformat(idle) == midnight(desk.row(sooner.contract)["starts_on"])
    lose(desk, ACTIVATION_TIMER, sooner.contract)
    desk.ask(sooner, "cancellation", {"at_term": False})
    idle = desk.house.cron(AGENT, "contracts_check").headers["X-Idle-Until"]
    assert datetime.fromisoformat(idle) == desk.renewal(later.contract)["due_at"]


def test_without_contracts_the_check_never_has_anything_to_do(desk: Desk) -> None:
    assert desk.house.cron(AGENT, "contracts_check").headers["X-Idle-Until"] == "never"


# It is changed at the provider


def test_a_pause_and_a_resumption_reach_the_provider(desk: Desk) -> None:
    deal = desk.deal()
    desk.ask(deal, "pause")
    desk.tell("contract.paused")
    assert desk.held(deal)["status"] == "paused"
    desk.ask(deal, "resume")
    desk.tell("contract.resumed")
    assert desk.held(deal)["status"] == "active"
    assert desk.renewal(deal.contract)["state"] == "scheduled"


def test_an_immediate_plan_reaches_the_provider(desk: Desk) -> None:
    deal = desk.deal()
    desk.ask(deal, "plan", {"plan": QUARTERLY, "takes_effect": "immediately"})
    desk.tell("contract.plan_changed")
    assert desk.price(deal) == QUARTERLY
    row = desk.row(deal.contract)
    assert (row["plan"], row["former_plan"]) == (QUARTERLY, None)


def test_a_cancellation_at_once_reaches_the_provider(desk: Desk) -> None:
    deal = desk.deal()
    desk.ask(deal, "cancellation", {"at_term": False})
    desk.tell("contract.cancelled")
    assert desk.held(deal)["status"] == "cancelled"
    assert desk.renewal(deal.contract)["state"] == "cancelled"


def test_cancelling_before_the_link_does_not_end_somebody_elses_subscription(desk: Desk) -> None:
    eve, customer = desk.join()
    victim = desk.deal()
    desk.house.rows("DELETE FROM contracts.contracts")
    contract = desk.request(eve, victim.subscription)
    forged = Deal(eve, customer, victim.subscription, contract)
    desk.ask(forged, "cancellation", {"at_term": False})
    desk.tell("contract.cancelled")
    desk.tell("contract.requested")
    assert desk.held(victim)["status"] == "active"
    assert desk.status(contract) == "cancelled"


def test_cancelling_before_the_link_ends_ones_own_subscription(desk: Desk) -> None:
    uid, customer = desk.join()
    subscription = desk.site.subscribe(desk.site.customer(customer_id=customer))
    deal = Deal(uid, customer, subscription, desk.request(uid, subscription))
    desk.ask(deal, "cancellation", {"at_term": False})
    desk.tell("contract.cancelled")
    assert desk.held(deal)["status"] == "cancelled"


@pytest.mark.parametrize("clinic", [BERLIN, KOLKATA])
def test_a_fact_about_a_contract_nobody_knows_is_parked(desk: Desk, clinic: Any) -> None:
    from shared.events.contracts import ContractPaused

    ids = {"contract_id": ContractId.new(), "customer_id": CustomerId.new()}
    event = ContractPaused(clinic_id=clinic, version=2, **ids)
    assert desk.house.deliver(AGENT, event, clinic).status_code == 204
    assert len(desk.site.parked()) == 1


def test_a_subscription_that_ends_at_the_provider_ends_its_contract(desk: Desk) -> None:
    deal = desk.deal()
    ended = SubscriptionChanged(
        clinic_id=BERLIN,
        subscription_id=SubscriptionId.new(),
        customer_id=CustomerId.new(),
        contract_id=ContractId(str(deal.contract)),
        status=SubscriptionStatus.CANCELLED,
        version=3,
    )
    assert desk.house.deliver(AGENT, ended).status_code == 204
    assert desk.status(deal.contract) == "cancelled"
    assert desk.renewal(deal.contract)["state"] == "cancelled"


def test_a_plan_of_open_contracts_keeps_its_terms(desk: Desk) -> None:
    desk.deal()
    admin = desk.house.id_token("admin", Role.CLINIC_ADMIN, BERLIN)
    plan = {
        "treatment": "hair-loss",
        "item_price_id": MONTHLY,
        "monthly_item_price_id": MONTHLY,
        "upfront": True,
    }
    answer = desk.house.portal("PUT", f"/plans/{MONTHLY}", admin, plan)
    assert answer.status_code == 422
    assert answer.json is not None
    assert answer.json["type"] == "urn:clinicloop:problem:plan-in-use"
