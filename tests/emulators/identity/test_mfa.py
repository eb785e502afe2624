"""A phone as second factor: enrolling it, signing in with it, withdrawing it."""

from datetime import datetime
from typing import Any

import pytest

from emulators.identity import Identity
from tests.emulators.identity_client import EMAIL, NUMBER, OTHER, PASSWORD, FactorClient, refusal


def test_a_phone_is_enrolled_by_its_code(device: FactorClient) -> None:
    person = device.person()
    tokens = device.enrol_phone(person["idToken"], displayName="Work phone")
    (factor,) = device.account(person["localId"])["mfaInfo"]
    assert factor["phoneInfo"] == factor["unobfuscatedPhoneInfo"] == NUMBER
    assert factor["displayName"] == "Work phone"
    now = device.loop.ground.clock.now()
    assert datetime.fromisoformat(factor["enrolledAt"]).timestamp() == pytest.approx(
        now.timestamp(), abs=0.001
    )
    firebase = device.claims(tokens["idToken"])["firebase"]
    assert firebase["sign_in_provider"] == "password"
    assert firebase["sign_in_second_factor"] == "phone"
    assert firebase["second_factor_identifier"] == factor["mfaEnrollmentId"]
    refreshed = device.refresh(tokens["refreshToken"]).json()
    assert device.claims(refreshed["id_token"])["firebase"] == firebase


def test_enrolling_revokes_earlier_sign_ins(device: FactorClient) -> None:
    elsewhere = device.person()
    device.loop.advance(minutes=1)
    here = device.sign_in()
    device.loop.advance(minutes=1)
    tokens = device.enrol_phone(here["idToken"])
    assert refusal(device.refresh(elsewhere["refreshToken"])) == "TOKEN_EXPIRED"
    assert refusal(device.refresh(here["refreshToken"])) == "TOKEN_EXPIRED"
    assert device.refresh(tokens["refreshToken"]).status_code == 200


def test_the_address_must_be_verified_first(device: FactorClient) -> None:
    token = device.call("signUp", email=EMAIL, password=PASSWORD).json()["idToken"]
    phone: dict[str, Any] = {"phoneEnrollmentInfo": {"phoneNumber": NUMBER}}
    for info in [phone, {"totpEnrollmentInfo": {}}]:
        answer = device.factor("mfaEnrollment:start", idToken=token, **info)
        assert refusal(answer) == (
            "UNVERIFIED_EMAIL : Need to verify email first before enrolling second factors."
        )


def test_some_first_factors_cannot_have_a_second(device: FactorClient) -> None:
    by_phone = device.call("signInWithPhoneNumber", **device.text(NUMBER)).json()
    anonymous = device.call("signUp").json()
    for person in (by_phone, anonymous):
        device.admin(
            "accounts:update",
            localId=person["localId"],
            email=f"{person['localId'].lower()}@example.org",
            emailVerified=True,
        )
        answer = device.factor(
            "mfaEnrollment:start", idToken=person["idToken"], totpEnrollmentInfo={}
        )
        assert refusal(answer) == (
            "UNSUPPORTED_FIRST_FACTOR : MFA is not available for the given first factor."
        )


def test_enrolling_and_withdrawing_need_a_recent_sign_in(device: FactorClient) -> None:
    person = device.person()
    session = device.start_app(person["idToken"])
    device.loop.advance(minutes=5, seconds=1)
    code = device.app_code(session["sharedSecretKey"])
    old = "CREDENTIAL_TOO_OLD_LOGIN_AGAIN"
    assert refusal(device.finish_app(person["idToken"], session, code)) == old
    answer = device.factor("mfaEnrollment:start", idToken=person["idToken"], totpEnrollmentInfo={})
    assert refusal(answer) == old
    tokens = device.answered(device.finish_app(device.sign_in()["idToken"], session, code))
    (factor,) = device.account(person["localId"])["mfaInfo"]
    device.loop.advance(minutes=5, seconds=1)
    answer = device.factor(
        "mfaEnrollment:withdraw",
        idToken=tokens["idToken"],
        mfaEnrollmentId=factor["mfaEnrollmentId"],
    )
    assert refusal(answer) == old


@pytest.mark.parametrize(
    ("info", "code"),
    [
        ({}, "INVALID_ARGUMENT : ((Missing phoneEnrollmentInfo.))"),
        ({"phoneEnrollmentInfo": {}}, "INVALID_PHONE_NUMBER : Invalid format."),
        (
            {"phoneEnrollmentInfo": {"phoneNumber": "nonsense"}},
            "INVALID_PHONE_NUMBER : Invalid format.",
        ),
        (
            {"phoneEnrollmentInfo": "nonsense"},
            "Invalid value at 'phoneEnrollmentInfo' (TYPE_MESSAGE)",
        ),
    ],
)
def test_what_is_to_be_enrolled_must_be_said(
    device: FactorClient, info: dict[str, Any], code: str
) -> None:
    token = device.person()["idToken"]
    assert refusal(device.factor("mfaEnrollment:start", idToken=token, **info)) == code


def test_enrolling_needs_an_id_token(device: FactorClient) -> None:
    for verb in ("start", "finalize", "withdraw"):
        assert refusal(device.factor(f"mfaEnrollment:{verb}")) == "MISSING_ID_TOKEN"
        answer = device.factor(f"mfaEnrollment:{verb}", idToken="nonsense")
        assert refusal(answer) == "INVALID_ID_TOKEN"


def test_a_phone_is_enrolled_once_per_account(device: FactorClient) -> None:
    token = device.enrol_phone(device.person()["idToken"])["idToken"]
    answer = device.factor(
        "mfaEnrollment:start", idToken=token, phoneEnrollmentInfo={"phoneNumber": NUMBER}
    )
    assert refusal(answer) == (
        "SECOND_FACTOR_EXISTS : Phone number already enrolled as second factor for this account."
    )
    other = device.person("other@example.org")
    device.enrol_phone(other["idToken"])
    assert len(device.account(other["localId"])["mfaInfo"]) == 1


def test_an_account_has_five_factors_at_most(device: FactorClient) -> None:
    token = device.person()["idToken"]
    for last in range(5):
        token = device.enrol_phone(token, f"+1555555020{last}")["idToken"]
    answer = device.factor(
        "mfaEnrollment:start", idToken=token, phoneEnrollmentInfo={"phoneNumber": NUMBER}
    )
    assert refusal(answer) == "SECOND_FACTOR_LIMIT_EXCEEDED"
    answer = device.factor("mfaEnrollment:start", idToken=token, totpEnrollmentInfo={})
    assert refusal(answer) == "SECOND_FACTOR_LIMIT_EXCEEDED"


def test_a_wrong_code_does_not_enrol_and_can_be_corrected(device: FactorClient) -> None:
    token = device.person()["idToken"]
    start = device.factor(
        "mfaEnrollment:start", idToken=token, phoneEnrollmentInfo={"phoneNumber": NUMBER}
    )
    session = start.json()["phoneSessionInfo"]["sessionInfo"]
    info = {"sessionInfo": session, "code": device.code(session)}
    for change, code in (
        ({"code": info["code"] + "0"}, "INVALID_CODE"),
        ({"code": None}, "MISSING_CODE"),
        ({"sessionInfo": None}, "MISSING_SESSION_INFO"),
        ({"sessionInfo": "made-up"}, "INVALID_SESSION_INFO"),
    ):
        answer = device.factor(
            "mfaEnrollment:finalize", idToken=token, phoneVerificationInfo=info | change
        )
        assert refusal(answer) == code
    answer = device.factor("mfaEnrollment:finalize", idToken=token, phoneVerificationInfo=info)
    assert answer.status_code == 200
    answer = device.factor("mfaEnrollment:finalize", idToken=token, phoneVerificationInfo=info)
    assert refusal(answer) == "SESSION_EXPIRED"


def test_a_password_alone_gives_a_pending_credential(device: FactorClient) -> None:
    person = device.person()
    device.enrol_phone(person["idToken"], displayName="Work phone")
    before = device.account(person["localId"])["lastLoginAt"]
    device.loop.advance(seconds=10)
    pending = device.sign_in()
    assert "idToken" not in pending
    assert "refreshToken" not in pending
    (hint,) = pending["mfaInfo"]
    assert hint["phoneInfo"] == "+*******0100"
    assert hint["displayName"] == "Work phone"
    assert "unobfuscatedPhoneInfo" not in hint
    assert device.account(person["localId"])["lastLoginAt"] == before


def test_the_code_texted_to_the_phone_ends_the_sign_in(
    engine: tuple[Identity, int], device: FactorClient
) -> None:
    person = device.person()
    device.enrol_phone(person["idToken"])
    device.loop.advance(minutes=1)
    pending = device.sign_in()
    text = device.text_of(pending)
    assert engine[0].describe()["inbox"][0]["to"] == NUMBER
    tokens = device.answered(device.answer_phone(pending, text))
    claims = device.claims(tokens["idToken"])
    assert claims["sub"] == person["localId"]
    assert claims["firebase"]["sign_in_second_factor"] == "phone"
    (factor,) = device.account(person["localId"])["mfaInfo"]
    assert claims["firebase"]["second_factor_identifier"] == factor["mfaEnrollmentId"]
    now = int(device.loop.ground.clock.time() * 1000)
    assert device.account(person["localId"])["lastLoginAt"] == str(now)


def test_a_wrong_or_late_text_does_not_sign_in(device: FactorClient) -> None:
    device.enrol_phone(device.person()["idToken"])
    pending = device.sign_in()
    text = device.text_of(pending)
    wrong = text | {"code": text["code"] + "0"}
    assert refusal(device.answer_phone(pending, wrong)) == "INVALID_CODE"
    device.loop.advance(minutes=9)
    device.answered(device.answer_phone(pending, text))
    pending = device.sign_in()
    text = device.text_of(pending)
    device.loop.advance(minutes=10)
    assert refusal(device.answer_phone(pending, text)) == "INVALID_MFA_PENDING_CREDENTIAL"
    assert refusal(device.answer_phone(device.sign_in(), text)) == "SESSION_EXPIRED"


def test_the_text_must_go_to_a_phone_of_the_account(device: FactorClient) -> None:
    device.enrol_phone(device.person()["idToken"])
    pending = device.sign_in()
    foreign = device.text(OTHER)
    assert refusal(device.answer_phone(pending, foreign)) == "MFA_ENROLLMENT_NOT_FOUND"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (
            {},
            "MISSING_MFA_PENDING_CREDENTIAL : Request does not have MFA pending credential.",
        ),
        (
            {"mfaPendingCredential": "made-up"},
            "MISSING_MFA_ENROLLMENT_ID : No second factor identifier is provided.",
        ),
        (
            {"mfaPendingCredential": "made-up", "mfaEnrollmentId": "x"},
            "INVALID_MFA_PENDING_CREDENTIAL",
        ),
    ],
)
def test_asking_for_a_text_needs_a_first_factor(
    device: FactorClient, body: dict[str, Any], code: str
) -> None:
    assert refusal(device.factor("mfaSignIn:start", **body)) == code


def test_an_unknown_factor_cannot_be_chosen(device: FactorClient) -> None:
    device.enrol_phone(device.person()["idToken"])
    credential = device.sign_in()["mfaPendingCredential"]
    answer = device.factor(
        "mfaSignIn:start", mfaPendingCredential=credential, mfaEnrollmentId="made-up"
    )
    assert refusal(answer) == "MFA_ENROLLMENT_NOT_FOUND"


def test_a_pending_credential_counts_once(device: FactorClient) -> None:
    device.enrol_phone(device.person()["idToken"])
    pending = device.sign_in()
    first, second = device.text_of(pending), device.text_of(pending)
    device.answered(device.answer_phone(pending, first))
    answer = device.answer_phone(pending, second)
    assert refusal(answer) == "INVALID_MFA_PENDING_CREDENTIAL"


def test_a_pending_credential_ends_with_the_account_or_its_password(device: FactorClient) -> None:
    person = device.person()
    device.enrol_phone(person["idToken"])
    pending = device.sign_in()
    text = device.text_of(pending)
    device.loop.advance(seconds=10)
    device.admin("accounts:update", localId=person["localId"], password="another horse")
    assert refusal(device.answer_phone(pending, text)) == "INVALID_MFA_PENDING_CREDENTIAL"
    pending = device.call("signInWithPassword", email=EMAIL, password="another horse").json()
    device.admin("accounts:update", localId=person["localId"], disableUser=True)
    assert refusal(device.answer_phone(pending, text)) == "USER_DISABLED"
    device.admin("accounts:delete", localId=person["localId"])
    assert refusal(device.answer_phone(pending, text)) == "USER_NOT_FOUND"


@pytest.mark.parametrize(
    "text", ["[]", "null", "nonsense", "{" * 5000, '{"idToken": "\\ud800"}', '{"idToken": {}}']
)
def test_what_is_no_request_is_refused(device: FactorClient, text: str) -> None:
    for verb in ("mfaEnrollment:start", "mfaEnrollment:finalize", "mfaSignIn:finalize"):
        path = f"/identitytoolkit.googleapis.com/v2/accounts/{verb}"
        headers = {"Content-Type": "application/json"}
        assert device.http.post(path, content=text, headers=headers).status_code == 400


def test_the_owner_is_told_of_every_change_of_factors(
    engine: tuple[Identity, int], device: FactorClient
) -> None:
    person = device.person()
    _, tokens = device.enrol_app(person["idToken"], displayName="New app")
    mail = engine[0].describe()["inbox"][0]
    assert (mail["kind"], mail["to"]) == ("email", EMAIL)
    assert mail["subject"] == "A second factor was added to your account"
    (factor,) = device.account(person["localId"])["mfaInfo"]
    device.factor(
        "mfaEnrollment:withdraw",
        idToken=tokens["idToken"],
        mfaEnrollmentId=factor["mfaEnrollmentId"],
    )
    mail = engine[0].describe()["inbox"][0]
    assert mail["subject"] == "A second factor was removed from your account"


def test_withdrawing_the_last_factor_ends_the_challenges(device: FactorClient) -> None:
    person = device.person()
    tokens = device.enrol_phone(person["idToken"])
    (factor,) = device.account(person["localId"])["mfaInfo"]
    answer = device.factor(
        "mfaEnrollment:withdraw",
        idToken=tokens["idToken"],
        mfaEnrollmentId=factor["mfaEnrollmentId"],
    )
    withdrawn = device.answered(answer)
    firebase = device.claims(withdrawn["idToken"])["firebase"]
    assert "sign_in_second_factor" not in firebase
    assert "second_factor_identifier" not in firebase
    assert device.account(person["localId"])["mfaInfo"] == []
    assert device.refresh(tokens["refreshToken"]).status_code == 200
    assert "idToken" in device.sign_in()


def test_withdrawing_another_factor_keeps_the_one_signed_in_with(device: FactorClient) -> None:
    person = device.person()
    tokens = device.enrol_phone(person["idToken"])
    (phone,) = device.account(person["localId"])["mfaInfo"]
    _, tokens = device.enrol_app(tokens["idToken"])
    answer = device.factor(
        "mfaEnrollment:withdraw",
        idToken=tokens["idToken"],
        mfaEnrollmentId=phone["mfaEnrollmentId"],
    )
    firebase = device.claims(device.answered(answer)["idToken"])["firebase"]
    assert firebase["sign_in_second_factor"] == "totp"
    (left,) = device.account(person["localId"])["mfaInfo"]
    assert left["totpInfo"] == {}


def test_only_an_enrolled_factor_can_be_withdrawn(device: FactorClient) -> None:
    token = device.person()["idToken"]
    answer = device.factor("mfaEnrollment:withdraw", idToken=token, mfaEnrollmentId="made-up")
    assert refusal(answer) == "MFA_ENROLLMENT_NOT_FOUND"
