"""What administrators do: accounts, claims, session cookies, tenants.

Source: https://firebase.google.com/docs/reference/rest/auth and
https://cloud.google.com/identity-platform/docs/reference/rest
"""

import json

import pytest

from tests.emulators.identity_client import (
    EMAIL,
    OWNER,
    PASSWORD,
    PROJECT,
    TOOLKIT,
    IdentityClient,
    claims_in,
    refusal,
)


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        (json.dumps({"role": "x" * 1000}), "CLAIMS_TOO_LARGE"),
        ("[]", "INVALID_CLAIMS"),
        ('{"sub":"me"}', "FORBIDDEN_CLAIM : sub"),
    ],
)
def test_bad_custom_claims_are_refused(identity: IdentityClient, claims: str, code: str) -> None:
    local_id = identity.sign_up()["localId"]
    answer = identity.http.post(
        f"{TOOLKIT}/v1/projects/{PROJECT}/accounts:update",
        json={"localId": local_id, "customAttributes": claims},
        headers=OWNER,
    )
    assert refusal(answer) == code


def test_custom_claims_are_in_the_next_token(identity: IdentityClient) -> None:
    signed = identity.sign_up()
    claims = '{"role":"patient"}'
    identity.admin("accounts:update", localId=signed["localId"], customAttributes=claims)
    fresh = identity.refresh(signed["refreshToken"]).json()
    assert claims_in(fresh["id_token"])["role"] == "patient"


def test_administrators_create_and_find_accounts(identity: IdentityClient) -> None:
    identity.admin("accounts", localId="u-1", email=EMAIL, phoneNumber="+15550001111")
    by_id = identity.admin("accounts:lookup", localId=["u-1"])
    by_email = identity.admin("accounts:lookup", email=[EMAIL])
    by_phone = identity.admin("accounts:lookup", phoneNumber=["+15550001111"])
    assert by_id == by_email == by_phone
    assert [user["localId"] for user in by_id["users"]] == ["u-1"]
    assert "users" not in identity.admin("accounts:lookup", localId=["u-2"])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"localId": "u-1"}, "DUPLICATE_LOCAL_ID"),
        ({"email": EMAIL}, "EMAIL_EXISTS"),
        ({"phoneNumber": "+15550001111"}, "PHONE_NUMBER_EXISTS"),
        ({"phoneNumber": "555"}, "INVALID_PHONE_NUMBER"),
    ],
)
def test_administrators_are_refused_duplicates(
    identity: IdentityClient, body: dict[str, str], code: str
) -> None:
    identity.admin("accounts", localId="u-1", email=EMAIL, phoneNumber="+15550001111")
    path = f"{TOOLKIT}/v1/projects/{PROJECT}/accounts"
    assert refusal(identity.http.post(path, json=body, headers=OWNER)).startswith(code)


def test_pages_go_through_all_accounts(identity: IdentityClient) -> None:
    for number in range(5):
        identity.admin("accounts", localId=f"u-{number}")
    listed, token = [], ""
    path = f"{TOOLKIT}/v1/projects/{PROJECT}/accounts:batchGet"
    while True:
        query = {"maxResults": "2", "nextPageToken": token}
        page = identity.http.get(path, params=query, headers=OWNER).json()
        listed += [user["localId"] for user in page.get("users", [])]
        if not (token := page.get("nextPageToken", "")):
            break
    assert listed == [f"u-{number}" for number in range(5)]


def test_many_are_deleted_only_when_disabled_or_by_force(identity: IdentityClient) -> None:
    identity.admin("accounts", localId="u-1", disabled=True)
    identity.admin("accounts", localId="u-2")
    told = identity.admin("accounts:batchDelete", localIds=["u-1", "u-2", "u-3"])
    assert [(error["index"], error["localId"]) for error in told["errors"]] == [(1, "u-2")]
    assert "errors" not in identity.admin("accounts:batchDelete", localIds=["u-2"], force=True)


@pytest.mark.parametrize("seconds", [299, 14 * 24 * 3600 + 1])
def test_session_cookies_live_from_five_minutes_to_two_weeks(
    identity: IdentityClient, seconds: int
) -> None:
    answer = identity.http.post(
        f"{TOOLKIT}/v1/projects/{PROJECT}:createSessionCookie",
        json={"idToken": identity.sign_up()["idToken"], "validDuration": str(seconds)},
        headers=OWNER,
    )
    assert refusal(answer) == "INVALID_DURATION"


def test_a_session_cookie_has_an_issuer_of_its_own(identity: IdentityClient) -> None:
    answer = identity.http.post(
        f"{TOOLKIT}/v1/projects/{PROJECT}:createSessionCookie",
        json={"idToken": identity.sign_up()["idToken"], "validDuration": "3600"},
        headers=OWNER,
    )
    claims = claims_in(answer.json()["sessionCookie"])
    assert claims["iss"] == f"https://session.firebase.google.com/{PROJECT}"
    assert claims["exp"] - claims["iat"] == 3600


def test_a_tenants_token_is_good_there_alone(identity: IdentityClient) -> None:
    made = identity.admin("tenants", displayName="clinic-one", allowPasswordSignup=True)
    tenant = made["tenantId"]
    assert made["name"] == f"projects/{PROJECT}/tenants/{tenant}"
    signed = identity.sign_up(tenantId=tenant)
    assert claims_in(signed["idToken"])["firebase"]["tenant"] == tenant
    assert identity.call("lookup", idToken=signed["idToken"]).status_code == 200
    other = identity.admin("tenants", displayName="clinic-two")["tenantId"]
    mismatch = identity.call("lookup", idToken=signed["idToken"], tenantId=other)
    assert refusal(mismatch) == "TENANT_ID_MISMATCH"
    unknown = identity.call("signInWithPassword", email=EMAIL, password=PASSWORD)
    assert refusal(unknown) == "INVALID_LOGIN_CREDENTIALS"


@pytest.mark.differs("makes a tenant that is asked for, with every way of signing in")
def test_an_unknown_tenant_is_refused(identity: IdentityClient) -> None:
    assert refusal(identity.call("signUp", tenantId="nowhere")) == "TENANT_NOT_FOUND"


def test_administration_needs_credentials(identity: IdentityClient) -> None:
    path = f"{TOOLKIT}/v1/projects/{PROJECT}/accounts"
    answer = identity.http.post(path, json={}, headers={"Authorization": "Bearer something"})
    assert answer.status_code == 401
    assert answer.json()["error"]["status"] == "UNAUTHENTICATED"
