"""What an administrator meets: firebase-admin unmodified, and the REST paths it does not use."""

from collections.abc import Iterator
from typing import Any

import firebase_admin
import httpx
import jwt
import pytest
from cryptography.x509 import load_pem_x509_certificate
from firebase_admin import auth

from tests.emulators.conftest import Loop

TOOLKIT = "/identitytoolkit.googleapis.com/v1"
OWNER = {"Authorization": "Bearer owner"}


@pytest.fixture
def http(port: int) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", params={"key": "any"}) as client:
        yield client


def sign_in(http: httpx.Client, email: str) -> dict[str, Any]:
    body = {"email": email, "password": "correct horse", "returnSecureToken": True}
    answer = http.post(f"{TOOLKIT}/accounts:signInWithPassword", json=body)
    assert answer.status_code == 200, answer.text
    signed_in: dict[str, Any] = answer.json()
    return signed_in


def claims_of(http: httpx.Client, token: str) -> dict[str, Any]:
    pem = http.get("/certs").json()[jwt.get_unverified_header(token)["kid"]]
    key: Any = load_pem_x509_certificate(pem.encode()).public_key()
    claims: dict[str, Any] = jwt.decode(
        token, key, algorithms=["RS256"], audience="clinicloop-local"
    )
    return claims


def test_sdk_creates_finds_and_deletes_a_user(app: firebase_admin.App) -> None:
    made = auth.create_user(
        uid="u-1",
        email="Ann@example.org",
        email_verified=True,
        phone_number="+15550001111",
        display_name="Ann",
        password="correct horse",
        app=app,
    )
    assert made.uid == "u-1"
    assert auth.get_user_by_email("ann@example.org", app=app).email_verified
    assert auth.get_user_by_phone_number("+15550001111", app=app).display_name == "Ann"
    found = auth.get_users([auth.UidIdentifier("u-1"), auth.UidIdentifier("u-2")], app=app)
    assert [user.uid for user in found.users] == ["u-1"]
    auth.delete_user("u-1", app=app)
    with pytest.raises(auth.UserNotFoundError):
        auth.get_user("u-1", app=app)


def test_sdk_sees_duplicates_as_its_own_errors(app: firebase_admin.App) -> None:
    auth.create_user(uid="u-1", email="a@example.org", phone_number="+15550001111", app=app)
    with pytest.raises(auth.UidAlreadyExistsError):
        auth.create_user(uid="u-1", app=app)
    with pytest.raises(auth.EmailAlreadyExistsError):
        auth.create_user(email="A@example.org", app=app)
    with pytest.raises(auth.PhoneNumberAlreadyExistsError):
        auth.create_user(phone_number="+15550001111", app=app)


def test_custom_claims_are_flattened_into_the_next_token(
    app: firebase_admin.App, http: httpx.Client
) -> None:
    auth.create_user(uid="u-1", email="a@example.org", password="correct horse", app=app)
    claims = {"role": "practitioner", "locationIds": ["l-1", "l-2"]}
    auth.set_custom_user_claims("u-1", claims, app=app)
    assert auth.get_user("u-1", app=app).custom_claims == claims
    token = claims_of(http, sign_in(http, "a@example.org")["idToken"])
    assert token["role"] == "practitioner"
    assert token["locationIds"] == ["l-1", "l-2"]
    auth.set_custom_user_claims("u-1", None, app=app)
    assert "role" not in claims_of(http, sign_in(http, "a@example.org")["idToken"])


def test_sdk_verifies_our_tokens(app: firebase_admin.App, http: httpx.Client) -> None:
    auth.create_user(uid="u-1", email="a@example.org", password="correct horse", app=app)
    token = sign_in(http, "a@example.org")["idToken"]
    assert auth.verify_id_token(token, app=app, check_revoked=True)["uid"] == "u-1"


def test_revoking_refresh_tokens_ends_sign_ins(
    app: firebase_admin.App, http: httpx.Client, loop: Loop
) -> None:
    auth.create_user(uid="u-1", email="a@example.org", password="correct horse", app=app)
    signed_in = sign_in(http, "a@example.org")
    later = int(loop.ground.clock.time()) + 60
    update = {"localId": "u-1", "validSince": str(later)}
    http.post(
        f"{TOOLKIT}/projects/clinicloop-local/accounts:update", json=update, headers=OWNER
    ).raise_for_status()
    form = {"grant_type": "refresh_token", "refresh_token": signed_in["refreshToken"]}
    answer = http.post("/securetoken.googleapis.com/v1/token", data=form)
    assert answer.json()["error"]["message"] == "TOKEN_EXPIRED"
    with pytest.raises(auth.RevokedIdTokenError):
        auth.verify_id_token(signed_in["idToken"], app=app, check_revoked=True)


def test_update_disables_and_deletes_attributes(app: firebase_admin.App) -> None:
    auth.create_user(uid="u-1", display_name="Ann", phone_number="+15550001111", app=app)
    changed = auth.update_user(
        "u-1",
        disabled=True,
        display_name=auth.DELETE_ATTRIBUTE,
        phone_number=auth.DELETE_ATTRIBUTE,
        app=app,
    )
    assert changed.disabled
    assert changed.display_name is None
    assert changed.phone_number is None


def test_pages_list_every_user_once(app: firebase_admin.App) -> None:
    for number in range(5):
        auth.create_user(uid=f"u-{number}", app=app)
    page = auth.list_users(max_results=2, app=app)
    assert [user.uid for user in page.iterate_all()] == [f"u-{number}" for number in range(5)]


def test_batch_delete_passes_over_unknown_users(app: firebase_admin.App) -> None:
    auth.create_user(uid="u-1", app=app)
    result = auth.delete_users(["u-1", "u-2"], app=app)
    assert (result.success_count, result.failure_count) == (2, 0)
    assert not list(auth.list_users(app=app).iterate_all())


def test_batch_delete_without_force_spares_active_users(
    app: firebase_admin.App, http: httpx.Client
) -> None:
    auth.create_user(uid="u-1", disabled=True, app=app)
    auth.create_user(uid="u-2", app=app)
    path = f"{TOOLKIT}/projects/clinicloop-local/accounts:batchDelete"
    answer = http.post(path, json={"localIds": ["u-1", "u-2"]}, headers=OWNER).json()
    assert [(error["index"], error["localId"]) for error in answer["errors"]] == [(1, "u-2")]
    assert [user.uid for user in auth.list_users(app=app).iterate_all()] == ["u-2"]


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ("x" * 1001, "CLAIMS_TOO_LARGE"),
        ("[]", "INVALID_CLAIMS"),
        ('{"iss":"me"}', "FORBIDDEN_CLAIM : iss"),
    ],
)
def test_bad_custom_claims_are_refused(http: httpx.Client, claims: str, code: str) -> None:
    path = f"{TOOLKIT}/projects/clinicloop-local/accounts"
    http.post(path, json={"localId": "u-1"}, headers=OWNER).raise_for_status()
    body = {"localId": "u-1", "customAttributes": claims}
    answer = http.post(f"{path}:update", json=body, headers=OWNER)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, code)


def test_query_finds_by_expression(http: httpx.Client) -> None:
    path = f"{TOOLKIT}/projects/clinicloop-local/accounts"
    for number in range(3):
        body = {"localId": f"u-{number}", "email": f"{number}@example.org"}
        http.post(path, json=body, headers=OWNER).raise_for_status()
    query = {"expression": [{"email": "1@example.org"}]}
    answer = http.post(f"{path}:query", json=query, headers=OWNER).json()
    assert [user["localId"] for user in answer["userInfo"]] == ["u-1"]
    assert answer["recordsCount"] == "1"


def test_admin_paths_need_the_owner(http: httpx.Client) -> None:
    path = f"{TOOLKIT}/projects/clinicloop-local/accounts"
    for headers in ({}, {"Authorization": "Bearer something"}):
        answer = http.post(path, json={"localId": "u-1"}, headers=headers)
        assert answer.status_code == 401
        assert answer.json()["error"]["status"] == "UNAUTHENTICATED"


def test_the_owner_is_no_person(http: httpx.Client) -> None:
    answer = http.post(f"{TOOLKIT}/accounts:lookup", json={"idToken": "owner"}, headers=OWNER)
    assert answer.json()["error"]["message"] == "INVALID_ID_TOKEN"


def test_another_project_has_accounts_of_its_own(http: httpx.Client) -> None:
    body = {"localId": "u-1", "email": "a@example.org"}
    other = f"{TOOLKIT}/projects/other/accounts"
    own = f"{TOOLKIT}/projects/clinicloop-local/accounts"
    for path in (own, other):
        http.post(path, json=body, headers=OWNER).raise_for_status()
    http.post(f"{other}:delete", json={"localId": "u-1"}, headers=OWNER).raise_for_status()
    found = http.post(f"{own}:lookup", json={"localId": ["u-1"]}, headers=OWNER).json()
    assert [user["localId"] for user in found["users"]] == ["u-1"]


def test_a_name_no_project_can_have_is_unknown(http: httpx.Client) -> None:
    answer = http.post(f"{TOOLKIT}/projects/no+name/accounts", json={}, headers=OWNER)
    assert answer.json()["error"]["message"] == "CONFIGURATION_NOT_FOUND"


def test_a_service_signs_custom_tokens_through_iam(http: httpx.Client, loop: Loop) -> None:
    account = "portal@clinicloop-local.iam.gserviceaccount.com"
    audience = (
        "https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit"
    )
    payload = f'{{"iss":"{account}","sub":"{account}","aud":"{audience}","uid":"u-9"}}'
    path = f"/iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{account}:signJwt"
    signed = http.post(path, json={"payload": payload}, headers=OWNER).json()["signedJwt"]
    answer = http.post(f"{TOOLKIT}/accounts:signInWithCustomToken", json={"token": signed})
    assert answer.json()["localId"] == "u-9"
