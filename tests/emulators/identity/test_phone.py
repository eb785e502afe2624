"""Codes by SMS, and signing in with them as the only factor."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import firebase_admin
import pytest
from firebase_admin import auth

from emulators.identity import Identity
from tests.emulators.conftest import Loop
from tests.emulators.identity_client import NUMBER, OTHER, PROJECT, IdentityClient, refusal

WITH_FACTORS = (
    "UNSUPPORTED_FIRST_FACTOR : A phone number cannot be set as a first factor on an SMS based "
    "MFA user."
)


def signed_in(client: IdentityClient, number: str = NUMBER, **fields: Any) -> dict[str, Any]:
    answer = client.call("signInWithPhoneNumber", **client.text(number), **fields)
    assert answer.status_code == 200, answer.text
    person: dict[str, Any] = answer.json()
    return person


def test_a_text_lies_in_the_in_box_and_among_the_pending_codes(
    engine: tuple[Identity, int], client: IdentityClient
) -> None:
    answer = client.call("sendVerificationCode", phoneNumber=NUMBER, recaptchaToken="t").json()
    (pending,) = client.codes()
    assert pending["sessionInfo"] == answer["sessionInfo"]
    assert pending["phoneNumber"] == NUMBER
    (text,) = engine[0].describe()["inbox"]
    assert text["to"] == NUMBER
    assert text["kind"] == "sms"
    assert pending["code"] in text["subject"]
    assert len(pending["code"]) == 6
    assert pending["code"].isdigit()


def test_every_text_has_a_code_of_its_own(client: IdentityClient) -> None:
    assert len({client.text(NUMBER)["code"] for _ in range(20)}) > 15


@pytest.mark.parametrize("number", [None, "", "invalid", "15555550100", "+0123456789"])
def test_what_is_no_phone_number_gets_no_text(client: IdentityClient, number: str | None) -> None:
    answer = client.call("sendVerificationCode", phoneNumber=number)
    assert refusal(answer) == "INVALID_PHONE_NUMBER : Invalid format."
    assert client.codes() == []


def test_a_new_number_makes_an_account(client: IdentityClient) -> None:
    person = signed_in(client)
    assert person["isNewUser"] is True
    assert person["phoneNumber"] == NUMBER
    claims = client.claims(person["idToken"])
    assert claims["sub"] == person["localId"]
    assert claims["phone_number"] == NUMBER
    assert claims["firebase"] == {"identities": {"phone": [NUMBER]}, "sign_in_provider": "phone"}
    (provider,) = client.account(person["localId"])["providerUserInfo"]
    assert provider == {"providerId": "phone", "rawId": NUMBER, "phoneNumber": NUMBER}


def test_a_known_number_signs_in_to_its_account(client: IdentityClient) -> None:
    first, second = signed_in(client), signed_in(client)
    assert second["isNewUser"] is False
    assert second["localId"] == first["localId"]
    assert client.refresh(second["refreshToken"]).json()["user_id"] == first["localId"]


def test_a_wrong_code_is_refused_and_the_right_one_still_good(client: IdentityClient) -> None:
    text = client.text(NUMBER)
    wrong = text | {"code": text["code"] + "1"}
    assert refusal(client.call("signInWithPhoneNumber", **wrong)) == "INVALID_CODE"
    assert client.call("signInWithPhoneNumber", **text).status_code == 200


def test_a_code_counts_once(client: IdentityClient) -> None:
    text = client.text(NUMBER)
    client.call("signInWithPhoneNumber", **text)
    assert refusal(client.call("signInWithPhoneNumber", **text)) == "SESSION_EXPIRED"
    assert client.codes() == []


def test_a_code_expires_in_virtual_time(client: IdentityClient, loop: Loop) -> None:
    loop.ground.clock.freeze()
    late, early = client.text(NUMBER), client.text(OTHER)
    loop.advance(minutes=9, seconds=59)
    assert client.call("signInWithPhoneNumber", **early).status_code == 200
    loop.advance(seconds=1)
    assert refusal(client.call("signInWithPhoneNumber", **late)) == "SESSION_EXPIRED"
    assert client.codes() == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"sessionInfo": None}, "MISSING_SESSION_INFO"),
        ({"code": None}, "MISSING_CODE"),
        ({"sessionInfo": "made-up"}, "INVALID_SESSION_INFO"),
        ({"code": "ümläut"}, "INVALID_CODE"),
        ({"code": 123456}, "Invalid value at 'code' (TYPE_STRING)"),
    ],
)
def test_incomplete_proof_is_refused(
    client: IdentityClient, change: dict[str, Any], code: str
) -> None:
    body = client.text(NUMBER) | change
    assert refusal(client.call("signInWithPhoneNumber", **body)) == code


def test_a_test_number_has_its_own_code_and_gets_no_text(
    engine: tuple[Identity, int], client: IdentityClient
) -> None:
    phone = {"enabled": True, "testPhoneNumbers": {NUMBER: "424242"}}
    mask = "config?updateMask=signIn.phoneNumber"
    client.admin(mask, "PATCH", signIn={"phoneNumber": phone})
    session = client.call("sendVerificationCode", phoneNumber=NUMBER).json()["sessionInfo"]
    assert engine[0].describe()["inbox"] == []
    answer = client.call("signInWithPhoneNumber", sessionInfo=session, code="424242")
    assert answer.json()["phoneNumber"] == NUMBER


@pytest.mark.parametrize("numbers", [["+1"], {"nonsense": "123456"}, {NUMBER: 1}, {NUMBER: "1"}])
def test_a_wrong_test_number_is_refused(client: IdentityClient, numbers: Any) -> None:
    answer = client.http.patch(
        f"/identitytoolkit.googleapis.com/v2/projects/{PROJECT}/config?updateMask=signIn",
        json={"signIn": {"phoneNumber": {"testPhoneNumbers": numbers}}},
        headers={"Authorization": "Bearer owner"},
    )
    assert answer.status_code == 400
    assert client.text(NUMBER)["code"]


def test_phone_sign_in_can_be_switched_off(client: IdentityClient) -> None:
    mask = "config?updateMask=signIn.phoneNumber.enabled"
    client.admin(mask, "PATCH", signIn={"phoneNumber": {"enabled": False}})
    answer = client.call("sendVerificationCode", phoneNumber=NUMBER)
    assert refusal(answer).startswith("OPERATION_NOT_ALLOWED")


def test_tenants_have_no_phone_sign_in(client: IdentityClient) -> None:
    tenant = client.admin("tenants", displayName="clinic")["name"].split("/")[-1]
    for verb in ("sendVerificationCode", "signInWithPhoneNumber"):
        assert refusal(client.call(verb, tenantId=tenant)) == "UNSUPPORTED_TENANT_OPERATION"


def test_a_number_is_linked_to_the_account_of_an_id_token(client: IdentityClient) -> None:
    person = client.person()
    linked = signed_in(client, idToken=person["idToken"])
    assert linked["isNewUser"] is False
    assert linked["localId"] == person["localId"]
    assert client.account(person["localId"])["phoneNumber"] == NUMBER
    assert signed_in(client)["localId"] == person["localId"]


def test_a_number_of_somebody_else_is_proven_but_not_linked(client: IdentityClient) -> None:
    owner, person = signed_in(client), client.person()
    answer = signed_in(client, idToken=person["idToken"])
    assert "idToken" not in answer
    assert answer["phoneNumber"] == NUMBER
    assert answer["temporaryProofExpiresIn"] == "3600"
    proof = {"phoneNumber": NUMBER, "temporaryProof": answer["temporaryProof"]}
    again = client.call("signInWithPhoneNumber", **proof, idToken=person["idToken"])
    assert refusal(again) == "PHONE_NUMBER_EXISTS"
    assert client.call("signInWithPhoneNumber", **proof).json()["localId"] == owner["localId"]
    assert "phoneNumber" not in client.account(person["localId"])


def test_a_temporary_proof_is_of_one_number_for_one_hour(
    client: IdentityClient, loop: Loop
) -> None:
    loop.ground.clock.freeze()
    signed_in(client)
    proof = signed_in(client, idToken=client.person()["idToken"])["temporaryProof"]
    answer = client.call("signInWithPhoneNumber", temporaryProof=proof)
    assert refusal(answer) == "MISSING_PHONE_NUMBER"
    answer = client.call("signInWithPhoneNumber", temporaryProof=proof, phoneNumber=OTHER)
    assert refusal(answer) == "INVALID_TEMPORARY_PROOF"
    loop.advance(hours=1)
    answer = client.call("signInWithPhoneNumber", temporaryProof=proof, phoneNumber=NUMBER)
    assert refusal(answer) == "INVALID_TEMPORARY_PROOF"


def test_signing_in_again_needs_a_known_number(client: IdentityClient) -> None:
    answer = client.call("signInWithPhoneNumber", **client.text(NUMBER), operation="REAUTH")
    assert refusal(answer) == "USER_NOT_FOUND"
    assert client.admin("accounts:query").get("recordsCount") == "0"


def test_a_disabled_account_cannot_sign_in_or_link(client: IdentityClient) -> None:
    person = signed_in(client)
    client.admin("accounts:update", localId=person["localId"], disableUser=True)
    answer = client.call("signInWithPhoneNumber", **client.text(NUMBER))
    assert refusal(answer) == "USER_DISABLED"
    body = client.text(OTHER) | {"idToken": person["idToken"]}
    assert refusal(client.call("signInWithPhoneNumber", **body)) == "USER_DISABLED"


def test_who_has_a_second_factor_cannot_use_the_phone_as_first(client: IdentityClient) -> None:
    person = client.person(mfaInfo=[{"phoneInfo": OTHER}])
    answer = client.call("signInWithPhoneNumber", **client.text(NUMBER), idToken=person["idToken"])
    assert refusal(answer) == WITH_FACTORS
    client.admin("accounts:update", localId=person["localId"], phoneNumber=NUMBER)
    pending = len(client.codes())
    answer = client.call("sendVerificationCode", phoneNumber=NUMBER)
    assert refusal(answer) == WITH_FACTORS
    assert len(client.codes()) == pending


def test_codes_and_proofs_survive_a_crash(make_loop: Callable[..., Loop], tmp_path: Path) -> None:
    loop = make_loop(tmp_path / "state")

    async def started() -> tuple[Identity, int]:
        engine = Identity(loop.ground)
        return engine, await engine.start()

    engine, port = loop.run(started())
    client = IdentityClient(port)
    signed_in(client)
    person = client.person()
    used, unused = client.text(OTHER), client.text(OTHER)
    client.call("signInWithPhoneNumber", **used)
    proof = signed_in(client, idToken=person["idToken"])["temporaryProof"]
    client.http.close()
    loop.run(engine.stop())

    engine, port = loop.run(started())
    client = IdentityClient(port)
    assert refusal(client.call("signInWithPhoneNumber", **used)) == "SESSION_EXPIRED"
    assert client.codes() == [unused | {"phoneNumber": OTHER}]
    assert client.call("signInWithPhoneNumber", **unused).status_code == 200
    answer = client.call("signInWithPhoneNumber", temporaryProof=proof, phoneNumber=NUMBER)
    assert answer.status_code == 200
    client.http.close()
    loop.run(engine.stop())


def test_clients_are_told_that_nobody_need_prove_to_be_human(client: IdentityClient) -> None:
    answer = client.http.get("/identitytoolkit.googleapis.com/v1/recaptchaParams").json()
    assert isinstance(answer["recaptchaStoken"], str)
    assert isinstance(answer["recaptchaSiteKey"], str)
    config = client.http.get("/identitytoolkit.googleapis.com/v2/recaptchaConfig")
    assert config.json()["recaptchaEnforcementState"] == []
    assert config.json()["recaptchaKey"].startswith(f"projects/{PROJECT}/keys/")


def test_sdk_knows_a_person_who_signed_in_by_phone(
    engine: tuple[Identity, int], client: IdentityClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIREBASE_AUTH_EMULATOR_HOST", f"127.0.0.1:{engine[1]}")
    name = f"test-{os.urandom(4).hex()}"
    app = firebase_admin.initialize_app(options={"projectId": PROJECT}, name=name)
    person = signed_in(client)
    claims = auth.verify_id_token(person["idToken"], app=app, check_revoked=True)
    assert claims["firebase"]["sign_in_provider"] == "phone"
    assert auth.get_user_by_phone_number(NUMBER, app=app).uid == person["localId"]
    auth._get_client(app)._user_manager.http_client.session.close()
    firebase_admin.delete_app(app)
