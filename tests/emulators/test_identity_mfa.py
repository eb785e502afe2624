"""A phone as second factor: enrolling it, signing in with it, withdrawing it."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from emulators.identity import Identity
from tests.emulators.conftest import Loop
from tests.emulators.identity_client import (
    EMAIL,
    NUMBER,
    OTHER,
    PASSWORD,
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


def test_a_phone_is_enrolled_by_its_code(client: FactorClient) -> None:
    person = client.person()
    tokens = client.enrol_phone(person["idToken"], displayName="Work phone")
    (factor,) = client.account(person["localId"])["mfaInfo"]
    assert factor["phoneInfo"] == factor["unobfuscatedPhoneInfo"] == NUMBER
    assert factor["displayName"] == "Work phone"
    now = client.loop.ground.clock.now()
    assert datetime.fromisoformat(factor["enrolledAt"]).timestamp() == pytest.approx(
        now.timestamp(), abs=0.001
    )
    firebase = client.claims(tokens["idToken"])["firebase"]
    assert firebase["sign_in_provider"] == "password"
    assert firebase["sign_in_second_factor"] == "phone"
    assert firebase["second_factor_identifier"] == factor["mfaEnrollmentId"]
    refreshed = client.refresh(tokens["refreshToken"]).json()
    assert client.claims(refreshed["id_token"])["firebase"] == firebase


def test_enrolling_revokes_earlier_sign_ins(client: FactorClient) -> None:
    elsewhere = client.person()
    client.loop.advance(minutes=1)
    here = client.sign_in()
    client.loop.advance(minutes=1)
    tokens = client.enrol_phone(here["idToken"])
    assert refusal(client.refresh(elsewhere["refreshToken"])) == "TOKEN_EXPIRED"
    assert refusal(client.refresh(here["refreshToken"])) == "TOKEN_EXPIRED"
    assert client.refresh(tokens["refreshToken"]).status_code == 200


def test_the_address_must_be_verified_first(client: FactorClient) -> None:
    token = client.call("signUp", email=EMAIL, password=PASSWORD).json()["idToken"]
    phone: dict[str, Any] = {"phoneEnrollmentInfo": {"phoneNumber": NUMBER}}
    for info in [phone, {"totpEnrollmentInfo": {}}]:
        answer = client.factor("mfaEnrollment:start", idToken=token, **info)
        assert refusal(answer) == (
            "UNVERIFIED_EMAIL : Need to verify email first before enrolling second factors."
        )


def test_some_first_factors_cannot_have_a_second(client: FactorClient) -> None:
    by_phone = client.call("signInWithPhoneNumber", **client.text(NUMBER)).json()
    anonymous = client.call("signUp").json()
    for person in (by_phone, anonymous):
        client.admin(
            "accounts:update",
            localId=person["localId"],
            email=f"{person['localId'].lower()}@example.org",
            emailVerified=True,
        )
        answer = client.factor(
            "mfaEnrollment:start", idToken=person["idToken"], totpEnrollmentInfo={}
        )
        assert refusal(answer) == (
            "UNSUPPORTED_FIRST_FACTOR : MFA is not available for the given first factor."
        )


def test_enrolling_and_withdrawing_need_a_recent_sign_in(client: FactorClient) -> None:
    person = client.person()
    session = client.start_app(person["idToken"])
    client.loop.advance(minutes=5, seconds=1)
    code = client.app_code(session["sharedSecretKey"])
    old = "CREDENTIAL_TOO_OLD_LOGIN_AGAIN"
    assert refusal(client.finish_app(person["idToken"], session, code)) == old
    answer = client.factor("mfaEnrollment:start", idToken=person["idToken"], totpEnrollmentInfo={})
    assert refusal(answer) == old
    tokens = client.answered(client.finish_app(client.sign_in()["idToken"], session, code))
    (factor,) = client.account(person["localId"])["mfaInfo"]
    client.loop.advance(minutes=5, seconds=1)
    answer = client.factor(
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
    client: FactorClient, info: dict[str, Any], code: str
) -> None:
    token = client.person()["idToken"]
    assert refusal(client.factor("mfaEnrollment:start", idToken=token, **info)) == code


def test_enrolling_needs_an_id_token(client: FactorClient) -> None:
    for verb in ("start", "finalize", "withdraw"):
        assert refusal(client.factor(f"mfaEnrollment:{verb}")) == "MISSING_ID_TOKEN"
        answer = client.factor(f"mfaEnrollment:{verb}", idToken="nonsense")
        assert refusal(answer) == "INVALID_ID_TOKEN"


def test_a_phone_is_enrolled_once_per_account(client: FactorClient) -> None:
    token = client.enrol_phone(client.person()["idToken"])["idToken"]
    answer = client.factor(
        "mfaEnrollment:start", idToken=token, phoneEnrollmentInfo={"phoneNumber": NUMBER}
    )
    assert refusal(answer) == (
        "SECOND_FACTOR_EXISTS : Phone number already enrolled as second factor for this account."
    )
    other = client.person("other@example.org")
    client.enrol_phone(other["idToken"])
    assert len(client.account(other["localId"])["mfaInfo"]) == 1


def test_an_account_has_five_factors_at_most(client: FactorClient) -> None:
    token = client.person()["idToken"]
    for last in range(5):
        token = client.enrol_phone(token, f"+1555555020{last}")["idToken"]
    answer = client.factor(
        "mfaEnrollment:start", idToken=token, phoneEnrollmentInfo={"phoneNumber": NUMBER}
    )
    assert refusal(answer) == "SECOND_FACTOR_LIMIT_EXCEEDED"
    answer = client.factor("mfaEnrollment:start", idToken=token, totpEnrollmentInfo={})
    assert refusal(answer) == "SECOND_FACTOR_LIMIT_EXCEEDED"


def test_a_wrong_code_does_not_enrol_and_can_be_corrected(client: FactorClient) -> None:
    token = client.person()["idToken"]
    start = client.factor(
        "mfaEnrollment:start", idToken=token, phoneEnrollmentInfo={"phoneNumber": NUMBER}
    )
    session = start.json()["phoneSessionInfo"]["sessionInfo"]
    info = {"sessionInfo": session, "code": client.code(session)}
    for change, code in (
        ({"code": info["code"] + "0"}, "INVALID_CODE"),
        ({"code": None}, "MISSING_CODE"),
        ({"sessionInfo": None}, "MISSING_SESSION_INFO"),
        ({"sessionInfo": "made-up"}, "INVALID_SESSION_INFO"),
    ):
        answer = client.factor(
            "mfaEnrollment:finalize", idToken=token, phoneVerificationInfo=info | change
        )
        assert refusal(answer) == code
    answer = client.factor("mfaEnrollment:finalize", idToken=token, phoneVerificationInfo=info)
    assert answer.status_code == 200
    answer = client.factor("mfaEnrollment:finalize", idToken=token, phoneVerificationInfo=info)
    assert refusal(answer) == "SESSION_EXPIRED"


def test_a_password_alone_gives_a_pending_credential(client: FactorClient) -> None:
    person = client.person()
    client.enrol_phone(person["idToken"], displayName="Work phone")
    before = client.account(person["localId"])["lastLoginAt"]
    client.loop.advance(seconds=10)
    pending = client.sign_in()
    assert "idToken" not in pending
    assert "refreshToken" not in pending
    (hint,) = pending["mfaInfo"]
    assert hint["phoneInfo"] == "+*******0100"
    assert hint["displayName"] == "Work phone"
    assert "unobfuscatedPhoneInfo" not in hint
    assert client.account(person["localId"])["lastLoginAt"] == before


def test_the_code_texted_to_the_phone_ends_the_sign_in(
    engine: tuple[Identity, int], client: FactorClient
) -> None:
    person = client.person()
    client.enrol_phone(person["idToken"])
    client.loop.advance(minutes=1)
    pending = client.sign_in()
    text = client.text_of(pending)
    assert engine[0].describe()["inbox"][0]["to"] == NUMBER
    tokens = client.answered(client.answer_phone(pending, text))
    claims = client.claims(tokens["idToken"])
    assert claims["sub"] == person["localId"]
    assert claims["firebase"]["sign_in_second_factor"] == "phone"
    (factor,) = client.account(person["localId"])["mfaInfo"]
    assert claims["firebase"]["second_factor_identifier"] == factor["mfaEnrollmentId"]
    now = int(client.loop.ground.clock.time() * 1000)
    assert client.account(person["localId"])["lastLoginAt"] == str(now)


def test_a_wrong_or_late_text_does_not_sign_in(client: FactorClient) -> None:
    client.enrol_phone(client.person()["idToken"])
    pending = client.sign_in()
    text = client.text_of(pending)
    wrong = text | {"code": text["code"] + "0"}
    assert refusal(client.answer_phone(pending, wrong)) == "INVALID_CODE"
    client.loop.advance(minutes=9)
    client.answered(client.answer_phone(pending, text))
    pending = client.sign_in()
    text = client.text_of(pending)
    client.loop.advance(minutes=10)
    assert refusal(client.answer_phone(pending, text)) == "INVALID_MFA_PENDING_CREDENTIAL"
    assert refusal(client.answer_phone(client.sign_in(), text)) == "SESSION_EXPIRED"


def test_the_text_must_go_to_a_phone_of_the_account(client: FactorClient) -> None:
    client.enrol_phone(client.person()["idToken"])
    pending = client.sign_in()
    foreign = client.text(OTHER)
    assert refusal(client.answer_phone(pending, foreign)) == "MFA_ENROLLMENT_NOT_FOUND"


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
    client: FactorClient, body: dict[str, Any], code: str
) -> None:
    assert refusal(client.factor("mfaSignIn:start", **body)) == code


def test_an_unknown_factor_cannot_be_chosen(client: FactorClient) -> None:
    client.enrol_phone(client.person()["idToken"])
    credential = client.sign_in()["mfaPendingCredential"]
    answer = client.factor(
        "mfaSignIn:start", mfaPendingCredential=credential, mfaEnrollmentId="made-up"
    )
    assert refusal(answer) == "MFA_ENROLLMENT_NOT_FOUND"


def test_a_pending_credential_counts_once(client: FactorClient) -> None:
    client.enrol_phone(client.person()["idToken"])
    pending = client.sign_in()
    first, second = client.text_of(pending), client.text_of(pending)
    client.answered(client.answer_phone(pending, first))
    answer = client.answer_phone(pending, second)
    assert refusal(answer) == "INVALID_MFA_PENDING_CREDENTIAL"


def test_a_pending_credential_ends_with_the_account_or_its_password(client: FactorClient) -> None:
    person = client.person()
    client.enrol_phone(person["idToken"])
    pending = client.sign_in()
    text = client.text_of(pending)
    client.loop.advance(seconds=10)
    client.admin("accounts:update", localId=person["localId"], password="another horse")
    assert refusal(client.answer_phone(pending, text)) == "INVALID_MFA_PENDING_CREDENTIAL"
    pending = client.call("signInWithPassword", email=EMAIL, password="another horse").json()
    client.admin("accounts:update", localId=person["localId"], disableUser=True)
    assert refusal(client.answer_phone(pending, text)) == "USER_DISABLED"
    client.admin("accounts:delete", localId=person["localId"])
    assert refusal(client.answer_phone(pending, text)) == "USER_NOT_FOUND"


@pytest.mark.parametrize(
    "text", ["[]", "null", "nonsense", "{" * 5000, '{"idToken": "\\ud800"}', '{"idToken": {}}']
)
def test_what_is_no_request_is_refused(client: FactorClient, text: str) -> None:
    for verb in ("mfaEnrollment:start", "mfaEnrollment:finalize", "mfaSignIn:finalize"):
        path = f"/identitytoolkit.googleapis.com/v2/accounts/{verb}"
        headers = {"Content-Type": "application/json"}
        assert client.http.post(path, content=text, headers=headers).status_code == 400


def test_the_owner_is_told_of_every_change_of_factors(
    engine: tuple[Identity, int], client: FactorClient
) -> None:
    person = client.person()
    _, tokens = client.enrol_app(person["idToken"], displayName="New app")
    mail = engine[0].describe()["inbox"][0]
    assert (mail["kind"], mail["to"]) == ("email", EMAIL)
    assert mail["subject"] == "A second factor was added to your account"
    (factor,) = client.account(person["localId"])["mfaInfo"]
    client.factor(
        "mfaEnrollment:withdraw",
        idToken=tokens["idToken"],
        mfaEnrollmentId=factor["mfaEnrollmentId"],
    )
    mail = engine[0].describe()["inbox"][0]
    assert mail["subject"] == "A second factor was removed from your account"


def test_withdrawing_the_last_factor_ends_the_challenges(client: FactorClient) -> None:
    person = client.person()
    tokens = client.enrol_phone(person["idToken"])
    (factor,) = client.account(person["localId"])["mfaInfo"]
    answer = client.factor(
        "mfaEnrollment:withdraw",
        idToken=tokens["idToken"],
        mfaEnrollmentId=factor["mfaEnrollmentId"],
    )
    withdrawn = client.answered(answer)
    firebase = client.claims(withdrawn["idToken"])["firebase"]
    assert "sign_in_second_factor" not in firebase
    assert "second_factor_identifier" not in firebase
    assert client.account(person["localId"])["mfaInfo"] == []
    assert client.refresh(tokens["refreshToken"]).status_code == 200
    assert "idToken" in client.sign_in()


def test_withdrawing_another_factor_keeps_the_one_signed_in_with(client: FactorClient) -> None:
    person = client.person()
    tokens = client.enrol_phone(person["idToken"])
    (phone,) = client.account(person["localId"])["mfaInfo"]
    _, tokens = client.enrol_app(tokens["idToken"])
    answer = client.factor(
        "mfaEnrollment:withdraw",
        idToken=tokens["idToken"],
        mfaEnrollmentId=phone["mfaEnrollmentId"],
    )
    firebase = client.claims(client.answered(answer)["idToken"])["firebase"]
    assert firebase["sign_in_second_factor"] == "totp"
    (left,) = client.account(person["localId"])["mfaInfo"]
    assert left["totpInfo"] == {}


def test_only_an_enrolled_factor_can_be_withdrawn(client: FactorClient) -> None:
    token = client.person()["idToken"]
    answer = client.factor("mfaEnrollment:withdraw", idToken=token, mfaEnrollmentId="made-up")
    assert refusal(answer) == "MFA_ENROLLMENT_NOT_FOUND"
