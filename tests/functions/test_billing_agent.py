"""What Chargebee changes is brought here: by webhooks in any order, by the minute, every night."""

from tests.functions.billing_site import Site, site

__all__ = ["site"]


def test_a_webhook_brings_subscription_and_invoice(site: Site) -> None:
    ada = site.customer()
    site.begin(ada)
    site.bring(site.notices())
    (subscription,) = site.rows("subscriptions")
    assert (subscription["status"], subscription["customer_id"]) == ("active", ada)
    (invoice,) = site.rows("invoices")
    assert (invoice["status"], invoice["total"], invoice["currency"]) == ("paid", 3900, "EUR")
    assert site.parked() == []


def test_the_sync_brings_the_same(site: Site) -> None:
    ada = site.customer()
    site.begin(ada)
    site.sync()
    (subscription,) = site.rows("subscriptions")
    assert (subscription["status"], subscription["customer_id"]) == ("active", ada)
    (invoice,) = site.rows("invoices")
    assert (invoice["status"], invoice["total"], invoice["currency"]) == ("paid", 3900, "EUR")
