"""The wire of the identity engine: malformed requests, other origins, older paths."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulators.identity import Identity
from tests.emulators.identity_client import (
    EMAIL,
    OWNER,
    PASSWORD,
    PROJECT,
    TOOLKIT,
    IdentityClient,
    refusal,
)

FUZZ = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = (
    *("email", "password", "idToken", "localId", "oobCode", "newPassword", "requestType"),
    *("displayName", "phoneNumber", "customAttributes", "mfa", "users", "hashAlgorithm"),
    *("tenantId", "postBody", "requestUri", "token", "deleteProvider", "localIds", "expression"),
    *("continueUrl", "returnOobLink", "returnSecureToken", "validSince", "mfaInfo", "signIn"),
    *("mfaConfig", "issuer", "clientId", "idpConfig", "updateMask", "identifier", "continueUri"),
    *("federatedUserId", "linkProviderUserInfo", "rounds", "signerKey", "payload", "providerId"),
)
ACCOUNT = st.fixed_dictionaries({}, optional={"localId": JSON, "email": JSON, "passwordHash": JSON})
BODIES = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(FIELDS, JSON) | {"users": st.lists(ACCOUNT, max_size=2)}
)
ACCOUNTS = f"{TOOLKIT}/v1/projects/{PROJECT}/accounts"
V2 = f"{TOOLKIT}/v2/projects/{PROJECT}"
CALLS = (
    *(
        ("POST", f"{TOOLKIT}/v1/accounts:{verb}")
        for verb in (
            *("signUp", "signInWithPassword", "signInWithIdp", "signInWithCustomToken"),
            *("signInWithEmailLink", "lookup", "update", "delete", "sendOobCode"),
            *("resetPassword", "createAuthUri"),
        )
    ),
    ("POST", ACCOUNTS),
    *(
        ("POST", f"{ACCOUNTS}:{verb}")
        for verb in ("lookup", "update", "delete", "query", "batchDelete", "batchCreate")
    ),
    ("POST", f"{TOOLKIT}/v1/projects/{PROJECT}:createSessionCookie"),
    ("POST", f"{V2}/tenants"),
    ("PATCH", f"{V2}/config?updateMask=signIn,mfa,authorizedDomains"),
    ("PATCH", f"{V2}/config"),
    ("POST", f"{V2}/oauthIdpConfigs?oauthIdpConfigId=oidc.a"),
    ("POST", f"{V2}/inboundSamlConfigs?inboundSamlConfigId=saml.a"),
    ("PATCH", f"/emulator/v1/projects/{PROJECT}/config"),
    ("POST", f"/emulator/v1/projects/{PROJECT}/idTokens"),
    ("POST", "/securetoken.googleapis.com/v1/token"),
    ("POST", "/token"),
    (
        "POST",
        "/iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@b:signJwt",
    ),
)


@FUZZ
@given(call=st.sampled_from(CALLS), body=BODIES, owner=st.booleans())
def test_any_body_gets_a_documented_answer(
    client: IdentityClient, call: tuple[str, str], body: dict[str, Any], owner: bool
) -> None:
    method, path = call
    headers = OWNER if owner else {}
    answer = client.http.request(method, path, json=body, headers=headers)
    assert answer.status_code < 500, (method, path, body, answer.text)
    if answer.status_code >= 400:
        error = answer.json()["error"]
        assert error["code"] == answer.status_code
        assert error["message"]


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"email":"\\ud800"}']
)
def test_what_is_no_json_object_is_refused(client: IdentityClient, content: bytes) -> None:
    for path in (f"{TOOLKIT}/v1/accounts:signUp", f"{V2}/tenants"):
        headers = {**OWNER, "Content-Type": "application/json"}
        answer = client.http.post(path, content=content, headers=headers)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == 400


def test_an_unknown_path_is_told_in_the_documented_form(client: IdentityClient) -> None:
    answer = client.http.post(f"{TOOLKIT}/v1/accounts:conjure", json={})
    assert answer.status_code == 404
    assert answer.json()["error"]["status"] == "NOT_FOUND"


def test_browsers_call_from_any_origin(client: IdentityClient) -> None:
    asked = {
        "Origin": "http://localhost:3000",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-client-version",
    }
    preflight = client.http.options(f"{TOOLKIT}/v1/accounts:signUp", headers=asked)
    assert preflight.headers["access-control-allow-origin"] == asked["Origin"]
    assert preflight.headers["access-control-allow-headers"] == "content-type,x-client-version"
    refused = client.http.post(
        f"{TOOLKIT}/v1/accounts:lookup", json={}, headers={"Origin": asked["Origin"]}
    )
    assert refusal(refused) == "MISSING_ID_TOKEN"
    assert refused.headers["access-control-allow-origin"] == asked["Origin"]


def test_older_clients_find_the_older_paths(client: IdentityClient) -> None:
    prefix = "/www.googleapis.com/identitytoolkit/v3/relyingparty"
    body = {"email": EMAIL, "password": PASSWORD}
    made = client.http.post(f"{prefix}/signupNewUser", json=body).json()
    signed = client.http.post(f"{prefix}/verifyPassword", json=body).json()
    assert signed["localId"] == made["localId"]
    listed = client.http.post(
        f"{prefix}/downloadAccount", json={"maxResults": 10}, headers=OWNER
    ).json()
    assert [user["localId"] for user in listed["users"]] == [made["localId"]]


def test_only_administrators_name_another_project(client: IdentityClient) -> None:
    answer = client.call("signUp", targetProjectId="other")
    assert refusal(answer).startswith("INSUFFICIENT_PERMISSION")


def test_a_refresh_token_is_exchanged_by_form_and_by_json(client: IdentityClient) -> None:
    token = client.call("signUp").json()["refreshToken"]
    path = "/securetoken.googleapis.com/v1/token"
    form = client.http.post(path, data={"grant_type": "refresh_token", "refresh_token": token})
    body = {"grantType": "refresh_token", "refreshToken": token}
    by_json = client.http.post(path, json=body)
    assert form.json()["user_id"] == by_json.json()["user_id"]


def test_passwords_and_hashes_are_not_shown_to_people(
    client: IdentityClient, engine: tuple[Identity, int]
) -> None:
    person = client.person(EMAIL)
    shown = client.call("lookup", idToken=person["idToken"]).text
    assert "passwordHash" not in shown
    assert "passwordHash" not in json.dumps(engine[0].describe())
