"""The authenticator app as second factor."""

from datetime import datetime

import pytest

from emulators.identity.factors import totp
from tests.emulators.identity_client import FactorClient, refusal


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_codes_are_those_of_rfc_6238(seconds: int, code: str) -> None:
    assert totp.code_at("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", seconds // 30) == code


def test_enrolling_an_app_starts_with_a_secret(device: FactorClient) -> None:
    session = device.start_app(device.person()["idToken"])
    assert len(session["sharedSecretKey"]) == 32
    assert session["sharedSecretKey"].isalnum()
    assert session["verificationCodeLength"] == 6
    assert session["hashingAlgorithm"] == "SHA1"
    assert session["periodSec"] == 30
    deadline = datetime.fromisoformat(session["finalizeEnrollmentTime"])
    assert (deadline - device.loop.ground.clock.now()).total_seconds() == pytest.approx(600, abs=1)


def test_an_app_is_enrolled_by_its_code_and_its_secret_never_shown(device: FactorClient) -> None:
    person = device.person()
    secret, tokens = device.enrol_app(person["idToken"], displayName="Authenticator")
    assert tokens["totpAuthInfo"] == {}
    account = device.account(person["localId"])
    (factor,) = account["mfaInfo"]
    assert factor["totpInfo"] == {}
    assert factor["displayName"] == "Authenticator"
    assert "phoneInfo" not in factor
    assert secret not in str(account)
    firebase = device.claims(tokens["idToken"])["firebase"]
    assert firebase["sign_in_second_factor"] == "totp"
    assert firebase["second_factor_identifier"] == factor["mfaEnrollmentId"]


def test_signing_in_with_an_app(device: FactorClient) -> None:
    person = device.person()
    secret, _ = device.enrol_app(person["idToken"])
    code = device.next_code(secret)
    pending = device.sign_in()
    (hint,) = pending["mfaInfo"]
    assert hint["totpInfo"] == {}
    assert secret not in str(pending)
    tokens = device.answered(device.answer_app(pending, code))
    claims = device.claims(tokens["idToken"])
    assert claims["sub"] == person["localId"]
    assert claims["firebase"]["sign_in_second_factor"] == "totp"
    assert device.refresh(tokens["refreshToken"]).status_code == 200


@pytest.mark.parametrize("code", ["1000000", "abcdef", "", "١٢٣٤٥٦"])
def test_a_wrong_code_is_refused(device: FactorClient, code: str) -> None:
    secret, _ = device.enrol_app(device.person()["idToken"])
    pending = device.sign_in()
    expected = "INVALID_CODE" if code else "MISSING_CODE"
    assert refusal(device.answer_app(pending, code)) == expected
    right = device.next_code(secret)
    assert device.answer_app(pending, right).status_code == 200


def test_a_used_code_is_not_accepted_again(device: FactorClient) -> None:
    secret, _ = device.enrol_app(device.person()["idToken"])
    enrolled_with = device.app_code(secret)
    assert refusal(device.answer_app(device.sign_in(), enrolled_with)) == "INVALID_CODE"
    code = device.next_code(secret)
    device.answered(device.answer_app(device.sign_in(), code))
    assert refusal(device.answer_app(device.sign_in(), code)) == "INVALID_CODE"
    device.answered(device.answer_app(device.sign_in(), device.next_code(secret)))


def test_codes_of_five_neighbouring_intervals_are_accepted_by_default(
    device: FactorClient,
) -> None:
    secret, _ = device.enrol_app(device.person()["idToken"])
    device.loop.advance(minutes=10)
    for late in (6, -6):
        answer = device.answer_app(device.sign_in(), device.app_code(secret, late))
        assert refusal(answer) == "INVALID_CODE"
    device.answered(device.answer_app(device.sign_in(), device.app_code(secret, 5)))
    device.answered(device.answer_app(device.sign_in(), device.app_code(secret, -5)))


def test_an_enrolment_expires_and_is_its_persons_own(device: FactorClient) -> None:
    jane, john = device.person(), device.person("john@example.org")
    session = device.start_app(jane["idToken"])
    code = device.app_code(session["sharedSecretKey"])
    answer = device.finish_app(john["idToken"], session, code)
    assert refusal(answer) == "INVALID_SESSION_INFO"
    answer = device.finish_app(jane["idToken"], {"sessionInfo": "made-up"}, code)
    assert refusal(answer) == "INVALID_SESSION_INFO"
    device.loop.advance(minutes=10)
    code = device.app_code(session["sharedSecretKey"])
    answer = device.finish_app(device.sign_in()["idToken"], session, code)
    assert refusal(answer) == "SESSION_EXPIRED"


def test_an_enrolment_counts_once(device: FactorClient) -> None:
    person = device.person()
    session = device.start_app(person["idToken"])
    code = device.app_code(session["sharedSecretKey"])
    token = device.answered(device.finish_app(person["idToken"], session, code))["idToken"]
    again = device.finish_app(token, session, device.next_code(session["sharedSecretKey"]))
    assert refusal(again) == "SESSION_EXPIRED"


def test_an_app_answers_no_text_and_a_phone_no_app_code(device: FactorClient) -> None:
    secret, tokens = device.enrol_app(device.person()["idToken"])
    device.enrol_phone(tokens["idToken"])
    pending = device.sign_in()
    app, phone = pending["mfaInfo"]
    answer = device.factor(
        "mfaSignIn:start",
        mfaPendingCredential=pending["mfaPendingCredential"],
        mfaEnrollmentId=app["mfaEnrollmentId"],
    )
    assert refusal(answer) == "INVALID_ARGUMENT : MFA provider not supported!"
    answer = device.answer_app(pending, device.next_code(secret), factor=1)
    assert refusal(answer) == "INVALID_ARGUMENT : MFA provider not supported!"
    answer = device.factor(
        "mfaSignIn:finalize", mfaPendingCredential=pending["mfaPendingCredential"]
    )
    assert refusal(answer) == "INVALID_ARGUMENT : MFA provider not supported!"
    assert phone["phoneInfo"] == "+*******0100"


def test_any_of_several_factors_signs_in(device: FactorClient) -> None:
    secret, tokens = device.enrol_app(device.person()["idToken"])
    second, tokens = device.enrol_app(tokens["idToken"])
    device.enrol_phone(tokens["idToken"])
    device.loop.advance(seconds=30)
    pending = device.sign_in()
    assert refusal(device.answer_app(pending, device.app_code(second))) == "INVALID_CODE"
    device.answered(device.answer_app(pending, device.app_code(secret)))
    pending = device.sign_in()
    device.answered(device.answer_app(pending, device.app_code(second), factor=1))
    pending = device.sign_in()
    device.answered(device.answer_phone(pending, device.text_of(pending, factor=2)))
