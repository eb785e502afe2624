"""What a person's client meets: sign-up, sign-in, one's own account, refresh, certificates."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from emulators.faults import Fault, FaultKind
from emulators.identity import Identity
from tests.emulators.conftest import Loop
from tests.emulators.identity_client import IdentityClient, refusal

PERSON = {"email": "Jane.Roe@example.org", "password": "correct horse", "returnSecureToken": True}
AUDIENCE = (
    "https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit"
)


def test_sign_up_gives_a_token_with_exact_firebase_claims(
    client: IdentityClient, loop: Loop
) -> None:
    loop.ground.clock.freeze()
    now = int(loop.ground.clock.time())
    answer = client.call("signUp", **PERSON, displayName="Jane").json()
    uid = answer["localId"]
    assert answer["expiresIn"] == "3600"
    assert client.claims(answer["idToken"]) == {
        "name": "Jane",
        "iss": "https://securetoken.google.com/clinicloop-local",
        "aud": "clinicloop-local",
        "auth_time": now,
        "user_id": uid,
        "sub": uid,
        "iat": now,
        "exp": now + 3600,
        "email": "jane.roe@example.org",
        "email_verified": False,
        "firebase": {
            "identities": {"email": ["jane.roe@example.org"]},
            "sign_in_provider": "password",
        },
    }


def test_anonymous_sign_up_has_no_address(client: IdentityClient) -> None:
    claims = client.claims(client.call("signUp", returnSecureToken=True).json()["idToken"])
    assert claims["firebase"] == {"identities": {}, "sign_in_provider": "anonymous"}
    assert claims["provider_id"] == "anonymous"
    assert "email" not in claims


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"email": "nonsense"}, "INVALID_EMAIL"),
        ({"password": "short"}, "WEAK_PASSWORD : Password should be at least 6 characters"),
        ({"password": None}, "MISSING_PASSWORD"),
        ({"email": None}, "MISSING_EMAIL"),
        ({"localId": "chosen"}, "UNEXPECTED_PARAMETER : User ID"),
        ({"email": 5}, "Invalid value at 'email' (TYPE_STRING)"),
    ],
)
def test_bad_sign_up_is_refused(client: IdentityClient, change: dict[str, Any], code: str) -> None:
    assert refusal(client.call("signUp", **{**PERSON, **change})) == code


def test_an_address_signs_up_once(client: IdentityClient) -> None:
    client.call("signUp", **PERSON)
    again = PERSON | {"email": "jane.roe@EXAMPLE.org"}
    assert refusal(client.call("signUp", **again)) == "EMAIL_EXISTS"


def test_sign_in_with_password(client: IdentityClient) -> None:
    signed_up = client.call("signUp", **PERSON).json()
    signed_in = client.call("signInWithPassword", **PERSON).json()
    assert signed_in["localId"] == signed_up["localId"]
    assert signed_in["registered"] is True
    assert client.claims(signed_in["idToken"])["sub"] == signed_up["localId"]


def test_wrong_password_and_unknown_address_look_alike(client: IdentityClient) -> None:
    client.call("signUp", **PERSON)
    wrong = client.call("signInWithPassword", **(PERSON | {"password": "wrong horse"}))
    unknown = client.call("signInWithPassword", **(PERSON | {"email": "nobody@example.org"}))
    assert refusal(wrong) == refusal(unknown) == "INVALID_LOGIN_CREDENTIALS"


def test_disabled_account_cannot_sign_in_or_refresh(client: IdentityClient) -> None:
    person = client.call("signUp", **PERSON).json()
    client.admin("accounts:update", localId=person["localId"], disableUser=True)
    assert refusal(client.call("signInWithPassword", **PERSON)) == "USER_DISABLED"
    assert refusal(client.refresh(person["refreshToken"])) == "USER_DISABLED"


def test_lookup_shows_ones_own_account_without_the_password(client: IdentityClient) -> None:
    person = client.call("signUp", **PERSON).json()
    (user,) = client.call("lookup", idToken=person["idToken"]).json()["users"]
    assert user["localId"] == person["localId"]
    assert user["providerUserInfo"][0]["providerId"] == "password"
    assert not {"passwordHash", "salt", "password"} & user.keys()


def test_update_changes_profile_and_address(client: IdentityClient) -> None:
    client.protect_addresses(False)
    person = client.call("signUp", **PERSON).json()
    answer = client.call(
        "update",
        idToken=person["idToken"],
        displayName="Jane",
        email="new@example.org",
        returnSecureToken=True,
    ).json()
    assert answer["displayName"] == "Jane"
    claims = client.claims(answer["idToken"])
    assert claims["email"] == "new@example.org"
    assert claims["email_verified"] is False
    freed = client.call("signUp", **PERSON)
    assert freed.status_code == 200


def test_a_person_cannot_set_ones_own_claims(client: IdentityClient) -> None:
    person = client.call("signUp", **PERSON).json()
    token = person["idToken"]
    for change in ({"customAttributes": '{"role":"admin"}'}, {"emailVerified": True}):
        answer = client.call("update", idToken=token, **change)
        assert refusal(answer) == "INSUFFICIENT_PERMISSION"


def test_credentials_change_only_after_a_recent_sign_in(client: IdentityClient, loop: Loop) -> None:
    person = client.call("signUp", **PERSON).json()
    loop.advance(minutes=6)
    answer = client.call("update", idToken=person["idToken"], password="another horse")
    assert refusal(answer) == "CREDENTIAL_TOO_OLD_LOGIN_AGAIN"


def test_new_password_revokes_older_sign_ins(client: IdentityClient, loop: Loop) -> None:
    first = client.call("signUp", **PERSON).json()
    loop.advance(minutes=1)
    second = client.call("signInWithPassword", **PERSON).json()
    client.call("update", idToken=second["idToken"], password="another horse")
    assert refusal(client.refresh(first["refreshToken"])) == "TOKEN_EXPIRED"
    assert refusal(client.call("lookup", idToken=first["idToken"])) == "TOKEN_EXPIRED"


def test_delete_ends_the_account_and_its_sign_ins(client: IdentityClient) -> None:
    person = client.call("signUp", **PERSON).json()
    assert client.call("delete", idToken=person["idToken"]).status_code == 200
    assert refusal(client.refresh(person["refreshToken"])) == "INVALID_REFRESH_TOKEN"
    assert refusal(client.call("lookup", idToken=person["idToken"])) == "USER_NOT_FOUND"


def test_token_expires_after_an_hour_of_virtual_time_and_refreshes(
    client: IdentityClient, loop: Loop
) -> None:
    person = client.call("signUp", **PERSON).json()
    loop.advance(hours=1, seconds=1)
    assert refusal(client.call("lookup", idToken=person["idToken"])) == "TOKEN_EXPIRED"
    fresh = client.refresh(person["refreshToken"]).json()
    assert fresh["user_id"] == person["localId"]
    assert fresh["token_type"] == "Bearer"
    before, after = client.claims(person["idToken"]), client.claims(fresh["id_token"])
    assert after["auth_time"] == before["auth_time"]
    assert after["iat"] >= before["iat"] + 3600
    assert client.call("lookup", idToken=fresh["id_token"]).status_code == 200


def test_refresh_names_what_is_wrong(client: IdentityClient) -> None:
    path = "/securetoken.googleapis.com/v1/token"
    assert refusal(client.refresh("nonsense")) == "INVALID_REFRESH_TOKEN"
    assert refusal(client.http.post(path, data={"x": "y"})) == "MISSING_GRANT_TYPE"
    wrong = client.http.post(path, data={"grant_type": "password"})
    assert refusal(wrong) == "INVALID_GRANT_TYPE"


def test_unsigned_and_foreign_tokens_are_refused(client: IdentityClient, loop: Loop) -> None:
    person = client.call("signUp", **PERSON).json()
    claims = client.claims(person["idToken"])
    unsigned = jwt.encode(claims, "", "none")
    foreign = loop.ground.tokens.sign(claims | {"aud": "another-project"})
    other_issuer = loop.ground.tokens.sign(claims | {"iss": "https://accounts.google.com"})
    for token in (unsigned, foreign, other_issuer, "nonsense"):
        assert refusal(client.call("lookup", idToken=token)) == "INVALID_ID_TOKEN"


def custom(loop: Loop, **changed: Any) -> str:
    account = "portal@clinicloop-local.iam.gserviceaccount.com"
    claims = {"iss": account, "sub": account, "aud": AUDIENCE, "uid": "u-1"} | changed
    return loop.ground.tokens.sign(claims, timedelta(hours=1))


def test_custom_token_signs_in_and_makes_the_account(client: IdentityClient, loop: Loop) -> None:
    token = custom(loop, claims={"role": "patient"})
    first = client.call("signInWithCustomToken", token=token, returnSecureToken=True).json()
    assert first["isNewUser"] is True
    claims = client.claims(first["idToken"])
    assert (claims["sub"], claims["role"]) == ("u-1", "patient")
    assert claims["firebase"]["sign_in_provider"] == "custom"
    refreshed = client.claims(client.refresh(first["refreshToken"]).json()["id_token"])
    assert refreshed["role"] == "patient"
    assert client.call("signInWithCustomToken", token=token).json()["isNewUser"] is False


def test_bad_custom_token_is_refused(client: IdentityClient, loop: Loop) -> None:
    stranger = "x@other.iam.gserviceaccount.com"
    unsigned = jwt.encode({"uid": "u-1", "aud": AUDIENCE}, "", "none")
    wrong = client.call("signInWithCustomToken", token=unsigned)
    assert refusal(wrong).startswith("INVALID_CUSTOM_TOKEN")
    other = client.call("signInWithCustomToken", token=custom(loop, iss=stranger, sub=stranger))
    assert refusal(other) == "CREDENTIAL_MISMATCH"
    reserved = client.call("signInWithCustomToken", token=custom(loop, claims={"sub": "root"}))
    assert refusal(reserved) == "FORBIDDEN_CLAIM : sub"


def test_a_call_without_an_api_key_is_denied(client: IdentityClient) -> None:
    url = f"{client.http.base_url}/identitytoolkit.googleapis.com/v1/accounts:signUp"
    answer = httpx.post(url, json=PERSON)
    assert answer.status_code == 403
    assert answer.json()["error"]["status"] == "PERMISSION_DENIED"


def test_certificates_may_be_cached(client: IdentityClient) -> None:
    answer = client.http.get("/certs")
    assert "max-age=" in answer.headers["cache-control"]
    assert all(pem.startswith("-----BEGIN CERTIFICATE") for pem in answer.json().values())


def test_accounts_and_sign_ins_outlast_a_restart(
    make_loop: Callable[..., Loop], tmp_path: Path
) -> None:
    loop = make_loop(tmp_path / "state")

    async def start() -> tuple[Identity, int]:
        engine = Identity(loop.ground)
        return engine, await engine.start()

    engine, port = loop.run(start())
    client = IdentityClient(port)
    person = client.call("signUp", **PERSON).json()
    client.http.close()
    loop.run(engine.stop())
    engine, port = loop.run(start())
    client = IdentityClient(port)
    assert client.refresh(person["refreshToken"]).status_code == 200
    assert client.call("signInWithPassword", **PERSON).json()["localId"] == person["localId"]
    client.http.close()
    loop.run(engine.stop())


def test_an_outage_can_be_acted_out(client: IdentityClient, loop: Loop) -> None:
    loop.ground.faults.add(Fault("identity", FaultKind.ERROR, count=1))
    assert client.call("signUp", **PERSON).status_code == 500
    assert client.call("signUp", **PERSON).status_code == 200
