"""What becomes of a contract when the billing provider refuses, or is away for a while."""

from datetime import timedelta

from shared.kernel import clock
from tests.functions.contract_desk import (
    AGENT,
    MONTHLY,
    QUARTERLY,
    SIX_MONTHS,
    Deal,
    Desk,
    desk,
    site,
)

__all__ = ["desk", "site"]

AT_ONCE = {"takes_effect": "immediately"}


def paused_past_its_paid_term(desk: Desk, card: str) -> Deal:
    """Chargebee wants a payment before it resumes this one."""
    deal = desk.deal()
    desk.ask(deal, "pause")
    desk.tell("contract.paused")
    desk.reach(desk.site.now + timedelta(days=40))
    desk.site.card(deal.customer, card)
    return deal


def resume(desk: Desk, deal: Deal) -> None:
    desk.ask(deal, "resume")
    desk.tell("contract.resumed")


def test_a_resumption_that_cannot_be_paid_leaves_it_paused(desk: Desk) -> None:
    deal = paused_past_its_paid_term(desk, "expired_card")
    resume(desk, deal)
    row = desk.row(deal.contract)
    assert (row["status"], row["paused_on"]) == ("paused", desk.today)
    assert desk.held(deal)["status"] == "paused"
    assert desk.renewal(deal.contract)["state"] == "cancelled"
    assert len(desk.emitted("contract.resumption_refused", deal.contract)) == 1
    assert desk.site.parked() == []


def test_after_a_refused_resumption_every_day_it_stood_still_counts_once(desk: Desk) -> None:
    deal = paused_past_its_paid_term(desk, "expired_card")
    promised = desk.row(deal.contract)["ends_on"]
    resume(desk, deal)
    desk.reach(desk.site.now + timedelta(days=7))
    desk.site.card(deal.customer, "ok")
    resume(desk, deal)
    row = desk.row(deal.contract)
    assert (row["status"], row["ends_on"]) == ("active", promised + timedelta(days=47))
    assert desk.held(deal)["status"] == "active"
    assert desk.renewal(deal.contract)["state"] == "scheduled"


def test_a_refused_resumption_delivered_again_says_nothing_new(desk: Desk) -> None:
    deal = paused_past_its_paid_term(desk, "expired_card")
    resume(desk, deal)
    version = desk.row(deal.contract)["version"]
    desk.tell("contract.resumed")
    assert desk.row(deal.contract)["version"] == version
    assert len(desk.emitted("contract.resumption_refused", deal.contract)) == 1


def test_a_refused_resumption_of_a_contract_cancelled_meanwhile_changes_nothing(
    desk: Desk,
) -> None:
    deal = paused_past_its_paid_term(desk, "expired_card")
    desk.ask(deal, "resume")
    desk.ask(deal, "cancellation", {"at_term": False})
    desk.tell("contract.resumed")
    desk.tell("contract.cancelled")
    assert desk.status(deal.contract) == "cancelled"
    assert desk.held(deal)["status"] == "cancelled"
    assert desk.emitted("contract.resumption_refused", deal.contract) == []


def test_a_pause_the_provider_refuses_never_was(desk: Desk) -> None:
    deal = desk.deal()
    before = desk.renewal(deal.contract)["due_at"]
    items = [{"item_price_id": QUARTERLY}]
    changes = {"subscription_items": items, "change_option": "end_of_term"}
    desk.site.sdk.Subscription.update_for_items(deal.subscription, changes)
    desk.ask(deal, "pause")
    assert desk.renewal(deal.contract)["state"] == "cancelled"
    desk.reach(desk.site.now + timedelta(days=2))
    desk.tell("contract.paused")
    row, timer = desk.row(deal.contract), desk.renewal(deal.contract)
    assert (row["status"], row["paused_on"]) == ("active", None)
    assert (timer["state"], timer["due_at"]) == ("scheduled", before)
    assert len(desk.emitted("contract.pause_refused", deal.contract)) == 1
    assert desk.site.parked() == []


def test_a_pause_that_was_taken_back_is_not_told(desk: Desk) -> None:
    deal = desk.deal()
    version = desk.held(deal)["resource_version"]
    desk.ask(deal, "pause")
    desk.ask(deal, "resume")
    desk.tell("contract.paused")
    desk.tell("contract.resumed")
    assert (desk.status(deal.contract), desk.held(deal)["status"]) == ("active", "active")
    assert desk.held(deal)["resource_version"] == version


def test_a_plan_that_cannot_be_paid_gives_way_to_the_former_one(desk: Desk) -> None:
    deal = desk.deal()
    desk.site.card(deal.customer, "insufficient_funds")
    desk.ask(deal, "plan", {"plan": SIX_MONTHS} | AT_ONCE)
    assert desk.row(deal.contract)["plan"] == SIX_MONTHS
    desk.tell("contract.plan_changed")
    row = desk.row(deal.contract)
    assert (row["plan"], row["former_plan"]) == (MONTHLY, None)
    assert desk.price(deal) == MONTHLY
    assert len(desk.emitted("contract.plan_change_refused", deal.contract)) == 1
    assert desk.site.parked() == []


def test_of_two_refused_plans_the_one_the_provider_has_remains(desk: Desk) -> None:
    deal = desk.deal()
    desk.site.card(deal.customer, "insufficient_funds")
    desk.ask(deal, "plan", {"plan": QUARTERLY} | AT_ONCE)
    desk.ask(deal, "plan", {"plan": SIX_MONTHS} | AT_ONCE)
    desk.tell("contract.plan_changed")
    assert desk.row(deal.contract)["plan"] == desk.price(deal) == MONTHLY


def test_of_two_plans_chosen_in_a_row_the_last_one_holds(desk: Desk) -> None:
    deal = desk.deal()
    desk.ask(deal, "plan", {"plan": QUARTERLY} | AT_ONCE)
    desk.ask(deal, "plan", {"plan": SIX_MONTHS} | AT_ONCE)
    desk.tell("contract.plan_changed")
    row = desk.row(deal.contract)
    assert (row["plan"], row["former_plan"]) == (SIX_MONTHS, None)
    assert desk.price(deal) == SIX_MONTHS


def test_cancelling_what_the_provider_has_ended_already_is_done(desk: Desk) -> None:
    deal = desk.deal()
    desk.site.sdk.Subscription.cancel_for_items(deal.subscription, {})
    desk.ask(deal, "cancellation", {"at_term": False})
    desk.tell("contract.cancelled")
    assert desk.site.parked() == []


def test_cancelling_what_the_provider_no_longer_has_is_done(desk: Desk) -> None:
    deal = desk.deal()
    desk.site.sdk.Subscription.delete(deal.subscription)
    desk.ask(deal, "cancellation", {"at_term": False})
    desk.tell("contract.cancelled")
    assert desk.site.parked() == []


def test_completing_what_the_provider_has_ended_already_is_done(desk: Desk) -> None:
    deal = desk.deal(SIX_MONTHS)
    desk.site.sdk.Subscription.cancel_for_items(deal.subscription, {})
    desk.end_term(deal)
    desk.tell("contract.completed")
    assert desk.site.parked() == []


def test_a_renewal_of_what_the_provider_ended_needs_no_telling(desk: Desk) -> None:
    deal = desk.deal()
    desk.ask(deal, "plan", {"plan": QUARTERLY, "takes_effect": "end_of_term"})
    desk.site.sdk.Subscription.cancel_for_items(deal.subscription, {})
    desk.end_term(deal)
    desk.tell("contract.renewed")
    assert desk.site.parked() == []


def test_a_wrong_key_refuses_nothing(desk: Desk) -> None:
    uid, customer = desk.join()
    subscription = desk.site.subscribe(desk.site.customer(customer_id=customer))
    contract = desk.request(uid, subscription)
    settings = desk.house.cloud.cloud.ground.settings
    kept = settings["chargebee_api_key"]
    settings["chargebee_api_key"] = "another"
    try:
        (answer,) = desk.house.deliver_emitted(AGENT, "contract.requested")
    finally:
        settings["chargebee_api_key"] = kept
    assert (answer.status_code, desk.status(contract)) == (503, "future")
    desk.tell("contract.requested")
    assert desk.status(contract) == "active"


def test_a_provider_that_slows_us_down_is_asked_again(desk: Desk) -> None:
    deal = desk.deal()
    desk.house.cloud.fault("chargebee", "429", count=1, path="/pause")
    desk.ask(deal, "pause")
    (answer,) = desk.house.deliver_emitted(AGENT, "contract.paused")
    assert answer.status_code == 503
    desk.house.move(clock.now() + timedelta(seconds=1))
    desk.tell("contract.paused")
    assert desk.held(deal)["status"] == "paused"
    assert desk.status(deal.contract) == "paused"


def test_a_payment_taken_before_the_connection_broke_is_taken_once(desk: Desk) -> None:
    deal = desk.deal()
    desk.house.cloud.fault("chargebee", "fail-after-success", count=1, path="/update_for_items")
    desk.ask(deal, "plan", {"plan": SIX_MONTHS} | AT_ONCE)
    (answer,) = desk.house.deliver_emitted(AGENT, "contract.plan_changed")
    assert answer.status_code == 503
    desk.reach(desk.site.now + timedelta(hours=1))  # the key is forgotten by now
    desk.tell("contract.plan_changed")
    invoices = desk.site.sdk.Invoice.list({"subscription_id": {"is": deal.subscription}}).list
    assert len(invoices) == 2
    assert desk.row(deal.contract)["former_plan"] is None
