"""Seeded customers: reproducible, reachable nowhere, and of every kind the product must handle."""

from zoneinfo import ZoneInfo

import phonenumbers
from babel import Locale

from emulators.seed import CATALOG, CLINICS, customers
from emulators.vendors.chargebee.models import card_outcome


def test_same_seed_gives_the_same_customers() -> None:
    assert customers(50, 3) == customers(200, 3)[:50]
    assert customers(50, 3) != customers(50, 4)


def test_contact_points_are_unique_and_nobodys() -> None:
    people = customers(600, 1)
    assert len({one.email for one in people}) == len({one.phone for one in people}) == 600
    assert all(one.email.rpartition("@")[2] in ("example.com", "example.org") for one in people)
    assert all(one.email.isascii() for one in people)
    assert all(phonenumbers.is_valid_number(phonenumbers.parse(one.phone)) for one in people)


def test_locales_and_zones_are_real_and_some_zones_are_off_the_hour() -> None:
    people = customers(600, 1)
    assert all(Locale.parse(one.locale, sep="-") for one in people)
    zones = {one.zone: ZoneInfo(one.zone) for one in people}
    assert {"Asia/Kolkata", "America/St_Johns", "Australia/Adelaide"} <= zones.keys()
    assert {"de-DE", "ar", "es-ES", "zh-Hans"} <= {one.locale for one in people}


def test_every_kind_of_life_occurs_and_most_customers_just_renew() -> None:
    people = customers(400, 1)
    assert {one.clinic for one in people} == set(range(len(CLINICS)))
    assert {one.upfront for one in people} == {True, False}
    assert 0.6 < sum(one.renews for one in people) / 400 < 0.95
    assert 0.65 < sum(one.card == "ok" for one in people) / 400 < 0.9
    assert any(one.cancels_month for one in people)
    assert any(one.pauses_month and one.resumes_month for one in people)
    assert any(one.pauses_month and not one.resumes_month for one in people)
    assert any(one.changes_plan_to for one in people)
    assert any(one.new_phone for one in people)


def test_prices_and_cards_are_ones_the_vendor_knows() -> None:
    prices = {row["id"] for row in CATALOG["item_price"]}
    for one in customers(400, 1):
        assert {one.item_price_id, one.changes_plan_to or one.item_price_id} <= prices
        assert card_outcome(one.card, 0)
