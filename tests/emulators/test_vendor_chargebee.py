"""The Chargebee fake through the official SDK: objects, lists, errors, idempotency."""

import json

import pytest
from chargebee import APIError, InvalidRequestError, OperationFailedError, PaymentError

from emulators.faults import Fault, FaultKind
from tests.emulators.vendor_chargebee_site import (
    MONTHLY,
    QUARTERLY,
    SIX_MONTHS,
    World,
    client,
    receiver,
    world,
)

__all__ = ["receiver", "world"]


def test_catalog_is_there_from_the_start(world: World) -> None:
    prices = world.sdk.ItemPrice.list({"item_id": {"is": "hair-loss"}}).list
    assert [row.item_price.id for row in prices] == [MONTHLY, QUARTERLY, SIX_MONTHS]
    upfront = world.sdk.ItemPrice.retrieve(SIX_MONTHS).item_price
    assert (upfront.period, upfront.period_unit, upfront.price) == (6, "month", 19_900)


def test_catalog_can_grow(world: World) -> None:
    world.sdk.Item.create(
        {"id": "sleep", "name": "Sleep", "type": "plan", "item_family_id": "treatments"}
    )
    price = {"id": "sleep-EUR", "name": "Sleep", "item_id": "sleep", "price": 1000}
    made = world.sdk.ItemPrice.create({**price, "period": 1, "period_unit": "month"}).item_price
    assert (made.item_type, made.item_family_id, made.currency_code) == (
        "plan",
        "treatments",
        "EUR",
    )


def test_customer_round_trip_keeps_custom_fields(world: World) -> None:
    world.customer(cf_clinic="berlin", phone="+493023125001")
    changed = world.sdk.Customer.update("c1", {"phone": "+493023125002"}).customer
    assert (changed.phone, changed.cf_clinic, changed.object) == (
        "+493023125002",
        "berlin",
        "customer",
    )
    first, second = world.sdk.Customer.retrieve("c1").customer, changed
    assert first.resource_version == second.resource_version


def test_subscription_is_created_active_and_paid(world: World) -> None:
    world.customer()
    answer = world.subscribe()
    sub, invoice = answer.subscription, answer.invoice
    assert (sub.status, sub.customer_id, sub.mrr) == ("active", "c1", 3900)
    assert sub.current_term_end == sub.next_billing_at
    assert sub.subscription_items[0].item_price_id == MONTHLY
    assert (invoice.status, invoice.total, invoice.amount_due) == ("paid", 3900, 0)
    assert invoice.line_items[0].entity_id == MONTHLY
    txn = world.sdk.Transaction.retrieve(invoice.linked_payments[0].txn_id).transaction
    assert (txn.status, txn.amount, txn.linked_invoices[0].invoice_id) == (
        "success",
        3900,
        invoice.id,
    )


def test_custom_field_and_meta_data_are_set_and_cleared(world: World) -> None:
    world.customer()
    before = world.subscribe().subscription
    meta = json.dumps({"clinic": 1})
    sub = world.sdk.Subscription.update(
        "s1", {"cf_contract_id": "k-1", "meta_data": meta}
    ).subscription
    assert (sub.cf_contract_id, sub.meta_data) == ("k-1", {"clinic": 1})
    assert sub.resource_version > before.resource_version
    cleared = world.sdk.Subscription.update("s1", {"cf_contract_id": "", "meta_data": "{}"})
    assert "cf_contract_id" not in cleared.subscription.raw_data
    assert cleared.subscription.meta_data == {}


def test_first_payment_that_fails_creates_no_subscription(world: World) -> None:
    world.customer(card="hard_decline")
    with pytest.raises(PaymentError, match=r"\(card_declined\)") as caught:
        world.subscribe()
    assert caught.value.api_error_code == "payment_processing_failed"
    assert not world.sdk.Subscription.list({"customer_id": {"is": "c1"}}).list
    failed = world.sdk.Transaction.list({"customer_id": {"is": "c1"}}).list[0].transaction
    assert (failed.status, failed.error_code) == ("failure", "card_declined")


def test_unknown_id_is_not_found(world: World) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        world.sdk.Subscription.retrieve("nobody")
    assert (caught.value.http_status_code, caught.value.api_error_code) == (
        404,
        "resource_not_found",
    )


def test_second_customer_of_one_id_is_refused(world: World) -> None:
    world.customer()
    with pytest.raises(InvalidRequestError) as caught:
        world.customer()
    assert (caught.value.api_error_code, caught.value.param) == ("duplicate_entry", "id")


def test_unknown_item_price_is_refused(world: World) -> None:
    world.customer()
    with pytest.raises(InvalidRequestError) as caught:
        world.subscribe(price="no-such-price")
    assert caught.value.param == "subscription_items[item_price_id][0]"


def test_wrong_number_is_refused(world: World) -> None:
    world.customer()
    with pytest.raises(InvalidRequestError) as caught:
        world.subscribe(start_date="tomorrow")
    assert (caught.value.api_error_code, caught.value.param) == ("param_wrong_value", "start_date")


def test_nested_value_for_a_plain_parameter_is_refused(world: World) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        world.sdk.Customer.create({"id": {"is": "c1"}})
    assert (caught.value.http_status_code, caught.value.param) == (400, "id")


def test_wrong_api_key_is_refused(world: World) -> None:
    world.loop.ground.settings["chargebee_api_key"] = "another"
    with pytest.raises(APIError) as caught:
        world.customer()
    assert (caught.value.http_status_code, caught.value.api_error_code) == (
        401,
        "api_authentication_failed",
    )


def test_rate_limit_has_chargebees_shape(world: World) -> None:
    world.loop.ground.faults.add(Fault("chargebee", FaultKind.RATE_LIMIT, count=1))
    with pytest.raises(OperationFailedError) as caught:
        world.customer()
    assert (caught.value.http_status_code, caught.value.api_error_code) == (
        429,
        "api_request_limit_exceeded",
    )
    assert world.customer().id == "c1"


def test_outage_has_chargebees_shape(world: World) -> None:
    world.loop.ground.faults.add(Fault("chargebee", FaultKind.ERROR, count=1))
    with pytest.raises(OperationFailedError) as caught:
        world.customer()
    assert (caught.value.http_status_code, caught.value.api_error_code) == (500, "internal_error")


def test_list_pages_through_changes_in_order(world: World) -> None:
    for number in range(7):
        world.customer(f"c{number}")
        world.loop.advance(seconds=10)
    world.sdk.Customer.update("c2", {"phone": "+493023125003"})
    seen, offset = [], None
    while True:
        params = {"limit": 3, "sort_by": {"asc": "updated_at"}}
        page = world.sdk.Customer.list(params | ({"offset": offset} if offset else {}))
        seen += [row.customer.id for row in page.list]
        offset = page.next_offset
        if not offset:
            break
    assert seen == ["c0", "c1", "c3", "c4", "c5", "c6", "c2"]


def test_list_filters_by_time_of_change(world: World) -> None:
    stamps = []
    for number in range(4):
        stamps.append(world.customer(f"c{number}").updated_at)
        world.loop.advance(seconds=10)

    def ids(condition: dict[str, object]) -> list[str]:
        found = world.sdk.Customer.list({"updated_at": condition, "sort_by": {"asc": "updated_at"}})
        return [row.customer.id for row in found.list]

    assert ids({"after": stamps[1]}) == ["c2", "c3"]
    assert ids({"between": [stamps[1], stamps[2]]}) == ["c1", "c2"]
    assert ids({"before": stamps[1]}) == ["c0"]


def test_list_filters_by_id_and_status(world: World) -> None:
    for name in ("c1", "c2", "c3"):
        world.customer(name)
        world.subscribe(name, id=f"s-{name}")
    world.sdk.Subscription.cancel_for_items("s-c2", {"end_of_term": False})
    subs = world.sdk.Subscription
    cancelled = subs.list({"status": {"is": "cancelled"}}).list
    assert [(row.subscription.id, row.customer.id) for row in cancelled] == [("s-c2", "c2")]
    two = subs.list({"id": {"in": ["s-c1", "s-c3"]}, "sort_by": {"asc": "updated_at"}}).list
    assert sorted(row.subscription.id for row in two) == ["s-c1", "s-c3"]
    assert len(subs.list({"item_price_id": {"is": MONTHLY}}).list) == 3


def test_unknown_filter_is_refused(world: World) -> None:
    with pytest.raises(InvalidRequestError):
        world.sdk.Customer.list({"shoe_size": {"is": "42"}})


def test_deleted_customer_is_listed_only_on_request(world: World) -> None:
    world.customer()
    world.subscribe()
    world.sdk.Customer.delete("c1")
    assert not world.sdk.Customer.list({}).list
    gone = world.sdk.Subscription.list({"include_deleted": True}).list[0].subscription
    assert (gone.id, gone.deleted) == ("s1", True)


def test_same_idempotency_key_replays_the_answer(world: World) -> None:
    headers = {"chargebee-idempotency-key": "k1"}
    params = {"first_name": "Ada"}
    first = world.sdk.Customer.create(params, dict(headers))
    again = world.sdk.Customer.create(params, dict(headers))
    assert (again.customer.id, again.is_idempotency_replayed) == (first.customer.id, True)
    assert first.is_idempotency_replayed is False
    assert len(world.sdk.Customer.list({}).list) == 1


def test_idempotency_key_of_another_request_is_refused(world: World) -> None:
    headers = {"chargebee-idempotency-key": "k1"}
    world.sdk.Customer.create({"first_name": "Ada"}, dict(headers))
    with pytest.raises(InvalidRequestError):
        world.sdk.Customer.create({"first_name": "Bob"}, dict(headers))


def test_failed_collection_is_replayed_and_not_repeated(world: World) -> None:
    world.customer(card="ok,insufficient_funds")
    world.subscribe()
    world.loop.advance(days=31)
    invoice = world.invoices()[-1]
    for _ in range(2):
        with pytest.raises(PaymentError):
            world.sdk.Invoice.collect_payment(
                invoice.id, {}, {"chargebee-idempotency-key": "collect-1"}
            )
    assert len(world.sdk.Transaction.payments_for_invoice(invoice.id).list) == 2


def test_idempotency_key_is_forgotten_after_half_an_hour(world: World) -> None:
    headers = {"chargebee-idempotency-key": "k1"}
    first = world.sdk.Customer.create({"first_name": "Ada"}, dict(headers)).customer
    world.loop.advance(minutes=31)
    later = world.sdk.Customer.create({"first_name": "Ada"}, dict(headers)).customer
    assert later.id != first.id


def test_lost_answer_can_be_had_again_by_its_key(world: World) -> None:
    world.loop.ground.faults.add(Fault("chargebee", FaultKind.FAIL_AFTER_SUCCESS, count=1))
    headers = {"chargebee-idempotency-key": "k1"}
    with pytest.raises(Exception, match=r"[Dd]isconnected|reset"):
        world.sdk.Customer.create({"id": "c1"}, dict(headers))
    assert client(world.port).Customer.create({"id": "c1"}, dict(headers)).is_idempotency_replayed
