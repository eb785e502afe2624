"""Accounts, sign-in, links and tenants, as the REST reference documents them.

Runs on our engine and, where the Firebase CLI is installed, on its Authentication emulator.
Source: https://firebase.google.com/docs/reference/rest/auth and
https://cloud.google.com/identity-platform/docs/reference/rest
"""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from emulators.engine import Engine, Ground
from emulators.identity import Identity
from tests.emulators.identity_client import PASSWORD, PROJECT, TOOLKIT, IdentityClient, refusal

EMAIL = "jane@example.org"
OTHER = "ann@example.org"
OWNER = {"Authorization": "Bearer owner"}
_READY_SECONDS = 60


@pytest.fixture(scope="session")
def official_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of the Firebase CLI's emulator; skips where the CLI is not installed."""
    if (firebase := shutil.which("firebase")) is None:
        pytest.skip("the Firebase CLI is not installed")
    folder: Path = tmp_path_factory.mktemp("firebase")
    ports = {name: _free_port() for name in ("auth", "hub", "logging")}
    emulators: dict[str, Any] = {name: {"port": port} for name, port in ports.items()}
    emulators["ui"] = {"enabled": False}
    (folder / "firebase.json").write_text(json.dumps({"emulators": emulators}))
    command = [firebase, "emulators:start", "--only", "auth", "--project", PROJECT]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env=os.environ, start_new_session=True
        )
    try:
        _wait_for(ports["auth"], process)
        yield ports["auth"]
    finally:
        os.killpg(process.pid, 15)
        process.wait(20)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(f"http://127.0.0.1:{port}/")
        except httpx.TransportError:
            time.sleep(0.2)
        else:
            return
    raise TimeoutError("the emulator did not start")


@pytest.fixture(params=["local", "official"])
def client(request: pytest.FixtureRequest) -> Iterator[IdentityClient]:
    """A client of an emulator without accounts, with e-mail enumeration protection."""
    if request.param == "local":
        start: Callable[[Callable[[Ground], Engine]], tuple[Engine, int]]
        start = request.getfixturevalue("start_engine")
        port = start(Identity)[1]
    else:
        port = request.getfixturevalue("official_port")
        if (mark := request.node.get_closest_marker("differs")) is not None:
            request.applymarker(pytest.mark.xfail(reason=mark.args[0], strict=True))
    client = IdentityClient(port)
    client.http.delete(f"/emulator/v1/projects/{PROJECT}/accounts")
    protect(client, True)
    yield client
    client.http.close()


def protect(client: IdentityClient, on: bool) -> None:
    change = {"emailPrivacyConfig": {"enableImprovedEmailPrivacy": on}}
    client.http.patch(f"/emulator/v1/projects/{PROJECT}/config", json=change).raise_for_status()


def sign_up(client: IdentityClient, email: str = EMAIL, **body: Any) -> dict[str, Any]:
    answer = client.call("signUp", email=email, password=PASSWORD, **body)
    assert answer.status_code == 200, answer.text
    signed: dict[str, Any] = answer.json()
    return signed


def claims_in(token: str) -> dict[str, Any]:
    """What a token says; that ours are signed is proven elsewhere."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def code_for(client: IdentityClient, request_type: str, **body: Any) -> str:
    told = client.admin(
        "accounts:sendOobCode", requestType=request_type, returnOobLink=True, **body
    )
    return str(told["oobCode"])


def test_sign_up_answers_tokens_and_the_address(client: IdentityClient) -> None:
    signed = sign_up(client, "Jane@Example.org")
    assert signed["email"] == EMAIL
    assert signed["expiresIn"] == "3600"
    assert {"idToken", "refreshToken", "localId"} <= signed.keys()


def test_an_id_token_has_the_documented_claims(client: IdentityClient) -> None:
    signed = sign_up(client)
    claims = claims_in(signed["idToken"])
    assert claims["iss"] == f"https://securetoken.google.com/{PROJECT}"
    assert claims["aud"] == PROJECT
    assert claims["sub"] == claims["user_id"] == signed["localId"]
    assert claims["exp"] - claims["iat"] == 3600
    assert claims["auth_time"] <= claims["iat"]
    assert (claims["email"], claims["email_verified"]) == (EMAIL, False)
    assert claims["firebase"] == {
        "identities": {"email": [EMAIL]},
        "sign_in_provider": "password",
    }


@pytest.mark.differs("signs nothing: its tokens say `alg: none`")
def test_an_id_token_is_signed(client: IdentityClient) -> None:
    header = jwt.get_unverified_header(sign_up(client)["idToken"])
    assert header["alg"] == "RS256"
    assert header["kid"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"email": EMAIL, "password": "short"}, "WEAK_PASSWORD"),
        ({"email": "nonsense", "password": PASSWORD}, "INVALID_EMAIL"),
        ({"email": EMAIL}, "MISSING_PASSWORD"),
        ({"password": PASSWORD}, "MISSING_EMAIL"),
        ({"localId": "chosen"}, "UNEXPECTED_PARAMETER"),
    ],
)
def test_a_bad_sign_up_is_refused(client: IdentityClient, body: dict[str, str], code: str) -> None:
    assert refusal(client.call("signUp", **body)).startswith(code)


def test_an_address_signs_up_once(client: IdentityClient) -> None:
    sign_up(client)
    again = client.call("signUp", email=EMAIL, password=PASSWORD)
    assert refusal(again) == "EMAIL_EXISTS"


def test_an_anonymous_account_gets_a_password_by_signing_up_with_its_token(
    client: IdentityClient,
) -> None:
    anonymous = client.call("signUp", returnSecureToken=True).json()
    assert claims_in(anonymous["idToken"])["firebase"]["sign_in_provider"] == "anonymous"
    linked = sign_up(client, idToken=anonymous["idToken"])
    assert linked["localId"] == anonymous["localId"]
    assert client.sign_in(EMAIL)["localId"] == anonymous["localId"]


def test_a_wrong_password_looks_like_an_unknown_address(client: IdentityClient) -> None:
    sign_up(client)
    for email, password in ((EMAIL, "wrong horse"), (OTHER, PASSWORD)):
        answer = client.call("signInWithPassword", email=email, password=password)
        assert refusal(answer) == "INVALID_LOGIN_CREDENTIALS"


def test_without_enumeration_protection_they_are_told_apart(client: IdentityClient) -> None:
    protect(client, False)
    sign_up(client)
    wrong = client.call("signInWithPassword", email=EMAIL, password="wrong horse")
    assert refusal(wrong) == "INVALID_PASSWORD"
    unknown = client.call("signInWithPassword", email=OTHER, password=PASSWORD)
    assert refusal(unknown) == "EMAIL_NOT_FOUND"
    told = client.call("createAuthUri", identifier=EMAIL, continueUri="http://localhost").json()
    assert (told["registered"], told["signinMethods"]) == (True, ["password"])


def test_a_refresh_token_gives_a_new_id_token(client: IdentityClient) -> None:
    signed = sign_up(client)
    fresh = client.refresh(signed["refreshToken"]).json()
    assert fresh["user_id"] == signed["localId"]
    assert fresh["token_type"] == "Bearer"
    assert fresh["expires_in"] == "3600"
    assert claims_in(fresh["id_token"])["sub"] == signed["localId"]


def test_a_disabled_account_can_neither_sign_in_nor_refresh(client: IdentityClient) -> None:
    signed = sign_up(client)
    client.admin("accounts:update", localId=signed["localId"], disableUser=True)
    answer = client.call("signInWithPassword", email=EMAIL, password=PASSWORD)
    assert refusal(answer) == "USER_DISABLED"
    assert refusal(client.refresh(signed["refreshToken"])) == "USER_DISABLED"
    assert refusal(client.call("lookup", idToken=signed["idToken"])) == "USER_DISABLED"


def test_a_person_changes_and_deletes_the_profile(client: IdentityClient) -> None:
    token = sign_up(client)["idToken"]
    changed = client.call("update", idToken=token, displayName="Jane", photoUrl="http://p").json()
    assert (changed["displayName"], changed["photoUrl"]) == ("Jane", "http://p")
    client.call("update", idToken=token, deleteAttribute=["DISPLAY_NAME", "PHOTO_URL"])
    (user,) = client.call("lookup", idToken=token).json()["users"]
    assert not {"displayName", "photoUrl"} & user.keys()


def test_a_person_cannot_set_claims(client: IdentityClient) -> None:
    token = sign_up(client)["idToken"]
    answer = client.call("update", idToken=token, customAttributes='{"role":"admin"}')
    assert refusal(answer) == "INSUFFICIENT_PERMISSION"


@pytest.mark.differs("lets people link any person of a provider to their account, unproven")
def test_a_person_cannot_claim_somebody_at_a_provider(client: IdentityClient) -> None:
    token = sign_up(client)["idToken"]
    info = {"providerId": "google.com", "rawId": "1234"}
    assert client.call("update", idToken=token, linkProviderUserInfo=info).status_code == 400


@pytest.mark.differs("changes the address though enumeration protection forbids it unverified")
def test_an_address_changes_only_when_verified(client: IdentityClient) -> None:
    token = sign_up(client)["idToken"]
    answer = client.call("update", idToken=token, email=OTHER)
    assert refusal(answer).startswith("OPERATION_NOT_ALLOWED")


def test_a_deleted_account_is_gone(client: IdentityClient) -> None:
    signed = sign_up(client)
    assert client.call("delete", idToken=signed["idToken"]).status_code == 200
    assert refusal(client.call("lookup", idToken=signed["idToken"])) == "USER_NOT_FOUND"
    sign_up(client)


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        (json.dumps({"role": "x" * 1000}), "CLAIMS_TOO_LARGE"),
        ("[]", "INVALID_CLAIMS"),
        ('{"sub":"me"}', "FORBIDDEN_CLAIM : sub"),
    ],
)
def test_bad_custom_claims_are_refused(client: IdentityClient, claims: str, code: str) -> None:
    local_id = sign_up(client)["localId"]
    answer = client.http.post(
        f"{TOOLKIT}/v1/projects/{PROJECT}/accounts:update",
        json={"localId": local_id, "customAttributes": claims},
        headers=OWNER,
    )
    assert refusal(answer) == code


def test_custom_claims_are_in_the_next_token(client: IdentityClient) -> None:
    signed = sign_up(client)
    claims = '{"role":"patient"}'
    client.admin("accounts:update", localId=signed["localId"], customAttributes=claims)
    fresh = client.refresh(signed["refreshToken"]).json()
    assert claims_in(fresh["id_token"])["role"] == "patient"


def test_a_reset_code_sets_the_password_once(client: IdentityClient) -> None:
    sign_up(client)
    code = code_for(client, "PASSWORD_RESET", email=EMAIL)
    assert client.call("resetPassword", oobCode=code).json()["requestType"] == "PASSWORD_RESET"
    done = client.call("resetPassword", oobCode=code, newPassword="another horse")
    assert done.json()["email"] == EMAIL
    again = client.call("resetPassword", oobCode=code, newPassword="another horse")
    assert refusal(again) == "INVALID_OOB_CODE"
    signed = client.call("signInWithPassword", email=EMAIL, password="another horse")
    assert claims_in(signed.json()["idToken"])["email_verified"] is True


def test_a_verification_code_verifies_the_address(client: IdentityClient) -> None:
    signed = sign_up(client)
    code = code_for(client, "VERIFY_EMAIL", email=EMAIL)
    assert client.call("update", oobCode=code).json()["emailVerified"] is True
    assert client.account(signed["localId"])["emailVerified"] is True


def test_a_new_address_counts_when_its_code_comes_back(client: IdentityClient) -> None:
    signed = sign_up(client)
    code = code_for(client, "VERIFY_AND_CHANGE_EMAIL", email=EMAIL, newEmail=OTHER)
    assert client.account(signed["localId"])["email"] == EMAIL
    assert client.call("update", oobCode=code).json()["newEmail"] == OTHER
    account = client.account(signed["localId"])
    assert (account["email"], account["emailVerified"]) == (OTHER, True)


def test_an_email_link_signs_in(client: IdentityClient) -> None:
    code = code_for(client, "EMAIL_SIGNIN", email=EMAIL)
    other = client.call("signInWithEmailLink", email=OTHER, oobCode=code)
    assert refusal(other).startswith("INVALID_EMAIL")
    signed = client.call("signInWithEmailLink", email=EMAIL, oobCode=code).json()
    assert (signed["isNewUser"], signed["email"]) == (True, EMAIL)
    again = client.call("signInWithEmailLink", email=EMAIL, oobCode=code)
    assert refusal(again) == "INVALID_OOB_CODE"


def test_nobody_learns_from_a_reset_whether_an_address_is_known(client: IdentityClient) -> None:
    answer = client.call("sendOobCode", requestType="PASSWORD_RESET", email=OTHER)
    assert answer.json()["email"] == OTHER


def test_only_administrators_get_links(client: IdentityClient) -> None:
    body = {"requestType": "PASSWORD_RESET", "email": EMAIL, "returnOobLink": True}
    assert refusal(client.call("sendOobCode", **body)) == "INSUFFICIENT_PERMISSION"


@pytest.mark.differs("takes unsigned custom tokens")
def test_an_unsigned_custom_token_is_refused(client: IdentityClient) -> None:
    audience = (
        "https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit"
    )
    token = jwt.encode({"uid": "u-1", "aud": audience}, "", "none")
    answer = client.call("signInWithCustomToken", token=token)
    assert refusal(answer).startswith("INVALID_CUSTOM_TOKEN")


@pytest.mark.differs("takes JSON in place of a provider's token")
def test_an_unsigned_provider_token_is_refused(client: IdentityClient) -> None:
    posted = 'providerId=google.com&id_token={"sub":"1234"}'
    answer = client.call("signInWithIdp", requestUri="http://localhost", postBody=posted)
    assert refusal(answer).startswith("INVALID_IDP_RESPONSE")


def test_administrators_create_and_find_accounts(client: IdentityClient) -> None:
    client.admin("accounts", localId="u-1", email=EMAIL, phoneNumber="+15550001111")
    by_id = client.admin("accounts:lookup", localId=["u-1"])
    by_email = client.admin("accounts:lookup", email=[EMAIL])
    by_phone = client.admin("accounts:lookup", phoneNumber=["+15550001111"])
    assert by_id == by_email == by_phone
    assert [user["localId"] for user in by_id["users"]] == ["u-1"]
    assert "users" not in client.admin("accounts:lookup", localId=["u-2"])


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
    client: IdentityClient, body: dict[str, str], code: str
) -> None:
    client.admin("accounts", localId="u-1", email=EMAIL, phoneNumber="+15550001111")
    path = f"{TOOLKIT}/v1/projects/{PROJECT}/accounts"
    assert refusal(client.http.post(path, json=body, headers=OWNER)).startswith(code)


def test_pages_go_through_all_accounts(client: IdentityClient) -> None:
    for number in range(5):
        client.admin("accounts", localId=f"u-{number}")
    listed, token = [], ""
    path = f"{TOOLKIT}/v1/projects/{PROJECT}/accounts:batchGet"
    while True:
        query = {"maxResults": "2", "nextPageToken": token}
        page = client.http.get(path, params=query, headers=OWNER).json()
        listed += [user["localId"] for user in page.get("users", [])]
        if not (token := page.get("nextPageToken", "")):
            break
    assert listed == [f"u-{number}" for number in range(5)]


def test_many_are_deleted_only_when_disabled_or_by_force(client: IdentityClient) -> None:
    client.admin("accounts", localId="u-1", disabled=True)
    client.admin("accounts", localId="u-2")
    told = client.admin("accounts:batchDelete", localIds=["u-1", "u-2", "u-3"])
    assert [(error["index"], error["localId"]) for error in told["errors"]] == [(1, "u-2")]
    assert "errors" not in client.admin("accounts:batchDelete", localIds=["u-2"], force=True)


@pytest.mark.parametrize("seconds", [299, 14 * 24 * 3600 + 1])
def test_session_cookies_live_from_five_minutes_to_two_weeks(
    client: IdentityClient, seconds: int
) -> None:
    answer = client.http.post(
        f"{TOOLKIT}/v1/projects/{PROJECT}:createSessionCookie",
        json={"idToken": sign_up(client)["idToken"], "validDuration": str(seconds)},
        headers=OWNER,
    )
    assert refusal(answer) == "INVALID_DURATION"


def test_a_session_cookie_has_an_issuer_of_its_own(client: IdentityClient) -> None:
    answer = client.http.post(
        f"{TOOLKIT}/v1/projects/{PROJECT}:createSessionCookie",
        json={"idToken": sign_up(client)["idToken"], "validDuration": "3600"},
        headers=OWNER,
    )
    claims = claims_in(answer.json()["sessionCookie"])
    assert claims["iss"] == f"https://session.firebase.google.com/{PROJECT}"
    assert claims["exp"] - claims["iat"] == 3600


def test_a_tenants_token_is_good_there_alone(client: IdentityClient) -> None:
    made = client.admin("tenants", displayName="clinic-one", allowPasswordSignup=True)
    tenant = made["tenantId"]
    assert made["name"] == f"projects/{PROJECT}/tenants/{tenant}"
    signed = sign_up(client, tenantId=tenant)
    assert claims_in(signed["idToken"])["firebase"]["tenant"] == tenant
    assert client.call("lookup", idToken=signed["idToken"]).status_code == 200
    other = client.admin("tenants", displayName="clinic-two")["tenantId"]
    mismatch = client.call("lookup", idToken=signed["idToken"], tenantId=other)
    assert refusal(mismatch) == "TENANT_ID_MISMATCH"
    unknown = client.call("signInWithPassword", email=EMAIL, password=PASSWORD)
    assert refusal(unknown) == "INVALID_LOGIN_CREDENTIALS"


@pytest.mark.differs("makes a tenant that is asked for, with every way of signing in")
def test_an_unknown_tenant_is_refused(client: IdentityClient) -> None:
    assert refusal(client.call("signUp", tenantId="nowhere")) == "TENANT_NOT_FOUND"


def test_administration_needs_credentials(client: IdentityClient) -> None:
    path = f"{TOOLKIT}/v1/projects/{PROJECT}/accounts"
    answer = client.http.post(path, json={}, headers={"Authorization": "Bearer something"})
    assert answer.status_code == 401
    assert answer.json()["error"]["status"] == "UNAUTHENTICATED"


def test_a_call_without_an_api_key_is_denied(client: IdentityClient) -> None:
    answer = httpx.post(client.http.base_url.join(f"{TOOLKIT}/v1/accounts:signUp"), json={})
    assert answer.status_code == 403
    assert answer.json()["error"]["status"] == "PERMISSION_DENIED"
