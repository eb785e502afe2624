"""Session cookies, revocation, custom tokens and published keys, by the official admin SDK.

Where the SDK would skip the signature under its emulator variable, it is checked by hand.
"""

import base64
import os
from datetime import timedelta
from typing import Any

import firebase_admin
import jwt
import pytest
import requests
from cryptography.x509 import load_pem_x509_certificate
from firebase_admin import auth
from google.auth import crypt
from google.auth import jwt as google_jwt
from google.auth.transport.requests import Request
from google.oauth2 import service_account

from tests.emulators.conftest import Loop
from tests.emulators.identity_client import EMAIL, OWNER, PROJECT, TOOLKIT, IdentityClient, refusal

AUDIENCE = (
    "https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit"
)


def cookie_of(client: IdentityClient, token: str, seconds: int = 3600) -> str:
    body = {"idToken": token, "validDuration": str(seconds)}
    path = f"{TOOLKIT}/v1/projects/{PROJECT}:createSessionCookie"
    answer = client.http.post(path, json=body, headers=OWNER)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["sessionCookie"])


def test_a_session_cookie_verifies_against_the_published_certificates(
    client: IdentityClient,
) -> None:
    person = client.person(EMAIL)
    cookie = cookie_of(client, person["idToken"])
    certificates = client.http.get("/www.googleapis.com/identitytoolkit/v3/relyingparty/publicKeys")
    claims = google_jwt.decode(  # type: ignore[no-untyped-call]
        cookie, certs=certificates.json(), audience=PROJECT
    )
    assert claims["iss"] == f"https://session.firebase.google.com/{PROJECT}"
    assert claims["exp"] - claims["iat"] == 3600
    assert (claims["sub"], claims["email"]) == (person["localId"], EMAIL)


def test_the_key_set_holds_the_keys_of_the_certificates(client: IdentityClient) -> None:
    person = client.person(EMAIL)
    issuer = f"/securetoken.google.com/{PROJECT}/.well-known/openid-configuration"
    for path in (
        f"{TOOLKIT}/v1/sessionCookiePublicKeys",
        "/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com",
        client.http.get(issuer).json()["jwks_uri"],
    ):
        keys = jwt.PyJWKSet.from_dict(client.http.get(path).json())
        token = person["idToken"]
        key = keys[jwt.get_unverified_header(token)["kid"]]
        assert jwt.decode(token, key, ["RS256"], audience=PROJECT)["sub"] == person["localId"]


def test_sdk_makes_a_cookie_and_sees_its_revocation(
    app: firebase_admin.App, client: IdentityClient, loop: Loop
) -> None:
    person = client.person(EMAIL)
    cookie = auth.create_session_cookie(person["idToken"], timedelta(hours=1), app=app)
    assert auth.verify_session_cookie(cookie, True, app=app)["uid"] == person["localId"]
    since = int(loop.ground.clock.time()) + 120
    client.admin("accounts:update", localId=person["localId"], validSince=str(since))
    with pytest.raises(auth.RevokedSessionCookieError):
        auth.verify_session_cookie(cookie, True, app=app)


@pytest.mark.parametrize("seconds", [299, 14 * 24 * 3600 + 1])
def test_a_cookie_lives_from_five_minutes_to_two_weeks(
    client: IdentityClient, seconds: int
) -> None:
    token = client.person(EMAIL)["idToken"]
    answer = client.http.post(
        f"{TOOLKIT}/v1/projects/{PROJECT}:createSessionCookie",
        json={"idToken": token, "validDuration": seconds},
        headers=OWNER,
    )
    assert refusal(answer) == "INVALID_DURATION"


def test_a_cookie_is_no_id_token(client: IdentityClient) -> None:
    cookie = cookie_of(client, client.person(EMAIL)["idToken"])
    assert refusal(client.call("lookup", idToken=cookie)) == "INVALID_ID_TOKEN"


def test_sdk_revokes_sign_ins_though_its_clock_is_behind(
    app: firebase_admin.App, client: IdentityClient, loop: Loop
) -> None:
    loop.ground.clock.freeze()
    loop.advance(days=180)
    person = client.person(EMAIL)
    loop.advance(seconds=1)
    auth.revoke_refresh_tokens(person["localId"], app=app)
    assert refusal(client.refresh(person["refreshToken"])) == "TOKEN_EXPIRED"
    assert refusal(client.call("lookup", idToken=person["idToken"])) == "TOKEN_EXPIRED"
    assert client.refresh(client.sign_in(EMAIL)["refreshToken"]).status_code == 200


def test_a_revocation_counts_within_the_second_of_the_sign_in(
    app: firebase_admin.App, client: IdentityClient, loop: Loop
) -> None:
    loop.ground.clock.freeze()
    person = client.person(EMAIL)
    auth.revoke_refresh_tokens(person["localId"], app=app)
    assert refusal(client.refresh(person["refreshToken"])) == "TOKEN_EXPIRED"
    assert client.refresh(client.sign_in(EMAIL)["refreshToken"]).status_code == 200


def test_a_new_password_ends_other_sign_ins_of_the_same_second(
    client: IdentityClient, loop: Loop
) -> None:
    loop.ground.clock.freeze()
    first, second = client.person(EMAIL), client.sign_in(EMAIL)
    kept = client.call("update", idToken=second["idToken"], password="another horse").json()
    for token in (first["refreshToken"], second["refreshToken"]):
        assert refusal(client.refresh(token)) == "TOKEN_EXPIRED"
    assert client.refresh(kept["refreshToken"]).status_code == 200


def test_a_person_signs_out_everywhere(client: IdentityClient, loop: Loop) -> None:
    person = client.person(EMAIL)
    loop.advance(seconds=2)
    kept = client.call("update", idToken=person["idToken"], validSince="0").json()
    assert refusal(client.refresh(person["refreshToken"])) == "TOKEN_EXPIRED"
    assert client.refresh(kept["refreshToken"]).status_code == 200


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_tokens_of_other_algorithms_are_refused_everywhere(
    client: IdentityClient, algorithm: str
) -> None:
    person = client.person(EMAIL)
    claims = client.claims(person["idToken"])
    name = jwt.get_unverified_header(person["idToken"])["kid"]
    pem = client.http.get("/certs").json()[name]
    secret = "" if algorithm == "none" else base64.b64encode(pem.encode()).decode()
    token = jwt.encode(claims, secret, algorithm, headers={"kid": name})
    for verb in ("lookup", "update", "delete", "signUp"):
        body = {"idToken": token, "email": EMAIL, "password": "correct horse"}
        assert refusal(client.call(verb, **body)) == "INVALID_ID_TOKEN"
    path = f"{TOOLKIT}/v1/projects/{PROJECT}:createSessionCookie"
    answer = client.http.post(path, json={"idToken": token}, headers=OWNER)
    assert refusal(answer) == "INVALID_ID_TOKEN"
    custom = jwt.encode({"uid": "u", "aud": AUDIENCE}, secret, algorithm, headers={"kid": name})
    answer = client.call("signInWithCustomToken", token=custom)
    assert refusal(answer).startswith("INVALID_CUSTOM_TOKEN")


def test_a_token_signed_by_the_published_service_account_key_is_no_id_token(
    client: IdentityClient,
) -> None:
    person = client.person(EMAIL)
    key = client.http.get(f"/emulator/v1/projects/{PROJECT}/serviceAccountKey").json()
    claims = client.claims(person["idToken"])
    for name in (key["private_key_id"], jwt.get_unverified_header(person["idToken"])["kid"]):
        forged = jwt.encode(claims, key["private_key"], "RS256", headers={"kid": name})
        assert refusal(client.call("lookup", idToken=forged)) == "INVALID_ID_TOKEN"


def test_sdk_signs_custom_tokens_with_the_published_key(
    client: IdentityClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FIREBASE_AUTH_EMULATOR_HOST", raising=False)
    key = client.http.get(f"/emulator/v1/projects/{PROJECT}/serviceAccountKey").json()
    app = firebase_admin.initialize_app(
        firebase_admin.credentials.Certificate(key), name=f"test-{os.urandom(4).hex()}"
    )
    try:
        token = auth.create_custom_token("u-1", {"role": "patient"}, app=app).decode()
    finally:
        firebase_admin.delete_app(app)
    signed = client.call("signInWithCustomToken", token=token).json()
    claims = client.claims(signed["idToken"])
    assert (claims["sub"], claims["role"]) == ("u-1", "patient")
    assert claims["firebase"]["sign_in_provider"] == "custom"


def test_sdk_makes_only_unsigned_custom_tokens_for_emulators_which_are_refused(
    app: firebase_admin.App, client: IdentityClient
) -> None:
    token = auth.create_custom_token("u-1", app=app).decode()
    answer = client.call("signInWithCustomToken", token=token)
    assert refusal(answer).startswith("INVALID_CUSTOM_TOKEN")


def test_a_key_file_gets_an_access_token_that_administers(client: IdentityClient) -> None:
    key = client.http.get(f"/emulator/v1/projects/{PROJECT}/serviceAccountKey").json()
    credentials = service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
        key, scopes=["https://www.googleapis.com/auth/cloud-platform"]
    )
    with requests.Session() as session:
        credentials.refresh(Request(session))
    path = f"{TOOLKIT}/v1/projects/{PROJECT}/accounts:batchGet"
    answer = client.http.get(path, headers={"Authorization": f"Bearer {credentials.token}"})
    assert answer.status_code == 200


def test_iam_signs_bytes_with_the_service_accounts_key(client: IdentityClient) -> None:
    key = client.http.get(f"/emulator/v1/projects/{PROJECT}/serviceAccountKey").json()
    path = (
        "/iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"
        f"{key['client_email']}:signBlob"
    )
    payload = base64.b64encode(b"bytes").decode()
    answer = client.http.post(path, json={"payload": payload}, headers=OWNER).json()
    assert answer["keyId"] == key["private_key_id"]
    signer = crypt.RSASigner.from_service_account_info(key)  # type: ignore[no-untyped-call]
    expected = signer.sign(b"bytes")
    assert base64.b64decode(answer["signedBlob"]) == expected


def test_certificates_are_where_verifiers_look(client: IdentityClient) -> None:
    for path in (
        "/certs",
        "/robot/v1/metadata/x509/securetoken@system.gserviceaccount.com",
        "/www.googleapis.com/robot/v1/metadata/x509/securetoken@system.gserviceaccount.com",
        f"{TOOLKIT}/v1/publicKeys",
    ):
        certificates: dict[str, Any] = client.http.get(path).json()
        for pem in certificates.values():
            load_pem_x509_certificate(pem.encode())
