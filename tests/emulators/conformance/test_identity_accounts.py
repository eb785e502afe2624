"""People's accounts: signing up and in, refreshing, the profile.

Source: https://firebase.google.com/docs/reference/rest/auth and
https://cloud.google.com/identity-platform/docs/reference/rest
"""

import httpx
import jwt
import pytest

from tests.emulators.identity_client import (
    EMAIL,
    OTHER_EMAIL,
    PASSWORD,
    PROJECT,
    TOOLKIT,
    IdentityClient,
    claims_in,
    refusal,
)


def test_sign_up_answers_tokens_and_the_address(identity: IdentityClient) -> None:
    signed = identity.sign_up("Jane@Example.org")
    assert signed["email"] == EMAIL
    assert signed["expiresIn"] == "3600"
    assert {"idToken", "refreshToken", "localId"} <= signed.keys()


def test_an_id_token_has_the_documented_claims(identity: IdentityClient) -> None:
    signed = identity.sign_up()
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
def test_an_id_token_is_signed(identity: IdentityClient) -> None:
    header = jwt.get_unverified_header(identity.sign_up()["idToken"])
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
def test_a_bad_sign_up_is_refused(
    identity: IdentityClient, body: dict[str, str], code: str
) -> None:
    assert refusal(identity.call("signUp", **body)).startswith(code)


def test_an_address_signs_up_once(identity: IdentityClient) -> None:
    identity.sign_up()
    again = identity.call("signUp", email=EMAIL, password=PASSWORD)
    assert refusal(again) == "EMAIL_EXISTS"


def test_an_anonymous_account_gets_a_password_by_signing_up_with_its_token(
    identity: IdentityClient,
) -> None:
    anonymous = identity.call("signUp", returnSecureToken=True).json()
    assert claims_in(anonymous["idToken"])["firebase"]["sign_in_provider"] == "anonymous"
    linked = identity.sign_up(idToken=anonymous["idToken"])
    assert linked["localId"] == anonymous["localId"]
    assert identity.sign_in(EMAIL)["localId"] == anonymous["localId"]


def test_a_wrong_password_looks_like_an_unknown_address(identity: IdentityClient) -> None:
    identity.sign_up()
    for email, password in ((EMAIL, "wrong horse"), (OTHER_EMAIL, PASSWORD)):
        answer = identity.call("signInWithPassword", email=email, password=password)
        assert refusal(answer) == "INVALID_LOGIN_CREDENTIALS"


def test_without_enumeration_protection_they_are_told_apart(identity: IdentityClient) -> None:
    identity.protect_addresses(False)
    identity.sign_up()
    wrong = identity.call("signInWithPassword", email=EMAIL, password="wrong horse")
    assert refusal(wrong) == "INVALID_PASSWORD"
    unknown = identity.call("signInWithPassword", email=OTHER_EMAIL, password=PASSWORD)
    assert refusal(unknown) == "EMAIL_NOT_FOUND"
    told = identity.call("createAuthUri", identifier=EMAIL, continueUri="http://localhost").json()
    assert (told["registered"], told["signinMethods"]) == (True, ["password"])


def test_a_refresh_token_gives_a_new_id_token(identity: IdentityClient) -> None:
    signed = identity.sign_up()
    fresh = identity.refresh(signed["refreshToken"]).json()
    assert fresh["user_id"] == signed["localId"]
    assert fresh["token_type"] == "Bearer"
    assert fresh["expires_in"] == "3600"
    assert claims_in(fresh["id_token"])["sub"] == signed["localId"]


def test_a_disabled_account_can_neither_sign_in_nor_refresh(identity: IdentityClient) -> None:
    signed = identity.sign_up()
    identity.admin("accounts:update", localId=signed["localId"], disableUser=True)
    answer = identity.call("signInWithPassword", email=EMAIL, password=PASSWORD)
    assert refusal(answer) == "USER_DISABLED"
    assert refusal(identity.refresh(signed["refreshToken"])) == "USER_DISABLED"
    assert refusal(identity.call("lookup", idToken=signed["idToken"])) == "USER_DISABLED"


def test_a_person_changes_and_deletes_the_profile(identity: IdentityClient) -> None:
    token = identity.sign_up()["idToken"]
    changed = identity.call("update", idToken=token, displayName="Jane", photoUrl="http://p").json()
    assert (changed["displayName"], changed["photoUrl"]) == ("Jane", "http://p")
    identity.call("update", idToken=token, deleteAttribute=["DISPLAY_NAME", "PHOTO_URL"])
    (user,) = identity.call("lookup", idToken=token).json()["users"]
    assert not {"displayName", "photoUrl"} & user.keys()


def test_a_person_cannot_set_claims(identity: IdentityClient) -> None:
    token = identity.sign_up()["idToken"]
    answer = identity.call("update", idToken=token, customAttributes='{"role":"admin"}')
    assert refusal(answer) == "INSUFFICIENT_PERMISSION"


@pytest.mark.differs("lets people link any person of a provider to their account, unproven")
def test_a_person_cannot_claim_somebody_at_a_provider(identity: IdentityClient) -> None:
    token = identity.sign_up()["idToken"]
    info = {"providerId": "google.com", "rawId": "1234"}
    assert identity.call("update", idToken=token, linkProviderUserInfo=info).status_code == 400


@pytest.mark.differs("changes the address though enumeration protection forbids it unverified")
def test_an_address_changes_only_when_verified(identity: IdentityClient) -> None:
    token = identity.sign_up()["idToken"]
    answer = identity.call("update", idToken=token, email=OTHER_EMAIL)
    assert refusal(answer).startswith("OPERATION_NOT_ALLOWED")


def test_a_deleted_account_is_gone(identity: IdentityClient) -> None:
    signed = identity.sign_up()
    assert identity.call("delete", idToken=signed["idToken"]).status_code == 200
    assert refusal(identity.call("lookup", idToken=signed["idToken"])) == "USER_NOT_FOUND"
    identity.sign_up()


@pytest.mark.differs("takes unsigned custom tokens")
def test_an_unsigned_custom_token_is_refused(identity: IdentityClient) -> None:
    audience = (
        "https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit"
    )
    token = jwt.encode({"uid": "u-1", "aud": audience}, "", "none")
    answer = identity.call("signInWithCustomToken", token=token)
    assert refusal(answer).startswith("INVALID_CUSTOM_TOKEN")


@pytest.mark.differs("takes JSON in place of a provider's token")
def test_an_unsigned_provider_token_is_refused(identity: IdentityClient) -> None:
    posted = 'providerId=google.com&id_token={"sub":"1234"}'
    answer = identity.call("signInWithIdp", requestUri="http://localhost", postBody=posted)
    assert refusal(answer).startswith("INVALID_IDP_RESPONSE")


def test_a_call_without_an_api_key_is_denied(identity: IdentityClient) -> None:
    answer = httpx.post(identity.http.base_url.join(f"{TOOLKIT}/v1/accounts:signUp"), json={})
    assert answer.status_code == 403
    assert answer.json()["error"]["status"] == "PERMISSION_DENIED"
