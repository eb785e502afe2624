"""What projects, tenants and administrators settle about second factors; what is durable."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import firebase_admin
import pytest
from firebase_admin import auth

from emulators.identity import Identity
from tests.emulators.conftest import Loop
from tests.emulators.identity_client import (
    EMAIL,
    NUMBER,
    OTHER,
    PASSWORD,
    PROJECT,
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
            [{"mfaEnrollmentId": "a", "phoneInfo": NUMBER, "enrolledAt": "yesterday"}],
            "Invalid value at 'enrolled_at'",
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


def test_factors_are_imported_with_their_accounts(client: FactorClient) -> None:
    factor = {"phoneInfo": NUMBER, "enrolledAt": "2020-04-05T06:07:28.990Z", "displayName": "Old"}
    users = [
        {"localId": "a", "email": "a@example.org", "emailVerified": True, "mfaInfo": [factor]},
        {"localId": "b", "email": "b@example.org", "mfaInfo": [factor]},
        {"localId": "c", "emailVerified": True, "mfaInfo": [factor]},
        {
            "localId": "d",
            "email": "d@example.org",
            "emailVerified": True,
            "mfaInfo": [{"totpInfo": {}}],
        },
    ]
    answer = client.admin("accounts:batchCreate", users=users)
    assert [(error["index"], error["message"]) for error in answer["error"]] == [
        (1, "Second factor account requires email to be verified."),
        (2, "Second factor account requires email to be presented."),
        (3, "Second factor not supported."),
    ]
    (imported,) = client.account("a")["mfaInfo"]
    assert imported | factor == imported
    assert imported["mfaEnrollmentId"]
    client.admin("accounts:update", localId="a", password=PASSWORD)
    pending = client.sign_in("a@example.org")
    client.answered(client.answer_phone(pending, client.text_of(pending)))
