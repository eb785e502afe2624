"""The authenticator app as second factor."""

from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from emulators.identity import Identity, totp
from tests.emulators.conftest import Loop
from tests.emulators.identity_client import (
    FactorClient,
    refusal,
)


@pytest.fixture
def engine(start_engine: Callable[..., tuple[Identity, int]], loop: Loop) -> tuple[Identity, int]:
    loop.ground.clock.freeze()
    return start_engine(Identity)


@pytest.fixture
def client(engine: tuple[Identity, int], loop: Loop) -> Iterator[FactorClient]:
    client = FactorClient(engine[1], loop)
    yield client
    client.http.close()


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


def test_enrolling_an_app_starts_with_a_secret(client: FactorClient) -> None:
    session = client.start_app(client.person()["idToken"])
    assert len(session["sharedSecretKey"]) == 32
    assert session["sharedSecretKey"].isalnum()
    assert session["verificationCodeLength"] == 6
    assert session["hashingAlgorithm"] == "SHA1"
    assert session["periodSec"] == 30
    deadline = datetime.fromisoformat(session["finalizeEnrollmentTime"])
    assert (deadline - client.loop.ground.clock.now()).total_seconds() == pytest.approx(600, abs=1)


def test_an_app_is_enrolled_by_its_code_and_its_secret_never_shown(client: FactorClient) -> None:
    person = client.person()
    secret, tokens = client.enrol_app(person["idToken"], displayName="Authenticator")
    assert tokens["totpAuthInfo"] == {}
    account = client.account(person["localId"])
    (factor,) = account["mfaInfo"]
    assert factor["totpInfo"] == {}
    assert factor["displayName"] == "Authenticator"
    assert "phoneInfo" not in factor
    assert secret not in str(account)
    firebase = client.claims(tokens["idToken"])["firebase"]
    assert firebase["sign_in_second_factor"] == "totp"
    assert firebase["second_factor_identifier"] == factor["mfaEnrollmentId"]


def test_signing_in_with_an_app(client: FactorClient) -> None:
    person = client.person()
    secret, _ = client.enrol_app(person["idToken"])
    code = client.next_code(secret)
    pending = client.sign_in()
    (hint,) = pending["mfaInfo"]
    assert hint["totpInfo"] == {}
    assert secret not in str(pending)
    tokens = client.answered(client.answer_app(pending, code))
    claims = client.claims(tokens["idToken"])
    assert claims["sub"] == person["localId"]
    assert claims["firebase"]["sign_in_second_factor"] == "totp"
    assert client.refresh(tokens["refreshToken"]).status_code == 200


@pytest.mark.parametrize("code", ["1000000", "abcdef", "", "١٢٣٤٥٦"])
def test_a_wrong_code_is_refused(client: FactorClient, code: str) -> None:
    secret, _ = client.enrol_app(client.person()["idToken"])
    pending = client.sign_in()
    expected = "INVALID_CODE" if code else "MISSING_CODE"
    assert refusal(client.answer_app(pending, code)) == expected
    right = client.next_code(secret)
    assert client.answer_app(pending, right).status_code == 200


def test_a_used_code_is_not_accepted_again(client: FactorClient) -> None:
    secret, _ = client.enrol_app(client.person()["idToken"])
    enrolled_with = client.app_code(secret)
    assert refusal(client.answer_app(client.sign_in(), enrolled_with)) == "INVALID_CODE"
    code = client.next_code(secret)
    client.answered(client.answer_app(client.sign_in(), code))
    assert refusal(client.answer_app(client.sign_in(), code)) == "INVALID_CODE"
    client.answered(client.answer_app(client.sign_in(), client.next_code(secret)))


def test_codes_of_five_neighbouring_intervals_are_accepted_by_default(
    client: FactorClient,
) -> None:
    secret, _ = client.enrol_app(client.person()["idToken"])
    client.loop.advance(minutes=10)
    for late in (6, -6):
        answer = client.answer_app(client.sign_in(), client.app_code(secret, late))
        assert refusal(answer) == "INVALID_CODE"
    client.answered(client.answer_app(client.sign_in(), client.app_code(secret, 5)))
    client.answered(client.answer_app(client.sign_in(), client.app_code(secret, -5)))


def test_an_enrolment_expires_and_is_its_persons_own(client: FactorClient) -> None:
    jane, john = client.person(), client.person("john@example.org")
    session = client.start_app(jane["idToken"])
    code = client.app_code(session["sharedSecretKey"])
    answer = client.finish_app(john["idToken"], session, code)
    assert refusal(answer) == "INVALID_SESSION_INFO"
    answer = client.finish_app(jane["idToken"], {"sessionInfo": "made-up"}, code)
    assert refusal(answer) == "INVALID_SESSION_INFO"
    client.loop.advance(minutes=10)
    code = client.app_code(session["sharedSecretKey"])
    answer = client.finish_app(client.sign_in()["idToken"], session, code)
    assert refusal(answer) == "SESSION_EXPIRED"


def test_an_enrolment_counts_once(client: FactorClient) -> None:
    person = client.person()
    session = client.start_app(person["idToken"])
    code = client.app_code(session["sharedSecretKey"])
    token = client.answered(client.finish_app(person["idToken"], session, code))["idToken"]
    again = client.finish_app(token, session, client.next_code(session["sharedSecretKey"]))
    assert refusal(again) == "SESSION_EXPIRED"


def test_an_app_answers_no_text_and_a_phone_no_app_code(client: FactorClient) -> None:
    secret, tokens = client.enrol_app(client.person()["idToken"])
    client.enrol_phone(tokens["idToken"])
    pending = client.sign_in()
    app, phone = pending["mfaInfo"]
    answer = client.factor(
        "mfaSignIn:start",
        mfaPendingCredential=pending["mfaPendingCredential"],
        mfaEnrollmentId=app["mfaEnrollmentId"],
    )
    assert refusal(answer) == "INVALID_ARGUMENT : MFA provider not supported!"
    answer = client.answer_app(pending, client.next_code(secret), factor=1)
    assert refusal(answer) == "INVALID_ARGUMENT : MFA provider not supported!"
    answer = client.factor(
        "mfaSignIn:finalize", mfaPendingCredential=pending["mfaPendingCredential"]
    )
    assert refusal(answer) == "INVALID_ARGUMENT : MFA provider not supported!"
    assert phone["phoneInfo"] == "+*******0100"


def test_any_of_several_factors_signs_in(client: FactorClient) -> None:
    secret, tokens = client.enrol_app(client.person()["idToken"])
    second, tokens = client.enrol_app(tokens["idToken"])
    client.enrol_phone(tokens["idToken"])
    client.loop.advance(seconds=30)
    pending = client.sign_in()
    assert refusal(client.answer_app(pending, client.app_code(second))) == "INVALID_CODE"
    client.answered(client.answer_app(pending, client.app_code(secret)))
    pending = client.sign_in()
    client.answered(client.answer_app(pending, client.app_code(second), factor=1))
    pending = client.sign_in()
    client.answered(client.answer_phone(pending, client.text_of(pending, factor=2)))
