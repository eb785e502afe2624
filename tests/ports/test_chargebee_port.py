"""What billing and contracts ask of Chargebee, by the official SDK against the local Chargebee."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from shared.domains.billing.model import Resource
from shared.integrations import vendor_call
from shared.integrations.chargebee import Chargebee
from shared.kernel.errors import OutcomeUnknown, VendorRefused, VendorUnavailable
from shared.kernel.ids import ContractId
from tests.conftest import BERLIN
from tests.functions.billing_site import MONTHLY, SIX_MONTHS, Site, site

__all__ = ["site"]


@pytest.fixture
def port(site: Site) -> Iterator[Chargebee]:
    vendor_call._ways.clear()
    yield Chargebee()
    vendor_call._ways.clear()


def subscription(site: Site, card: str = "ok", **more: Any) -> str:
    """A subscription that has begun."""
    subscription_id = site.subscribe(site.customer(card), **more)
    site.house.cloud.advance(seconds=61)
    return subscription_id


def held(site: Site, subscription_id: str) -> dict[str, Any]:
    found = site.sdk.Subscription.retrieve(subscription_id)
    raw: dict[str, Any] = found.subscription.raw_data
    return raw


def test_a_subscription_is_told_with_our_ids(site: Site, port: Chargebee) -> None:
    ada = site.customer()
    subscription_id = site.subscribe(ada)
    facts = port.subscription_of(subscription_id)
    assert facts is not None
    assert (facts.id, facts.customer_id, facts.clinic_id, facts.status, facts.item_price_id) == (
        subscription_id,
        str(ada),
        str(BERLIN),
        "future",
        MONTHLY,
    )


def test_a_subscription_that_does_not_exist_is_none(port: Chargebee) -> None:
    assert port.subscription_of("nobody") is None


def test_a_contract_is_set_and_cleared(site: Site, port: Chargebee) -> None:
    subscription_id = subscription(site)
    contract = ContractId.new()
    port.set_contract(subscription_id, contract, "k1")
    port.set_contract(subscription_id, contract, "k1")
    assert held(site, subscription_id)["cf_contract_id"] == str(contract)
    port.set_contract(subscription_id, None, "k2")
    assert "cf_contract_id" not in held(site, subscription_id)


def test_a_reset_to_monthly_waits_for_the_end_of_the_term(site: Site, port: Chargebee) -> None:
    subscription_id = subscription(site, subscription_items=[{"item_price_id": SIX_MONTHS}])
    port.reset_to_monthly(subscription_id, MONTHLY, "k1")
    port.reset_to_monthly(subscription_id, MONTHLY, "k2")
    before = port.subscription_of(subscription_id)
    site.house.cloud.advance(days=190)
    after = port.subscription_of(subscription_id)
    assert before is not None
    assert after is not None
    assert (before.item_price_id, after.item_price_id) == (SIX_MONTHS, MONTHLY)
    port.reset_to_monthly(subscription_id, MONTHLY, "k3")
    assert not held(site, subscription_id)["has_scheduled_changes"]


def test_a_plan_changes_at_once_and_is_billed_once(site: Site, port: Chargebee) -> None:
    subscription_id = subscription(site)
    for key in ("k1", "k1", "k2"):
        port.change_plan(subscription_id, SIX_MONTHS, False, key)
    invoices = site.sdk.Invoice.list({"subscription_id": {"is": subscription_id}}).list
    assert sorted(row.invoice.total for row in invoices) == [3900, 19_900]


@pytest.mark.parametrize("keys", [("k1", "k1"), ("k1", "k2")])
def test_every_change_may_be_repeated(site: Site, port: Chargebee, keys: tuple[str, str]) -> None:
    subscription_id = subscription(site)

    def twice(change: Any, *arguments: Any, then: str) -> None:
        for key in keys:
            change(subscription_id, *arguments, f"{change.__name__}{arguments}{key}")
        assert held(site, subscription_id)["status"] == then

    twice(port.pause, then="paused")
    twice(port.resume, then="active")
    twice(port.cancel, True, then="non_renewing")
    twice(port.cancel, False, then="cancelled")


def test_what_cannot_be_is_refused_with_chargebee_s_code(site: Site, port: Chargebee) -> None:
    subscription_id = subscription(site)
    port.cancel(subscription_id, False, "k1")
    with pytest.raises(VendorRefused, match="409 invalid_state_for_pause"):
        port.pause(subscription_id, "k2")
    with pytest.raises(VendorRefused, match="404 resource_not_found"):
        port.pause("nobody", "k3")
    with pytest.raises(VendorRefused, match="404 resource_not_found"):
        port.change_plan(subscription(site), "no-such-price", False, "k4")


def test_a_collection_tells_by_the_invoice_alone(site: Site, port: Chargebee) -> None:
    invoice = site.begin(site.customer("insufficient_funds*2,ok"))
    for key in ("k1", "k1", "k2", "k3"):
        port.collect(invoice["id"], key)
    raw = port.retrieve(Resource.INVOICE, invoice["id"])
    assert raw is not None
    assert [one["txn_status"] for one in raw["linked_payments"]] == [
        "failure",
        "failure",
        "success",
    ]
    told = port.transactions([one["txn_id"] for one in raw["linked_payments"]])
    codes = [one.get("error_code") for one in told]
    assert sorted(codes, key=str) == [None, "insufficient_funds", "insufficient_funds"]


def test_transactions_are_found_by_id_however_many_are_asked_for(
    site: Site, port: Chargebee
) -> None:
    invoice = site.begin(site.customer("insufficient_funds*2,ok"))
    port.collect(invoice["id"], "k1")
    raw = port.retrieve(Resource.INVOICE, invoice["id"])
    assert raw is not None
    mine = sorted(one["txn_id"] for one in raw["linked_payments"])
    asked = [*(f"txn_{number}" for number in range(150)), *mine, "with space, and comma"]
    assert sorted(one["id"] for one in port.transactions(asked)) == mine
    assert port.transactions([]) == []


def test_dunning_is_stopped_once_and_for_all(site: Site, port: Chargebee) -> None:
    invoice = site.begin(site.customer("insufficient_funds"))
    port.stop_dunning(invoice["id"], "k1")
    port.stop_dunning(invoice["id"], "k2")
    raw = port.retrieve(Resource.INVOICE, invoice["id"])
    assert raw is not None
    assert (raw["status"], raw["dunning_status"]) == ("not_paid", "stopped")


def test_changes_are_listed_from_an_instant_on_with_deleted_ones(
    site: Site, port: Chargebee
) -> None:
    subscription(site)
    between = site.now + timedelta(minutes=1)
    site.house.cloud.advance(minutes=2)
    gone = subscription(site, "stolen_card")
    site.sdk.Subscription.delete(gone)
    assert [raw["id"] for raw in port.changed(Resource.SUBSCRIPTION, between)] == [gone]
    assert len(port.changed(Resource.SUBSCRIPTION, None)) == 2
    assert port.changed(Resource.INVOICE, site.now) == []


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("429", VendorUnavailable),
        ("error", OutcomeUnknown),
        ("down", OutcomeUnknown),
        ("fail-after-success", OutcomeUnknown),
    ],
)
def test_outages_are_told_apart_and_never_retried_here(
    site: Site, port: Chargebee, fault: str, error: type[Exception]
) -> None:
    subscription_id = subscription(site)
    site.house.cloud.fault("chargebee", fault, count=1)
    with pytest.raises(error):
        port.cancel(subscription_id, False, "k1")
    done = fault == "fail-after-success"
    assert held(site, subscription_id)["status"] == ("cancelled" if done else "active")


def test_no_connection_means_that_nothing_was_done(
    site: Site, port: Chargebee, monkeypatch: pytest.MonkeyPatch
) -> None:
    port.subscription_of("nobody")
    monkeypatch.setattr(port._sdk.env, "api_endpoint", "http://127.0.0.1:1/api/v2")
    with pytest.raises(VendorUnavailable, match="no connection"):
        port.subscription_of("nobody")
