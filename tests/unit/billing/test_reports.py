"""Chargebee's objects as they are read: tolerant of what is not used, strict where it matters."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domains.billing.commands import read, read_notice
from shared.domains.billing.model import Resource
from shared.kernel.errors import Invalid
from shared.kernel.ids import ClinicId, CustomerId

CUSTOMER = CustomerId.new()
CLINIC = ClinicId.new()
INVOICE: dict[str, Any] = {
    "id": "1",
    "customer_id": str(CUSTOMER),
    "status": "payment_due",
    "total": 3900,
    "amount_paid": 0,
    "amount_due": 3900,
    "currency_code": "EUR",
    "date": 1_772_000_000,
    "updated_at": 1_772_000_000,
    "resource_version": 1_772_000_000_000,
    "linked_payments": [
        {"txn_id": "t2", "txn_status": "failure", "txn_date": 1_772_000_200},
        {"txn_id": "t3", "txn_status": "success", "txn_date": 1_772_000_300},
        {"txn_id": "t1", "txn_status": "failure", "txn_date": 1_772_000_100},
    ],
}
SUBSCRIPTION: dict[str, Any] = {
    "id": "s1",
    "customer_id": str(CUSTOMER),
    "cf_clinic_id": str(CLINIC),
    "status": "active",
    "subscription_items": [
        {"item_price_id": "extra", "item_type": "addon"},
        {"item_price_id": "monthly", "item_type": "plan"},
    ],
    "updated_at": 1_772_000_000,
    "resource_version": 1,
}


def test_declined_attempts_are_ordered_by_their_time() -> None:
    (invoice,) = read({Resource.INVOICE: [INVOICE]}).invoices
    assert [failed.txn_id for failed in invoice.failures] == ["t1", "t2"]


def test_the_plan_is_told_from_addons() -> None:
    (subscription,) = read({Resource.SUBSCRIPTION: [SUBSCRIPTION]}).subscriptions
    assert subscription.item_price_id == "monthly"
    assert subscription.cf_clinic_id == CLINIC


def test_a_contract_id_that_is_none_counts_as_absent() -> None:
    raw = SUBSCRIPTION | {"cf_contract_id": "see e-mail"}
    (subscription,) = read({Resource.SUBSCRIPTION: [raw]}).subscriptions
    assert subscription.cf_contract_id is None


@pytest.mark.parametrize(
    "change",
    [
        {"customer_id": "cust-00001"},
        {"status": "unheard_of"},
        {"total": -1},
        {"total": 2**60},
        {"currency_code": "euro"},
        {"resource_version": None},
        {"id": "nul\x00"},
        {"linked_payments": [{"txn_id": "t"}]},
    ],
)
def test_an_object_that_makes_no_sense_is_a_stray_and_stops_no_other(
    change: dict[str, Any],
) -> None:
    reports = read({Resource.INVOICE: [INVOICE | change, INVOICE]})
    assert len(reports.invoices) == 1
    (stray,) = reports.strays
    assert stray.reason == f"unreadable: {next(iter(change))}"


def test_a_reason_never_repeats_a_value() -> None:
    (stray,) = read({Resource.INVOICE: [INVOICE | {"status": "Ada Example"}]}).strays
    assert "Ada" not in stray.reason


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_whatever_comes_is_read_or_a_stray(raw: Any) -> None:
    reports = read({kind: [raw] for kind in Resource})
    found = len(reports.customers) + len(reports.subscriptions) + len(reports.invoices)
    assert found + len(reports.declines) + len(reports.strays) == len(Resource)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", json.dumps({"id": "x"}).encode()])
def test_a_webhook_that_is_no_event_is_invalid(body: bytes) -> None:
    with pytest.raises(Invalid):
        read_notice(body)
