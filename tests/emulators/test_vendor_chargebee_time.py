"""What time does to subscriptions and invoices of the Chargebee fake."""

from datetime import UTC, datetime

import httpx
import pytest
from chargebee import InvalidRequestError, PaymentError

from emulators.vendors.chargebee.models import add_period
from tests.emulators.vendor_chargebee_site import MONTHLY, SIX_MONTHS, World, receiver, world

__all__ = ["receiver", "world"]
DAY = 86_400


def test_future_subscription_starts_when_due(world: World) -> None:
    world.customer()
    start = world.now + 3 * DAY
    created = world.subscribe(start_date=start).subscription
    assert (created.status, created.start_date, world.invoices()) == ("future", start, [])
    world.loop.advance(days=4)
    sub = world.subscription()
    assert (sub.status, sub.started_at, sub.current_term_start) == ("active", start, start)
    assert [invoice.status for invoice in world.invoices()] == ["paid"]


def test_start_date_can_be_moved(world: World) -> None:
    world.customer()
    world.subscribe(start_date=world.now + 3 * DAY)
    later = world.now + 10 * DAY
    world.sdk.Subscription.update_for_items("s1", {"start_date": later})
    world.loop.advance(days=9)
    assert world.subscription().status == "future"
    world.loop.advance(days=2)
    assert world.subscription().started_at == later


def test_trial_ends_in_a_paid_term(world: World) -> None:
    world.customer()
    end = world.now + 14 * DAY
    assert world.subscribe(trial_end=end).subscription.status == "in_trial"
    world.loop.advance(days=15)
    sub = world.subscription()
    assert (sub.status, sub.activated_at, sub.current_term_start) == ("active", end, end)
    assert len(world.invoices()) == 1


def test_monthly_subscription_renews_seven_times(world: World) -> None:
    world.customer()
    first = world.subscribe().subscription
    world.loop.advance(days=7 * 31)
    sub, invoices = world.subscription(), world.invoices()
    assert len(invoices) == 8
    assert {invoice.status for invoice in invoices} == {"paid"}
    assert [invoice.first_invoice for invoice in invoices] == [True] + [False] * 7
    assert sub.current_term_start == add_period(first.current_term_start, 7, "month")
    assert sub.resource_version > first.resource_version


def test_terms_keep_their_day_of_the_month() -> None:
    at = int(datetime(2027, 1, 31, tzinfo=UTC).timestamp())
    days = []
    for _ in range(4):
        at = add_period(at, 1, "month", 31)
        days.append(datetime.fromtimestamp(at, UTC).strftime("%m-%d"))
    assert days == ["02-28", "03-31", "04-30", "05-31"]


def test_six_months_upfront_are_billed_once(world: World) -> None:
    world.customer()
    world.subscribe(price=SIX_MONTHS)
    world.loop.advance(days=150)
    assert [invoice.total for invoice in world.invoices()] == [19_900]
    world.loop.advance(days=50)
    assert len(world.invoices()) == 2


def test_reset_to_monthly_at_end_of_term(world: World) -> None:
    world.customer()
    world.subscribe(price=SIX_MONTHS)
    items = [{"item_price_id": MONTHLY}]
    changed = world.sdk.Subscription.update_for_items(
        "s1", {"subscription_items": items, "end_of_term": True, "replace_items_list": True}
    ).subscription
    assert changed.has_scheduled_changes is True
    assert changed.subscription_items[0].item_price_id == SIX_MONTHS
    coming = world.sdk.Subscription.retrieve_with_scheduled_changes("s1").subscription
    assert coming.subscription_items[0].item_price_id == MONTHLY
    world.loop.advance(days=7 * 31)
    sub = world.subscription()
    assert (sub.billing_period, sub.has_scheduled_changes) == (1, False)
    assert [invoice.total for invoice in world.invoices()] == [19_900, 3900, 3900]


def test_immediate_change_of_period_begins_a_new_term(world: World) -> None:
    world.customer()
    world.subscribe()
    world.loop.advance(days=10)
    items = [{"item_price_id": SIX_MONTHS}]
    answer = world.sdk.Subscription.update_for_items("s1", {"subscription_items": items})
    assert answer.subscription.current_term_start == world.now
    assert answer.invoice.total == 19_900


def test_immediate_change_to_something_dearer_is_prorated(world: World) -> None:
    world.customer()
    sub = world.subscribe().subscription
    world.loop.advance(days=10)
    items = [{"item_price_id": "weight-management-monthly-EUR"}]
    answer = world.sdk.Subscription.update_for_items("s1", {"subscription_items": items})
    whole = sub.current_term_end - sub.current_term_start
    rest = sub.current_term_end - world.now
    assert answer.invoice.total == round((14_900 - 3900) * rest / whole)
    assert answer.subscription.current_term_end == sub.current_term_end


def test_term_end_can_be_moved(world: World) -> None:
    world.customer()
    world.subscribe()
    end = world.now + 5 * DAY
    world.sdk.Subscription.change_term_end("s1", {"term_ends_at": end})
    world.loop.advance(days=6)
    assert world.subscription().current_term_start == end


def test_cancel_at_end_of_term_and_undo(world: World) -> None:
    world.customer()
    first = world.subscribe().subscription
    sub = world.sdk.Subscription.cancel_for_items("s1", {"end_of_term": True}).subscription
    assert (sub.status, sub.cancelled_at) == ("non_renewing", first.current_term_end)
    undone = world.sdk.Subscription.remove_scheduled_cancellation("s1").subscription
    assert undone.status == "active"
    assert "cancelled_at" not in undone.raw_data
    world.loop.advance(days=32)
    assert len(world.invoices()) == 2


def test_subscription_ends_with_its_term_once_cancelled(world: World) -> None:
    world.customer()
    end = world.subscribe().subscription.current_term_end
    world.sdk.Subscription.cancel_for_items("s1", {"end_of_term": True})
    world.loop.advance(days=70)
    sub = world.subscription()
    assert (sub.status, sub.cancelled_at, len(world.invoices())) == ("cancelled", end, 1)


def test_cancellation_on_a_later_date_lets_it_renew_until_then(world: World) -> None:
    world.customer()
    end = world.subscribe().subscription.current_term_end
    on = end + 10 * DAY
    params = {"cancel_option": "specific_date", "cancel_at": on}
    sub = world.sdk.Subscription.cancel_for_items("s1", params).subscription
    assert (sub.status, sub.cancelled_at) == ("active", on)
    world.loop.advance(days=35)
    assert world.subscription().status == "non_renewing"
    world.loop.advance(days=10)
    assert (world.subscription().status, len(world.invoices())) == ("cancelled", 2)


def test_cancelled_subscription_cannot_be_cancelled_again(world: World) -> None:
    world.customer()
    world.subscribe()
    world.sdk.Subscription.cancel_for_items("s1", {"end_of_term": False})
    with pytest.raises(InvalidRequestError) as caught:
        world.sdk.Subscription.cancel_for_items("s1", {"end_of_term": False})
    assert caught.value.api_error_code == "invalid_state_for_request"


def test_future_subscription_is_cancelled_at_once(world: World) -> None:
    world.customer()
    world.subscribe(start_date=world.now + 3 * DAY)
    world.sdk.Subscription.cancel_for_items("s1", {"end_of_term": True})
    world.loop.advance(days=5)
    assert (world.subscription().status, world.invoices()) == ("cancelled", [])


def test_reactivation_begins_a_paid_term(world: World) -> None:
    world.customer()
    world.subscribe()
    world.sdk.Subscription.cancel_for_items("s1", {"end_of_term": False})
    world.loop.advance(days=10)
    sub = world.sdk.Subscription.reactivate("s1", {}).subscription
    assert (sub.status, sub.current_term_start) == ("active", world.now)
    assert len(world.invoices()) == 2


def test_paused_subscription_is_not_billed(world: World) -> None:
    world.customer()
    world.subscribe()
    sub = world.sdk.Subscription.pause("s1", {"pause_option": "immediately"}).subscription
    assert (sub.status, sub.pause_date) == ("paused", world.now)
    world.loop.advance(days=100)
    assert (world.subscription().status, len(world.invoices())) == ("paused", 1)


def test_resumption_within_the_term_charges_nothing(world: World) -> None:
    world.customer()
    first = world.subscribe().subscription
    world.sdk.Subscription.pause("s1", {"pause_option": "immediately"})
    world.loop.advance(days=5)
    sub = world.sdk.Subscription.resume("s1", {"resume_option": "immediately"}).subscription
    assert (sub.status, sub.current_term_end) == ("active", first.current_term_end)
    assert len(world.invoices()) == 1


def test_resumption_after_the_term_begins_a_new_one(world: World) -> None:
    world.customer()
    world.subscribe()
    world.sdk.Subscription.pause("s1", {"pause_option": "immediately"})
    world.loop.advance(days=45)
    sub = world.sdk.Subscription.resume("s1", {}).subscription
    assert (sub.status, sub.current_term_start) == ("active", world.now)
    assert len(world.invoices()) == 2


def test_resumption_that_cannot_be_paid_leaves_it_paused(world: World) -> None:
    world.customer(card="ok,card_declined")
    world.subscribe()
    world.sdk.Subscription.pause("s1", {"pause_option": "immediately"})
    world.loop.advance(days=45)
    with pytest.raises(PaymentError):
        world.sdk.Subscription.resume("s1", {})
    assert (world.subscription().status, len(world.invoices())) == ("paused", 1)


def test_pause_at_end_of_term_resumes_on_its_date(world: World) -> None:
    world.customer()
    end = world.subscribe().subscription.current_term_end
    back = end + 20 * DAY
    sub = world.sdk.Subscription.pause(
        "s1", {"pause_option": "end_of_term", "resume_date": back}
    ).subscription
    assert (sub.status, sub.pause_date, sub.resume_date) == ("active", end, back)
    world.loop.advance(days=32)
    assert (world.subscription().status, len(world.invoices())) == ("paused", 1)
    world.loop.advance(days=30)
    sub = world.subscription()
    assert (sub.status, sub.current_term_start, len(world.invoices())) == ("active", back, 2)


def test_pause_on_a_date_falls_within_the_term(world: World) -> None:
    world.customer()
    world.subscribe()
    on = world.now + 4 * DAY
    world.sdk.Subscription.pause("s1", {"pause_option": "specific_date", "pause_date": on})
    world.loop.advance(days=3)
    assert world.subscription().status == "active"
    world.loop.advance(days=2)
    assert world.subscription().status == "paused"


def test_scheduled_pause_can_be_taken_back(world: World) -> None:
    world.customer()
    world.subscribe()
    world.sdk.Subscription.pause("s1", {"pause_option": "end_of_term"})
    sub = world.sdk.Subscription.remove_scheduled_pause("s1").subscription
    assert "pause_date" not in sub.raw_data
    world.loop.advance(days=32)
    assert world.subscription().status == "active"


def test_cancelled_subscription_cannot_be_paused(world: World) -> None:
    world.customer()
    world.subscribe()
    world.sdk.Subscription.cancel_for_items("s1", {"end_of_term": False})
    with pytest.raises(InvalidRequestError) as caught:
        world.sdk.Subscription.pause("s1", {"pause_option": "immediately"})
    assert caught.value.api_error_code == "invalid_state_for_pause"


def test_failed_renewal_is_due_and_not_retried_by_chargebee(world: World) -> None:
    world.customer(card="ok,insufficient_funds")
    world.subscribe()
    world.loop.advance(days=45)
    invoice = world.invoices()[-1]
    assert (invoice.status, invoice.dunning_status) == ("payment_due", "in_progress")
    assert (len(invoice.dunning_attempts), invoice.amount_due) == (1, 3900)
    sub = world.subscription()
    assert (sub.status, sub.due_invoices_count, sub.total_dues) == ("active", 1, 3900)
    txn = world.sdk.Transaction.payments_for_invoice(invoice.id).list[0].transaction
    assert (txn.status, txn.error_code) == ("failure", "insufficient_funds")


def test_card_that_is_declined_twice_then_pays(world: World) -> None:
    world.customer(card="soft_decline_twice")
    world.subscribe(start_date=world.now + DAY)
    world.loop.advance(days=2)
    invoice = world.invoices()[0]
    with pytest.raises(PaymentError, match=r"\(insufficient_funds\)"):
        world.sdk.Invoice.collect_payment(invoice.id, {})
    answer = world.sdk.Invoice.collect_payment(invoice.id, {})
    assert (answer.invoice.status, answer.invoice.dunning_status) == ("paid", "success")
    assert [row.txn_status for row in answer.invoice.linked_payments] == [
        "failure",
        "failure",
        "success",
    ]
    assert world.subscription().due_invoices_count == 0


def test_new_card_makes_a_hard_decline_good(world: World) -> None:
    world.customer(card="ok,expired_card")
    world.subscribe()
    world.loop.advance(days=32)
    invoice = world.invoices()[-1]
    hook = f"http://127.0.0.1:{world.port}/_local/customers/c1/payment-behaviour"
    assert httpx.post(hook, json={"behaviour": "ok"}).status_code == 200
    assert world.sdk.Invoice.collect_payment(invoice.id, {}).invoice.status == "paid"


def test_unknown_payment_behaviour_is_refused(world: World) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        world.customer(card="no_such_card")
    assert caught.value.param == "cf_test_card"


def test_recorded_payment_settles_an_invoice(world: World) -> None:
    world.customer(card="ok,card_declined")
    world.subscribe()
    world.loop.advance(days=32)
    invoice = world.invoices()[-1]
    transaction = {"amount": 3900, "payment_method": "bank_transfer"}
    answer = world.sdk.Invoice.record_payment(invoice.id, {"transaction": transaction})
    assert (answer.invoice.status, answer.transaction.payment_method) == ("paid", "bank_transfer")


def test_stopped_dunning_leaves_the_invoice_not_paid(world: World) -> None:
    world.customer(card="ok,card_declined")
    world.subscribe()
    world.loop.advance(days=32)
    invoice = world.sdk.Invoice.stop_dunning(world.invoices()[-1].id, {}).invoice
    assert (invoice.status, invoice.dunning_status) == ("not_paid", "stopped")


def test_voided_invoice_is_no_longer_due(world: World) -> None:
    world.customer(card="ok,card_declined")
    world.subscribe()
    world.loop.advance(days=32)
    id_ = world.invoices()[-1].id
    invoice = world.sdk.Invoice.void_invoice(id_, {"void_reason_code": "Order change"}).invoice
    assert (invoice.status, invoice.amount_due, invoice.voided_at) == ("voided", 0, world.now)
    assert world.subscription().due_invoices_count == 0
    with pytest.raises(InvalidRequestError):
        world.sdk.Invoice.collect_payment(id_, {})


def test_net_terms_post_the_invoice_before_it_is_due(world: World) -> None:
    world.customer(auto_collection="off", net_term_days=10)
    world.subscribe(auto_collection="off")
    assert world.invoices()[0].status == "posted"
    world.loop.advance(days=11)
    assert world.invoices()[0].status == "payment_due"


def test_chargebees_own_dunning_exhausts_when_switched_on(world: World) -> None:
    world.loop.ground.settings["chargebee_dunning_days"] = "3,5"
    world.customer(card="ok,insufficient_funds*3,ok")
    world.subscribe()
    world.loop.advance(days=32)
    assert world.invoices()[-1].next_retry_at > world.now
    world.loop.advance(days=10)
    invoice = world.invoices()[-1]
    assert (invoice.status, invoice.dunning_status) == ("not_paid", "exhausted")
    assert len(invoice.dunning_attempts) == 3
