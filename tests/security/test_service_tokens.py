"""Only Google's services, with a token made for this function by their own account, get in."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import pytest

from shared.kernel import clock
from shared.kernel.ids import ContractId
from shared.kernel.tenancy import Role
from tests.conftest import House

FUNCTION = "contract_agent"
SENDERS = {
    "/events": "pubsub",
    "/timers": "tasks",
    "/crons/contracts_check": "scheduler",
    "/dead-letters/0198c0de-0000-7000-8000-000000000001": "operator",
}
triggers = pytest.mark.parametrize("path", SENDERS)


def claims(house: House, path: str) -> dict[str, Any]:
    """What Google's token says; `times` are good for an hour."""
    account = f"{SENDERS[path]}-invoker@{house.cloud.env['GOOGLE_CLOUD_PROJECT']}"
    now = int(clock.now().timestamp())
    return {
        "iss": "https://accounts.google.com",
        "aud": house.cloud.env["FUNCTIONS_URL"].format(function=FUNCTION),
        "email": f"{account}.iam.gserviceaccount.com",
        "email_verified": True,
        "iat": now,
        "exp": now + 3600,
    }


def signed(house: House, path: str, **changes: Any) -> str:
    return house.cloud.cloud.ground.tokens.sign(claims(house, path) | changes)


def forged(house: House, path: str, algorithm: str, secret: bytes | None) -> str:
    """A token with the right claims and key id whose signature anybody could make."""
    header = {"alg": algorithm, "typ": "JWT", "kid": house.cloud.cloud.ground.tokens.key_id}
    parts = [_encoded(json.dumps(part).encode()) for part in (header, claims(house, path))]
    text = ".".join(parts)
    digest = b"" if secret is None else hmac.digest(secret, text.encode(), hashlib.sha256)
    return f"{text}.{_encoded(digest)}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def status(house: House, path: str, authorization: str | None) -> int:
    headers = {} if authorization is None else {"Authorization": authorization}
    return house.client(FUNCTION).post(path, data=b"{}", headers=headers).status_code


@triggers
def test_the_services_own_token_gets_in(house: House, path: str) -> None:
    assert status(house, path, f"Bearer {signed(house, path)}") in (204, 404)


@triggers
@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Basic eDp5", "Bearer x"])
def test_without_a_token_nobody_gets_in(house: House, path: str, authorization: str | None) -> None:
    assert status(house, path, authorization) == 401


@triggers
@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "http://127.0.0.1:9/billing_agent"},
        {"aud": ["http://127.0.0.1:9/contract_agent", "x"]},
        {"email": "stranger@clinicloop-local.iam.gserviceaccount.com"},
        {"email": "pubsub-invoker@another-project.iam.gserviceaccount.com"},
        {"email_verified": False},
        {"email_verified": "true"},
        {"iss": "https://securetoken.google.com/clinicloop-local"},
        {"iss": "https://accounts.google.com.evil.example"},
        {"exp": 1_000_000_000},
        {"exp": "never"},
        {"iat": 4_000_000_000, "exp": 4_000_003_600},
        {"iat": None},
    ],
    ids=str,
)
def test_a_token_for_somebody_else_or_another_time_is_refused(
    house: House, path: str, changes: dict[str, Any]
) -> None:
    assert status(house, path, f"Bearer {signed(house, path, **changes)}") == 401


@triggers
def test_another_service_of_ours_is_refused(house: House, path: str) -> None:
    other = next(one for one in SENDERS if one != path)
    assert status(house, path, f"Bearer {signed(house, other)}") == 401


@triggers
def test_a_person_is_refused(house: House, path: str) -> None:
    assert status(house, path, f"Bearer {house.id_token('ada')}") == 401


@triggers
def test_a_token_without_a_signature_is_refused(house: House, path: str) -> None:
    assert status(house, path, f"Bearer {forged(house, path, 'none', None)}") == 401


@triggers
def test_a_token_signed_with_the_public_certificate_is_refused(house: House, path: str) -> None:
    tokens = house.cloud.cloud.ground.tokens
    certificate = tokens.certificates()[tokens.key_id].encode()
    assert status(house, path, f"Bearer {forged(house, path, 'HS256', certificate)}") == 401


@triggers
def test_a_token_changed_after_signing_is_refused(house: House, path: str) -> None:
    header, _, signature = signed(house, path).split(".")
    changed = claims(house, path) | {"sub": "more"}
    token = ".".join([header, _encoded(json.dumps(changed).encode()), signature])
    assert status(house, path, f"Bearer {token}") == 401


def test_a_token_good_once_is_refused_when_it_has_expired(house: House) -> None:
    path = "/events"
    now = int(clock.now().timestamp())
    token = signed(house, path, exp=now + 60)
    assert status(house, path, f"Bearer {token}") == 204
    house.move(clock.now() + timedelta(seconds=95))
    assert status(house, path, f"Bearer {token}") == 401


@triggers
def test_who_is_refused_changes_nothing(house: House, path: str) -> None:
    timer = {"timer_id": str(ContractId.new()), "version": 1}
    body = json.dumps({"message": {"attributes": {}}} | timer).encode()
    house.client(FUNCTION).post(path, data=body)
    assert house.rows("SELECT 1 FROM platform.dead_letters") == []


def test_a_services_token_opens_no_portal(house: House) -> None:
    token = house.cloud.service_token("portal_api", "operator")
    assert house.portal("GET", "/contracts", token).status_code == 401


def test_a_person_cannot_call_as_a_service(house: House) -> None:
    service = house.id_token("x", Role.SERVICE)
    assert house.portal("GET", "/contracts", service).status_code == 403
