"""Contracts through the portal's API."""

from datetime import timedelta
from typing import Any

import pytest

from shared.kernel import clock
from shared.kernel.tenancy import Role
from tests.conftest import BERLIN, KOLKATA, House

CUSTOMER = {
    "given_name": "Ada",
    "family_name": "Example",
    "email": "ada@example.com",
    "phone": "+4930123456",
    "locale": "de",
    "time_zone": "Europe/Berlin",
}
PLAN = {
    "treatment": "hair-loss",
    "item_price_id": "hair-loss-monthly-EUR",
    "monthly_item_price_id": "hair-loss-monthly-EUR",
}


@pytest.fixture
def token(house: House) -> str:
    """Ada, a customer of the Berlin clinic, which sells one plan."""
    admin = house.id_token("admin", Role.CLINIC_ADMIN, BERLIN)
    assert house.portal("PUT", "/plans/hair-loss", admin, PLAN).status_code == 200
    token = house.id_token("ada")
    assert house.portal("POST", "/customers", token, CUSTOMER).status_code == 201
    return token


def request_contract(**changes: Any) -> dict[str, Any]:
    today = clock.now().date()
    body = {
        "plan": "hair-loss",
        "subscription_id": "sub-1",
        "starts_on": str(today + timedelta(days=3)),
    }
    return body | changes


def test_a_requested_contract_is_future_and_told(house: House, token: str) -> None:
    answer = house.portal("POST", "/contracts", token, request_contract())
    assert answer.status_code == 201
    assert answer.json is not None
    assert answer.json["status"] == "future"
    assert [e["contract_id"] for e in house.emitted("contract.requested")] == [answer.json["id"]]


def test_a_second_contract_for_the_same_treatment_conflicts(house: House, token: str) -> None:
    house.portal("POST", "/contracts", token, request_contract())
    body = request_contract(subscription_id="sub-2")
    answer = house.portal("POST", "/contracts", token, body)
    assert answer.status_code == 409
    assert answer.json is not None
    assert answer.json["type"] == "urn:clinicloop:problem:contract-exists"
    assert len(house.rows("SELECT id FROM contracts.contracts")) == 1


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"plan": "no-such-plan"}, 400, "unknown-plan"),
        ({"starts_on": "2026-02-30"}, 400, "invalid-request"),
        ({"starts_on": "2001-01-01"}, 400, "start-in-the-past"),
        ({"starts_on": 7}, 400, "invalid-request"),
        ({"nickname": "x"}, 400, "invalid-request"),
        ({"subscription_id": "'; DROP TABLE x"}, 400, "invalid-request"),
    ],
)
def test_bad_input_is_explained_and_writes_nothing(
    house: House, token: str, changes: dict[str, Any], status: int, code: str
) -> None:
    answer = house.portal("POST", "/contracts", token, request_contract(**changes))
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    assert answer.json is not None
    assert answer.json["type"] == f"urn:clinicloop:problem:{code}"
    assert house.rows("SELECT id FROM contracts.contracts") == []
    assert house.emitted("contract.requested") == []


def test_somebody_elses_contract_does_not_exist(house: House, token: str) -> None:
    made = house.portal("POST", "/contracts", token, request_contract()).json
    assert made is not None
    eve = house.id_token("eve")
    house.portal("POST", "/customers", eve, CUSTOMER | {"email": "eve@example.com"})
    absent = house.portal("GET", "/contracts/0198c0de-0000-7000-8000-00000000ffff", eve)
    foreign = house.portal("GET", f"/contracts/{made['id']}", eve)
    assert absent.status_code == foreign.status_code == 404
    assert absent.json == foreign.json


def test_another_clinics_contract_does_not_exist(house: House, token: str) -> None:
    made = house.portal("POST", "/contracts", token, request_contract()).json
    assert made is not None
    staff = house.id_token("staff", Role.CLINIC_ADMIN, KOLKATA)
    there = house.portal("GET", f"/v1/clinics/{KOLKATA}/contracts/{made['id']}", staff)
    here = house.portal("GET", f"/contracts/{made['id']}", staff)
    assert (there.status_code, here.status_code) == (404, 404)


@pytest.mark.parametrize("token_kind", ["missing", "garbage", "expired", "foreign"])
def test_without_a_good_token_nobody_enters(house: House, token: str, token_kind: str) -> None:
    now = int(clock.now().timestamp())
    bad = {
        "missing": None,
        "garbage": "not.a.token",
        "expired": house.id_token("ada", iat=now - 9000, exp=now - 5400),
        "foreign": house.id_token("ada", aud="another-project"),
    }[token_kind]
    answer = house.portal("POST", "/contracts", bad, request_contract())
    assert answer.status_code == 401
    assert answer.content_type == "application/problem+json"
    assert house.rows("SELECT id FROM contracts.contracts") == []


def test_an_oversize_body_is_refused(house: House, token: str) -> None:
    answer = house.portal("POST", "/contracts", token, request_contract(plan="x" * 300_000))
    assert answer.status_code == 413
    assert answer.content_type == "application/problem+json"


def test_problems_never_repeat_what_was_sent(house: House, token: str) -> None:
    secret = "Ada-Secret-Name"
    answer = house.portal("PATCH", "/customers/me", token, {"email": secret, "locale": secret})
    assert answer.status_code == 400
    assert secret not in answer.text
