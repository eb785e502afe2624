"""What Chargebee changes is brought here: by webhooks in any order, by the minute, every night."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from chargebee.api_error import PaymentError

from shared.kernel.ids import ClinicId, InvoiceId, SubscriptionId
from tests.conftest import BERLIN, KOLKATA, House
from tests.functions.billing_site import SIX_MONTHS, Site, site

__all__ = ["site"]


def live(site: Site) -> None:
    """Three customers over a month: one pays, one's bank says no twice, one's card is stolen."""
    ada, ben = site.customer(), site.customer("insufficient_funds*2,ok")
    eve = site.customer("stolen_card", KOLKATA)
    site.begin(ada)
    unpaid = site.begin(ben)
    lost = site.begin(eve, clinic_id=KOLKATA)
    for invoice in (unpaid, unpaid, lost):
        site.house.cloud.advance(days=2)
        try:
            site.sdk.Invoice.collect_payment(invoice["id"], {})
        except PaymentError:
            continue
    site.sdk.Invoice.stop_dunning(lost["id"])
    cancelled = site.subscribe(ada)
    site.sdk.Subscription.cancel_for_items(cancelled, {"end_of_term": False})
    site.house.cloud.advance(days=28)


def expect_the_provider_s_state(site: Site) -> None:
    """Every object is here in its newest version, and every fact was told once."""
    subscriptions = [row.subscription.raw_data for row in site.sdk.Subscription.list().list]
    invoices = [row.invoice.raw_data for row in site.sdk.Invoice.list({"limit": 100}).list]
    assert {(row["vendor_id"], row["status"]) for row in site.rows("subscriptions")} == {
        (one["id"], one["status"]) for one in subscriptions
    }
    rows = site.rows("invoices")
    assert {(r["vendor_id"], r["status"], r["amount_paid"], r["attempts"]) for r in rows} == {
        (one["id"], one["status"], one["amount_paid"], failures(one)) for one in invoices
    }
    versions = {row["vendor_id"]: row["resource_version"] for row in rows}
    assert versions == {one["id"]: one["resource_version"] for one in invoices}
    ours = {row["id"]: row["vendor_id"] for row in rows}
    paid = Counter(str(fact["invoice_id"]) for fact in site.house.emitted("invoice.paid"))
    assert paid == {str(id_): 1 for id_ in ours if by_id(invoices, ours[id_])["status"] == "paid"}
    failed = Counter(
        (fact["invoice_id"], fact["attempt"])
        for fact in site.house.emitted("invoice.payment_failed")
    )
    assert failed == {
        (str(id_), attempt): 1
        for id_ in ours
        for attempt in range(1, failures(by_id(invoices, ours[id_])) + 1)
    }


def failures(invoice: dict[str, Any]) -> int:
    return [one["txn_status"] for one in invoice["linked_payments"]].count("failure")


def by_id(invoices: list[dict[str, Any]], vendor_id: str) -> dict[str, Any]:
    return next(one for one in invoices if one["id"] == vendor_id)


def test_webhooks_in_order_bring_everything_once(site: Site) -> None:
    live(site)
    site.bring(site.notices())
    expect_the_provider_s_state(site)
    assert site.parked() == []


def test_the_sync_alone_brings_the_same(site: Site) -> None:
    live(site)
    site.sync()
    expect_the_provider_s_state(site)


@pytest.mark.parametrize("seed", range(4))
def test_shuffled_and_repeated_webhooks_between_syncs_bring_the_same_once(
    site: Site, seed: int
) -> None:
    live(site)
    random = Random(seed)
    notices = site.notices() * 2
    random.shuffle(notices)
    third = len(notices) // 3
    for part in (notices[:third], notices[third : 2 * third], notices[2 * third :]):
        site.bring(part)
        if random.random() < 0.5:
            site.sync()
    site.sync()
    expect_the_provider_s_state(site)
    assert site.parked() == []


def test_why_an_attempt_failed_is_told_whichever_way_it_comes(site: Site) -> None:
    site.begin(site.customer("insufficient_funds"))
    stolen = site.begin(site.customer("stolen_card"))
    bare = [one for one in site.notices() if set(one["content"]) == {"invoice"}]
    site.bring(one for one in bare if one["content"]["invoice"]["id"] == stolen["id"])
    (fact,) = site.house.emitted("invoice.payment_failed")
    assert (fact["decline"], fact["attempt"]) == ("hard", 1)
    site.sync()
    assert [one["decline"] for one in site.house.emitted("invoice.payment_failed")] == [
        "hard",
        "soft",
    ]


def _bare(invoice: dict[str, object], **changed: object) -> dict[str, object]:
    """A webhook that says nothing but the invoice."""
    version = invoice["resource_version"]
    assert isinstance(version, int)
    newer = invoice | {"resource_version": version + 1} | changed
    return {"id": "ev_later", "event_type": "invoice_updated", "content": {"invoice": newer}}


def test_a_later_report_keeps_the_known_reason_of_a_decline(site: Site) -> None:
    invoice = site.begin(site.customer("stolen_card"))
    site.sync()
    site.bring([_bare(invoice)])
    (row,) = site.rows("invoices")
    assert (row["resource_version"], row["decline"]) == (invoice["resource_version"] + 1, "hard")


def test_an_attempt_that_is_told_late_says_what_it_was_to_collect(site: Site) -> None:
    ada = site.customer("insufficient_funds")
    invoice = site.begin(ada)
    paid = {"status": "paid", "amount_due": 0, "amount_paid": invoice["total"]}
    site.bring([_bare(invoice, **paid)])
    (fact,) = site.house.emitted("invoice.payment_failed")
    assert fact["amount"]["amount"] == invoice["total"]


def test_an_invoice_s_clinic_is_asked_for_where_the_webhook_does_not_say(site: Site) -> None:
    ada = site.customer()
    site.begin(ada)
    site.bring(one for one in site.notices() if one["event_type"] == "invoice_generated")
    (invoice,) = site.rows("invoices")
    assert (invoice["clinic_id"], invoice["customer_id"]) == (BERLIN, ada)


def test_an_older_version_never_overwrites_a_newer_one(site: Site) -> None:
    site.begin(site.customer())
    first = site.notices()
    subscription = first[-1]["content"]["subscription"]["id"]
    site.sdk.Subscription.pause(subscription, {"pause_option": "immediately"})
    site.sync()
    before = site.rows("subscriptions")
    site.bring(first)
    assert site.rows("subscriptions") == before
    assert before[0]["status"] == "paused"


@pytest.mark.parametrize(
    ("clinic", "reason"),
    [(None, "no cf_clinic_id"), (ClinicId.new(), "cf_clinic_id names no clinic known here")],
)
def test_an_object_of_an_unknown_clinic_is_parked_with_the_reason(
    site: Site, clinic: ClinicId | None, reason: str
) -> None:
    stranger = site.customer(clinic_id=clinic)
    site.bring(site.notices())
    assert site.parked() == [
        f"Invalid: webhook-not-ours: Nothing was taken over. customer {stranger}: {reason}."
    ]


def test_simultaneous_reports_of_one_payment_tell_it_once(site: Site) -> None:
    site.begin(site.customer())
    (paid,) = [one for one in site.notices() if one["event_type"] == "payment_succeeded"]
    for number in range(6):
        site.send(paid | {"id": f"ev_{number}"})
    webhooks = site.house.rows(
        "SELECT payload, attributes FROM platform.outbox WHERE type = 'chargebee_webhook.received'"
    )
    site.house.client("billing_agent")

    def push(row: dict[str, Any]) -> int:
        return site.house.push(
            "billing_agent", row["payload"].encode(), row["attributes"]
        ).status_code

    with ThreadPoolExecutor(6) as threads:
        assert set(threads.map(push, webhooks)) == {204}
    assert len(site.house.emitted("invoice.paid")) == 1
    assert len(site.house.emitted("invoice.changed")) == 1
    assert site.parked() == []


def test_other_details_of_a_payment_method_are_told(site: Site) -> None:
    ada = site.customer()
    site.bring(site.notices())
    assert site.house.emitted("payment_method.updated") == []
    raw = site.sdk.Customer.retrieve(str(ada)).customer.raw_data
    content = {"customer": raw, "payment_source": {"id": raw["primary_payment_source_id"]}}
    site.bring([{"id": "ev_m", "event_type": "payment_source_updated", "content": content}])
    said = site.house.emitted("payment_method.updated")
    assert [fact["customer_id"] for fact in said] == [str(ada)]


def test_a_webhook_that_makes_no_sense_is_parked(site: Site) -> None:
    content = {"invoice": {"id": "77", "status": "unheard_of", "resource_version": 1}}
    site.bring([{"id": "ev_x", "event_type": "invoice_updated", "content": content}])
    (reason,) = site.parked()
    assert reason.startswith("Invalid: webhook-not-ours")
    assert "invoice 77: unreadable" in reason


def test_events_about_other_things_are_of_no_concern(site: Site) -> None:
    site.bring([{"id": "ev_y", "event_type": "coupon_created", "content": {"coupon": {}}}])
    assert site.parked() == []


def test_a_stray_stops_no_other_and_is_forgotten_once_it_has_a_clinic(site: Site) -> None:
    stranger = site.customer(clinic_id=None)
    site.begin(site.customer())
    site.sync()
    assert len(site.rows("invoices")) == 1
    strays = [(row["resource"], row["vendor_id"], row["reason"]) for row in site.rows("strays")]
    assert strays == [("customer", str(stranger), "no cf_clinic_id")]
    site.sdk.Customer.update(str(stranger), {"cf_clinic_id": str(KOLKATA)})
    site.sync()
    assert site.rows("strays") == []


def test_a_customer_who_moves_belongs_to_the_other_clinic(site: Site) -> None:
    ada = site.customer()
    site.sync()
    site.sdk.Customer.update(str(ada), {"cf_clinic_id": str(KOLKATA)})
    site.sync()
    accounts = site.house.rows("SELECT customer_id, clinic_id FROM billing.accounts")
    assert accounts == [{"customer_id": ada, "clinic_id": KOLKATA}]


def test_clinics_see_only_their_own(site: Site) -> None:
    site.begin(site.customer())
    site.begin(site.customer(clinic_id=KOLKATA), clinic_id=KOLKATA)
    site.sync()
    assert sorted(row["clinic_id"] for row in site.rows("invoices")) == [BERLIN, KOLKATA]
    said = {fact["clinic_id"] for fact in site.house.emitted("invoice.paid")}
    assert said == {str(BERLIN), str(KOLKATA)}


def test_a_sync_that_finds_nothing_new_is_idle(site: Site) -> None:
    site.begin(site.customer())
    assert "X-Idle-Until" not in site.sync().headers
    assert site.sync().headers["X-Idle-Until"] == "never"


def test_the_sync_pages_to_the_end_and_goes_on_from_its_cursor(site: Site) -> None:
    customers = [site.customer() for _ in range(130)]
    site.sync()
    assert len(site.house.rows("SELECT customer_id FROM billing.accounts")) == len(customers)
    site.house.cloud.advance(hours=1)
    site.customer()
    site.sync()
    cursors = site.house.rows("SELECT DISTINCT changed_until FROM billing.sync_cursors")
    assert [row["changed_until"] for row in cursors] == [site.now]
    assert len(site.house.rows("SELECT customer_id FROM billing.accounts")) == 131


def test_an_outage_leaves_the_cursor_and_the_next_run_catches_up(site: Site) -> None:
    site.begin(site.customer())
    site.house.cloud.fault("chargebee", "down")
    assert site.house.cron("billing_agent", "chargebee_sync").status_code == 503
    assert site.rows("invoices") == []
    site.house.cloud.heal()
    site.sync()
    assert len(site.rows("invoices")) == 1


def test_a_deleted_subscription_is_marked(site: Site) -> None:
    site.begin(site.customer())
    site.sync()
    (row,) = site.rows("subscriptions")
    site.sdk.Subscription.delete(row["vendor_id"])
    site.sync()
    assert site.rows("subscriptions")[0]["deleted"] is True


def test_a_subscription_carries_its_contract_and_plan(site: Site) -> None:
    contract = InvoiceId.new()
    items = [{"item_price_id": SIX_MONTHS}]
    ada = site.customer()
    site.subscribe(ada, subscription_items=items, cf_contract_id=str(contract))
    site.sync()
    (row,) = site.rows("subscriptions")
    assert (row["contract_id"].int, row["item_price_id"]) == (contract.int, SIX_MONTHS)
    assert row["id"].int == SubscriptionId.derive(BERLIN, row["vendor_id"]).int


# Every night


def compare(house: House) -> list[dict[str, Any]]:
    assert house.cron("billing_agent", "chargebee_compares").status_code == 204
    return house.rows("SELECT * FROM billing.drifts ORDER BY resource, vendor_id")


def test_the_comparison_finds_and_heals_what_was_never_brought(site: Site, house: House) -> None:
    site.begin(site.customer())
    house.cloud.advance(hours=1)
    drifts = compare(house)
    assert [(d["resource"], d["kind"], d["healed"]) for d in drifts] == [
        ("invoice", "missing_here", True),
        ("subscription", "missing_here", True),
    ]
    assert house.emitted("billing.drift_found") == [
        {"clinic_id": str(BERLIN), "subscriptions": 1, "invoices": 1}
    ]
    expect_the_provider_s_state(site)


def test_the_comparison_heals_a_row_that_fell_behind(site: Site, house: House) -> None:
    site.begin(site.customer())
    site.sync()
    house.rows("UPDATE billing.invoices SET status = 'payment_due', resource_version = 1")
    house.cloud.advance(hours=1)
    (drift,) = compare(house)
    assert (drift["kind"], drift["healed"]) == ("differing", True)
    assert drift["ours"] == "payment_due 3900 3900 EUR @1"
    assert site.rows("invoices")[0]["status"] == "paid"


def test_the_comparison_reports_an_amount_that_differs_at_the_same_version(
    site: Site, house: House
) -> None:
    site.begin(site.customer())
    site.sync()
    house.rows("UPDATE billing.invoices SET total = 1")
    house.cloud.advance(hours=1)
    (drift,) = compare(house)
    assert (drift["resource"], drift["kind"], drift["healed"]) == ("invoice", "differing", False)


def test_the_comparison_reports_a_row_the_provider_does_not_have(site: Site, house: House) -> None:
    site.begin(site.customer())
    site.sync()
    house.rows("UPDATE billing.subscriptions SET vendor_id = 'gone', id = gen_random_uuid()")
    house.cloud.advance(hours=1)
    kinds = {drift["vendor_id"]: drift["kind"] for drift in compare(house)}
    assert kinds.pop("gone") == "missing_there"
    assert list(kinds.values()) == ["missing_here"]


def test_no_drift_is_told_to_nobody(site: Site, house: House) -> None:
    site.begin(site.customer())
    site.sync()
    house.cloud.advance(hours=1)
    assert compare(house) == []
    assert house.emitted("billing.drift_found") == []


def test_comparing_twice_in_a_night_tells_once(site: Site, house: House) -> None:
    site.begin(site.customer())
    site.sync()
    house.rows("UPDATE billing.invoices SET total = 1")
    house.cloud.advance(hours=1)
    assert compare(house) == compare(house)
    assert len(house.emitted("billing.drift_found")) == 1
    house.cloud.advance(to=site.now + timedelta(days=1))
    assert len(compare(house)) == 2


def test_an_old_row_that_was_tampered_with_is_found_within_a_week(site: Site, house: House) -> None:
    site.begin(site.customer())
    site.sync()
    for _ in range(2):
        assert compare(house) == []
        house.cloud.advance(days=2)
    house.rows("UPDATE billing.invoices SET total = 1")
    assert compare(house) == []
    house.cloud.advance(days=3)
    assert [drift["kind"] for drift in compare(house)] == ["differing"]


def test_a_change_that_never_came_is_found_the_same_night(site: Site, house: House) -> None:
    site.begin(site.customer())
    site.sync()
    compare(house)
    house.cloud.advance(days=2)
    site.begin(site.customer())
    house.cloud.advance(hours=1)
    assert {drift["kind"] for drift in compare(house)} == {"missing_here"}
    expect_the_provider_s_state(site)
