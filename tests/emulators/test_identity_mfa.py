"""Second factors: enrolling a phone or an authenticator app, and signing in with them."""

import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import firebase_admin
import httpx
import pytest
from firebase_admin import auth

from emulators.identity import Identity, totp
from tests.emulators.conftest import Loop
from tests.emulators.identity_client import PASSWORD, PROJECT, IdentityClient, refusal

NUMBER = "+15555550100"
OTHER = "+15555550101"
EMAIL = "jane@example.org"


class FactorClient(IdentityClient):
    """A person's client that answers challenges, on the engine's virtual clock."""

    def __init__(self, port: int, loop: Loop) -> None:
        super().__init__(port)
        self.loop = loop

    def app_code(self, secret: str, late: int = 0) -> str:
        """What the authenticator app shows now, or `late` periods ago."""
        return totp.code_at(secret, int(self.loop.ground.clock.time()) // 30 - late)

    def next_code(self, secret: str) -> str:
        """What the app shows when the present code is over."""
        self.loop.advance(seconds=30)
        return self.app_code(secret)

    def enrol_phone(self, token: str, number: str = NUMBER, **fields: Any) -> dict[str, Any]:
        start = self.factor(
            "mfaEnrollment:start", idToken=token, phoneEnrollmentInfo={"phoneNumber": number}
        )
        session = start.json()["phoneSessionInfo"]["sessionInfo"]
        info = {"sessionInfo": session, "code": self.code(session)}
        return self.answered(
            self.factor(
                "mfaEnrollment:finalize", idToken=token, phoneVerificationInfo=info, **fields
            )
        )

    def start_app(self, token: str) -> dict[str, Any]:
        start = self.factor("mfaEnrollment:start", idToken=token, totpEnrollmentInfo={})
        session: dict[str, Any] = self.answered(start)["totpSessionInfo"]
        return session

    def finish_app(
        self, token: str, session: dict[str, Any], code: str, **fields: Any
    ) -> httpx.Response:
        info = {"sessionInfo": session["sessionInfo"], "verificationCode": code}
        return self.factor(
            "mfaEnrollment:finalize", idToken=token, totpVerificationInfo=info, **fields
        )

    def enrol_app(self, token: str, **fields: Any) -> tuple[str, dict[str, Any]]:
        """The secret and the answer."""
        session = self.start_app(token)
        secret = str(session["sharedSecretKey"])
        done = self.finish_app(token, session, self.app_code(secret), **fields)
        return secret, self.answered(done)

    def answer_app(self, pending: dict[str, Any], code: str, factor: int = 0) -> httpx.Response:
        return self.factor(
            "mfaSignIn:finalize",
            mfaPendingCredential=pending["mfaPendingCredential"],
            mfaEnrollmentId=pending["mfaInfo"][factor]["mfaEnrollmentId"],
            totpVerificationInfo={"verificationCode": code},
        )

    def text_of(self, pending: dict[str, Any], factor: int = 0) -> dict[str, str]:
        """Ask for a text to the chosen phone: `sessionInfo` and `code`."""
        start = self.factor(
            "mfaSignIn:start",
            mfaPendingCredential=pending["mfaPendingCredential"],
            mfaEnrollmentId=pending["mfaInfo"][factor]["mfaEnrollmentId"],
            phoneSignInInfo={"recaptchaToken": "t"},
        )
        session = self.answered(start)["phoneResponseInfo"]["sessionInfo"]
        return {"sessionInfo": session, "code": self.code(session)}

    def answer_phone(self, pending: dict[str, Any], text: dict[str, str]) -> httpx.Response:
        return self.factor(
            "mfaSignIn:finalize",
            mfaPendingCredential=pending["mfaPendingCredential"],
            phoneVerificationInfo=text,
        )

    def configure(self, **mfa: Any) -> None:
        self.admin("config?updateMask=mfa", "PATCH", mfa=mfa)

    @staticmethod
    def answered(response: httpx.Response) -> dict[str, Any]:
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body


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


# Enrolling a phone


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


# Signing in with a phone


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


# The authenticator app


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


@pytest.mark.parametrize(
    "text", ["[]", "null", "nonsense", "{" * 5000, '{"idToken": "\\ud800"}', '{"idToken": {}}']
)
def test_what_is_no_request_is_refused(client: FactorClient, text: str) -> None:
    for verb in ("mfaEnrollment:start", "mfaEnrollment:finalize", "mfaSignIn:finalize"):
        path = f"/identitytoolkit.googleapis.com/v2/accounts/{verb}"
        headers = {"Content-Type": "application/json"}
        assert client.http.post(path, content=text, headers=headers).status_code == 400


# Withdrawing


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


# What a project and a tenant allow


def test_a_project_can_switch_second_factors_off(client: FactorClient) -> None:
    person = client.person()
    tokens = client.enrol_phone(person["idToken"])
    client.configure(state="DISABLED")
    assert "idToken" in client.sign_in()
    sms = "OPERATION_NOT_ALLOWED : SMS based MFA not enabled."
    for verb in ("mfaEnrollment:start", "mfaEnrollment:finalize", "mfaSignIn:start"):
        assert refusal(client.factor(verb, idToken=tokens["idToken"])) == sms
    assert refusal(client.factor("mfaSignIn:finalize")) == sms
    answer = client.factor("mfaEnrollment:start", idToken=tokens["idToken"], totpEnrollmentInfo={})
    assert refusal(answer) == "OPERATION_NOT_ALLOWED : TOTP based MFA not enabled."


def test_apps_alone_can_be_allowed_with_a_narrow_window(client: FactorClient) -> None:
    app = {"state": "ENABLED", "totpProviderConfig": {"adjacentIntervals": 0}}
    client.configure(providerConfigs=[app])
    person = client.person()
    answer = client.factor(
        "mfaEnrollment:start",
        idToken=person["idToken"],
        phoneEnrollmentInfo={"phoneNumber": NUMBER},
    )
    assert refusal(answer) == "OPERATION_NOT_ALLOWED : SMS based MFA not enabled."
    secret, _ = client.enrol_app(person["idToken"])
    client.loop.advance(minutes=2)
    for late in (1, -1):
        answer = client.answer_app(client.sign_in(), client.app_code(secret, late))
        assert refusal(answer) == "INVALID_CODE"
    client.answered(client.answer_app(client.sign_in(), client.app_code(secret)))


@pytest.mark.parametrize(
    "mfa",
    [
        {"state": "SOMETIMES"},
        {"state": []},
        {"enabledProviders": [1]},
        {"providerConfigs": [{"totpProviderConfig": {"adjacentIntervals": 11}}]},
        {"providerConfigs": [{"totpProviderConfig": {"adjacentIntervals": -1}}]},
        {"providerConfigs": [{"totpProviderConfig": {"adjacentIntervals": "few"}}]},
        {"providerConfigs": [{"state": "ENABLED", "totpProviderConfig": 5}]},
        {"providerConfigs": [5]},
    ],
)
def test_a_wrong_configuration_is_refused(client: FactorClient, mfa: dict[str, Any]) -> None:
    answer = client.http.patch(
        f"/identitytoolkit.googleapis.com/v2/projects/{PROJECT}/config?updateMask=mfa",
        json={"mfa": mfa},
        headers={"Authorization": "Bearer owner"},
    )
    assert answer.status_code == 400
    client.enrol_app(client.person()["idToken"])
    assert "mfaPendingCredential" in client.sign_in()


def test_a_tenants_people_have_factors_by_its_own_configuration(client: FactorClient) -> None:
    made = client.admin(
        "tenants",
        displayName="clinic",
        allowPasswordSignup=True,
        mfaConfig={"state": "ENABLED", "enabledProviders": ["PHONE_SMS"]},
    )
    tenant = made["name"].split("/")[-1]
    person = client.call("signUp", email=EMAIL, password=PASSWORD, tenantId=tenant).json()
    client.admin(
        f"tenants/{tenant}/accounts:update",
        localId=person["localId"],
        emailVerified=True,
    )
    own = {"idToken": person["idToken"], "tenantId": tenant}
    answer = client.factor("mfaEnrollment:start", **own, totpEnrollmentInfo={})
    assert refusal(answer) == "OPERATION_NOT_ALLOWED : TOTP based MFA not enabled."
    start = client.factor("mfaEnrollment:start", **own, phoneEnrollmentInfo={"phoneNumber": NUMBER})
    session = client.answered(start)["phoneSessionInfo"]["sessionInfo"]
    assert client.codes() == []
    info = {"sessionInfo": session, "code": client.code(session, tenant)}
    client.answered(client.factor("mfaEnrollment:finalize", **own, phoneVerificationInfo=info))
    pending = client.sign_in(tenantId=tenant)
    chosen = {
        "mfaPendingCredential": pending["mfaPendingCredential"],
        "mfaEnrollmentId": pending["mfaInfo"][0]["mfaEnrollmentId"],
    }
    answer = client.factor("mfaSignIn:start", **chosen)
    assert refusal(answer) == (
        "INVALID_PROJECT_ID : Project ID does not match MFA pending credential."
    )
    start = client.factor("mfaSignIn:start", **chosen, tenantId=tenant)
    session = client.answered(start)["phoneResponseInfo"]["sessionInfo"]
    text = {"sessionInfo": session, "code": client.code(session, tenant)}
    answer = client.factor(
        "mfaSignIn:finalize",
        mfaPendingCredential=pending["mfaPendingCredential"],
        phoneVerificationInfo=text,
        tenantId=tenant,
    )
    firebase = client.claims(client.answered(answer)["idToken"])["firebase"]
    assert firebase["tenant"] == tenant
    assert firebase["sign_in_second_factor"] == "phone"


# Administrators


def test_an_administrator_enrols_changes_and_removes_factors(client: FactorClient) -> None:
    person = client.person()
    update = {"localId": person["localId"]}
    phone = {"mfaEnrollmentId": "first", "phoneInfo": NUMBER, "displayName": "Work"}
    again = {"mfaEnrollmentId": "second", "phoneInfo": NUMBER}
    other = {"mfaEnrollmentId": "third", "phoneInfo": OTHER}
    client.admin("accounts:update", **update, mfa={"enrollments": [phone, again, other]})
    first, third = client.account(person["localId"])["mfaInfo"]
    assert first | phone == first
    assert third | other == third
    pending = client.sign_in()
    client.answered(client.answer_phone(pending, client.text_of(pending, factor=1)))
    renamed = first | {"displayName": "Private"}
    client.admin("accounts:update", **update, mfa={"enrollments": [renamed]})
    assert client.account(person["localId"])["mfaInfo"] == [renamed]
    client.admin("accounts:update", **update, mfa={})
    assert "mfaInfo" not in client.account(person["localId"])
    assert "idToken" in client.sign_in()


def test_an_administrator_keeps_an_app_by_its_id(client: FactorClient) -> None:
    person = client.person()
    secret, _ = client.enrol_app(person["idToken"])
    (app,) = client.account(person["localId"])["mfaInfo"]
    phone = {"mfaEnrollmentId": "phone", "phoneInfo": NUMBER}
    enrollments = [app | {"displayName": "Kept"}, phone]
    client.admin("accounts:update", localId=person["localId"], mfa={"enrollments": enrollments})
    code = client.next_code(secret)
    pending = client.sign_in()
    assert pending["mfaInfo"][0]["displayName"] == "Kept"
    client.answered(client.answer_app(pending, code))


@pytest.mark.parametrize(
    ("enrollments", "code"),
    [
        (
            [{"phoneInfo": NUMBER}],
            "INVALID_MFA_ENROLLMENT_ID : mfaEnrollmentId must be defined.",
        ),
        (
            [{"mfaEnrollmentId": "a", "phoneInfo": "nonsense"}],
            "INVALID_MFA_PHONE_NUMBER : Invalid format.",
        ),
        (
            [{"mfaEnrollmentId": "a", "totpInfo": {}}],
            "INVALID_MFA_PHONE_NUMBER : Invalid format.",
        ),
        (
            [
                {"mfaEnrollmentId": "a", "phoneInfo": NUMBER},
                {"mfaEnrollmentId": "a", "phoneInfo": OTHER},
            ],
            "DUPLICATE_MFA_ENROLLMENT_ID",
        ),
        (
            [{"mfaEnrollmentId": str(n), "phoneInfo": f"+1555555030{n}"} for n in range(6)],
            "SECOND_FACTOR_LIMIT_EXCEEDED",
        ),
    ],
)
def test_an_administrators_mistakes_change_nothing(
    client: FactorClient, enrollments: list[dict[str, Any]], code: str
) -> None:
    person = client.person(mfaInfo=[{"phoneInfo": NUMBER}])
    before = client.account(person["localId"])
    answer = client.http.post(
        f"/identitytoolkit.googleapis.com/v1/projects/{PROJECT}/accounts:update",
        json={"localId": person["localId"], "mfa": {"enrollments": enrollments}},
        headers={"Authorization": "Bearer owner"},
    )
    assert refusal(answer) == code
    assert client.account(person["localId"]) == before


def test_a_person_cannot_set_factors_or_an_unverified_address(client: FactorClient) -> None:
    token = client.enrol_phone(client.person()["idToken"])["idToken"]
    answer = client.call("update", idToken=token, mfa={})
    assert refusal(answer) == "INSUFFICIENT_PERMISSION"
    mask = "config?updateMask=emailPrivacyConfig.enableImprovedEmailPrivacy"
    off = {"enableImprovedEmailPrivacy": False}
    client.admin(mask, "PATCH", emailPrivacyConfig=off)
    answer = client.call("update", idToken=token, email="new@example.org")
    assert refusal(answer) == "EMAIL_CHANGE_NEEDS_VERIFICATION"


def test_a_new_password_keeps_the_sign_ins_second_factor(client: FactorClient) -> None:
    token = client.enrol_phone(client.person()["idToken"])["idToken"]
    answer = client.answered(client.call("update", idToken=token, password="another horse"))
    assert client.claims(answer["idToken"])["firebase"]["sign_in_second_factor"] == "phone"


def test_factors_and_half_done_steps_survive_a_crash(
    make_loop: Callable[..., Loop], tmp_path: Path
) -> None:
    loop = make_loop(tmp_path / "state")
    loop.ground.clock.freeze()

    async def started() -> tuple[Identity, int]:
        engine = Identity(loop.ground)
        return engine, await engine.start()

    engine, port = loop.run(started())
    client = FactorClient(port, loop)
    secret, _ = client.enrol_app(client.person()["idToken"])
    used = client.next_code(secret)
    client.answered(client.answer_app(client.sign_in(), used))
    spent, pending = client.sign_in(), client.sign_in()
    code = client.next_code(secret)
    client.answered(client.answer_app(spent, code))
    other = client.person("other@example.org")
    session = client.start_app(other["idToken"])
    client.http.close()
    loop.run(engine.stop())

    engine, port = loop.run(started())
    client = FactorClient(port, loop)
    assert refusal(client.answer_app(pending, code)) == "INVALID_CODE"
    code = client.next_code(secret)
    assert refusal(client.answer_app(spent, code)) == "INVALID_MFA_PENDING_CREDENTIAL"
    client.answered(client.answer_app(pending, code))
    code = client.app_code(session["sharedSecretKey"])
    client.answered(client.finish_app(other["idToken"], session, code))
    client.http.close()
    loop.run(engine.stop())


def test_sdk_verifies_a_sign_in_with_two_factors(
    engine: tuple[Identity, int], client: FactorClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIREBASE_AUTH_EMULATOR_HOST", f"127.0.0.1:{engine[1]}")
    name = f"test-{os.urandom(4).hex()}"
    app = firebase_admin.initialize_app(options={"projectId": PROJECT}, name=name)
    user = auth.create_user(email=EMAIL, password=PASSWORD, email_verified=True, app=app)
    auth.set_custom_user_claims(user.uid, {"role": "doctor"}, app=app)
    secret, _ = client.enrol_app(client.sign_in()["idToken"])
    code = client.next_code(secret)
    tokens = client.answered(client.answer_app(client.sign_in(), code))
    claims = auth.verify_id_token(
        tokens["idToken"], app=app, check_revoked=True, clock_skew_seconds=60
    )
    assert claims["role"] == "doctor"
    assert claims["firebase"]["sign_in_second_factor"] == "totp"
    assert auth.get_user_by_email(EMAIL, app=app).uid == claims["uid"] == user.uid
    auth._get_client(app)._user_manager.http_client.session.close()
    firebase_admin.delete_app(app)
