"""A customer's invoices and subscriptions in the portal: their own, page by page."""

from typing import Any

from shared.kernel.ids import CustomerId
from shared.kernel.tenancy import Role
from tests.conftest import BERLIN, KOLKATA, House
from tests.functions.billing_site import MONTHLY, Site, site

__all__ = ["site"]


def register(house: House, uid: str) -> tuple[CustomerId, str]:
    token = house.id_token(uid)
    body = {"given_name": "Ada", "family_name": "Example", "email": f"{uid}@example.com"}
    answer = house.portal("POST", "/customers", token, body)
    assert answer.json is not None
    return CustomerId(answer.json["id"]), token


def listed(house: House, path: str, token: str) -> Any:
    answer = house.portal("GET", path, token)
    assert answer.status_code == 200
    return answer.json


def test_invoices_are_paged_to_the_end_without_a_gap(site: Site, house: House) -> None:
    ada, token = register(house, "ada")
    site.customer(customer_id=ada)
    numbers = {site.begin(ada)["id"] for _ in range(3)}
    site.sync()
    first = listed(house, "/invoices?limit=2", token)
    second = listed(house, f"/invoices?limit=2&after={first['next']}", token)
    assert [len(first["items"]), len(second["items"])] == [2, 1]
    assert {one["number"] for one in first["items"] + second["items"]} == numbers
    assert second["next"] is None
    assert first["items"][0]["total"] == {"amount": 3900, "currency": "EUR"}
    assert first["items"][0]["due"] == {"amount": 0, "currency": "EUR"}


def test_a_subscription_is_shown_with_its_plan(site: Site, house: House) -> None:
    ada, token = register(house, "ada")
    site.customer(customer_id=ada)
    site.begin(ada)
    site.sync()
    (one,) = listed(house, "/subscriptions", token)["items"]
    assert (one["status"], one["item_price_id"]) == ("active", MONTHLY)


def test_nobody_sees_another_s_invoices(site: Site, house: House) -> None:
    ada, _ = register(house, "ada")
    _, other = register(house, "ben")
    site.customer(customer_id=ada)
    site.begin(ada)
    site.sync()
    assert listed(house, "/invoices", other)["items"] == []
    finance = house.id_token("kim", Role.FINANCE_BILLING, BERLIN)
    assert len(listed(house, "/invoices", finance)["items"]) == 1
    foreign = house.id_token("lee", Role.FINANCE_BILLING, KOLKATA)
    assert house.portal("GET", "/invoices", foreign).status_code == 404


def test_staff_read_what_the_nightly_comparison_found(site: Site) -> None:
    site.begin(site.customer())
    site.sync()
    site.house.rows("UPDATE billing.invoices SET total = 1")
    site.house.cloud.advance(hours=1)
    site.house.cron("billing_agent", "chargebee_compares")
    finance = site.house.id_token("finance", Role.FINANCE_BILLING, BERLIN)
    answer = site.house.portal("GET", "/drifts", finance)
    assert answer.json is not None
    assert [(one["resource"], one["kind"]) for one in answer.json["items"]] == [
        ("invoice", "differing")
    ]
    assert site.house.portal("GET", "/drifts", site.house.id_token("ada")).status_code == 403
