"""Customers through the portal's API: their data, their device."""

from typing import Any

import pytest
from werkzeug.test import TestResponse

from shared.domains.notifications.model import MessageStatus
from shared.kernel.ids import CustomerId
from shared.kernel.tenancy import Role
from tests.conftest import BERLIN, KOLKATA, House
from tests.functions.notification_desk import Desk, created

ADA = {
    "given_name": "Ada",
    "family_name": "Example",
    "email": "ada@example.com",
    "phone": "+4930123456",
    "locale": "de",
    "time_zone": "Europe/Berlin",
}


def register(house: House, uid: str = "ada", **changes: str) -> str:
    """A customer of the Berlin clinic; their ID token."""
    token = house.id_token(uid)
    assert house.portal("POST", "/customers", token, ADA | changes).status_code == 201
    return token


def change(house: House, token: str, **changes: object) -> TestResponse:
    return house.portal("PATCH", "/customers/me", token, changes)


def row(house: House, uid: str = "ada") -> dict[str, Any]:
    return house.rows("SELECT * FROM customers.customers WHERE uid = :uid", uid=uid)[0]


def problem(answer: TestResponse) -> str:
    assert answer.content_type == "application/problem+json"
    assert answer.json is not None
    return str(answer.json["type"].removeprefix("urn:clinicloop:problem:"))


def test_a_registered_customer_sees_their_data(house: House) -> None:
    token = register(house)
    seen = house.portal("GET", "/customers/me", token).json
    assert seen is not None
    assert {name: seen[name] for name in ADA} == ADA
    assert house.emitted("customer.registered") == [
        {"clinic_id": str(BERLIN), "customer_id": seen["id"], "version": 1}
    ]


def test_registering_twice_conflicts(house: House) -> None:
    token = register(house)
    answer = house.portal("POST", "/customers", token, ADA)
    assert (answer.status_code, problem(answer)) == (409, "customer-exists")


def test_an_address_belongs_to_one_customer_of_a_clinic(house: House) -> None:
    register(house)
    answer = house.portal("POST", "/customers", house.id_token("eve"), ADA)
    assert (answer.status_code, problem(answer)) == (409, "customer-exists")
    assert len(house.rows("SELECT id FROM customers.customers")) == 1


def test_somebody_may_be_a_customer_of_two_clinics(house: House) -> None:
    token = register(house)
    there = house.portal("POST", f"/v1/clinics/{KOLKATA}/customers", token, ADA)
    assert there.status_code == 201
    assert there.json is not None
    assert there.json["id"] != str(row(house)["id"])


def test_an_unknown_clinic_has_no_customers(house: House) -> None:
    nowhere = "/v1/clinics/0198c0de-0000-7000-8000-00000000ffff/customers"
    answer = house.portal("POST", nowhere, house.id_token("ada"), ADA)
    assert answer.status_code == 404


def test_a_stranger_is_not_found(house: House) -> None:
    answer = house.portal("GET", "/customers/me", house.id_token("eve"))
    assert (answer.status_code, problem(answer)) == (404, "customer-not-found")


def test_a_change_says_what_kind_of_data_changed_and_never_its_value(house: House) -> None:
    token = register(house)
    answer = change(house, token, phone=None, given_name="Augusta")
    assert answer.json is not None
    assert (answer.json["phone"], answer.json["given_name"]) == (None, "Augusta")
    told = house.emitted("customer.updated")
    assert [event["changed"] for event in told] == [["name", "phone"]]
    assert "Augusta" not in str(told)


def test_a_change_that_changes_nothing_is_not_told(house: House) -> None:
    token = register(house)
    assert change(house, token, locale="de").status_code == 200
    assert house.emitted("customer.updated") == []
    assert row(house)["version"] == 1


def test_an_empty_change_is_refused(house: House) -> None:
    answer = change(house, register(house))
    assert (answer.status_code, problem(answer)) == (400, "nothing-to-change")


def test_a_device_is_kept_and_taken_away_without_a_word(house: House) -> None:
    token = register(house)
    assert change(house, token, push_token="device-1").status_code == 200
    assert row(house)["push_token"] == "device-1"
    assert change(house, token, push_token=None).status_code == 200
    assert row(house)["push_token"] is None
    assert house.emitted("customer.updated") == []


def test_a_device_is_not_shown_again(house: House) -> None:
    answer = change(house, register(house), push_token="device-1")
    assert "device-1" not in answer.text


def test_a_device_along_with_other_data_is_not_among_what_is_told(house: House) -> None:
    change(house, register(house), push_token="device-1", locale="en")
    assert [event["changed"] for event in house.emitted("customer.updated")] == [["locale"]]


@pytest.mark.parametrize("token", ["", "x" * 2049, "a b", 7, ["a"]])
def test_what_is_no_push_token_is_refused(house: House, token: object) -> None:
    answer = change(house, register(house), push_token=token)
    assert (answer.status_code, problem(answer)) == (400, "invalid-request")
    assert row(house)["push_token"] is None


def test_the_longest_push_token_is_kept(house: House) -> None:
    token = "".join(chr(65 + n * 7 % 26) for n in range(2048))
    assert change(house, register(house), push_token=token).status_code == 200
    assert row(house)["push_token"] == token


def test_a_device_belongs_to_whoever_signed_in_last(house: House) -> None:
    change(house, register(house), push_token="device-1")
    eve = register(house, "eve", email="eve@example.com")
    change(house, eve, push_token="device-1")
    assert (row(house)["push_token"], row(house, "eve")["push_token"]) == (None, "device-1")


def test_a_device_is_another_matter_in_another_clinic(house: House) -> None:
    token = register(house)
    house.portal("POST", f"/v1/clinics/{KOLKATA}/customers", token, ADA)
    for path in ("/customers/me", f"/v1/clinics/{KOLKATA}/customers/me"):
        body = {"push_token": "device-1"}
        assert house.portal("PATCH", path, token, body).status_code == 200
    held = house.rows("SELECT push_token FROM customers.customers")
    assert [one["push_token"] for one in held] == ["device-1"] * 2


def test_staff_have_no_customer_data_of_their_own(house: House) -> None:
    staff = house.id_token("staff", Role.CLINIC_ADMIN, BERLIN)
    assert change(house, staff, push_token="device-1").status_code == 404


def push_messages(desk: Desk, token: str) -> list[dict[str, Any]]:
    return desk.sent("fcm", token)


def test_news_of_a_contract_reach_the_device(desk: Desk) -> None:
    token = register(desk.house, time_zone=desk.zone_at(12))
    change(desk.house, token, push_token="device-of-ada")
    customer = CustomerId(int=row(desk.house)["id"].int)
    desk.deliver(created(customer))
    desk.send_queued()
    (sent,) = push_messages(desk, "device-of-ada")
    assert sent["subject"] == "Neues zu Ihrem Vertrag"
    assert desk.messages()["push"]["status"] == MessageStatus.ACCEPTED


def test_a_device_taken_away_is_not_reached_any_more(desk: Desk) -> None:
    token = register(desk.house, time_zone=desk.zone_at(12))
    change(desk.house, token, push_token="device-gone")
    customer = CustomerId(int=row(desk.house)["id"].int)
    desk.deliver(created(customer))
    change(desk.house, token, push_token=None)
    desk.send_queued()
    assert push_messages(desk, "device-gone") == []
    assert desk.messages()["push"]["status"] == MessageStatus.SUPPRESSED
