"""What projects, tenants and administrators settle about second factors; what is durable."""

import os
from collections.abc import Callable
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


def test_a_project_can_switch_second_factors_off(device: FactorClient) -> None:
    person = device.person()
    tokens = device.enrol_phone(person["idToken"])
    device.configure(state="DISABLED")
    assert "idToken" in device.sign_in()
    sms = "OPERATION_NOT_ALLOWED : SMS based MFA not enabled."
    for verb in ("mfaEnrollment:start", "mfaEnrollment:finalize", "mfaSignIn:start"):
        assert refusal(device.factor(verb, idToken=tokens["idToken"])) == sms
    assert refusal(device.factor("mfaSignIn:finalize")) == sms
    answer = device.factor("mfaEnrollment:start", idToken=tokens["idToken"], totpEnrollmentInfo={})
    assert refusal(answer) == "OPERATION_NOT_ALLOWED : TOTP based MFA not enabled."


def test_apps_alone_can_be_allowed_with_a_narrow_window(device: FactorClient) -> None:
    app = {"state": "ENABLED", "totpProviderConfig": {"adjacentIntervals": 0}}
    device.configure(providerConfigs=[app])
    person = device.person()
    answer = device.factor(
        "mfaEnrollment:start",
        idToken=person["idToken"],
        phoneEnrollmentInfo={"phoneNumber": NUMBER},
    )
    assert refusal(answer) == "OPERATION_NOT_ALLOWED : SMS based MFA not enabled."
    secret, _ = device.enrol_app(person["idToken"])
    device.loop.advance(minutes=2)
    for late in (1, -1):
        answer = device.answer_app(device.sign_in(), device.app_code(secret, late))
        assert refusal(answer) == "INVALID_CODE"
    device.answered(device.answer_app(device.sign_in(), device.app_code(secret)))


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
def test_a_wrong_configuration_is_refused(device: FactorClient, mfa: dict[str, Any]) -> None:
    answer = device.http.patch(
        f"/identitytoolkit.googleapis.com/v2/projects/{PROJECT}/config?updateMask=mfa",
        json={"mfa": mfa},
        headers={"Authorization": "Bearer owner"},
    )
    assert answer.status_code == 400
    device.enrol_app(device.person()["idToken"])
    assert "mfaPendingCredential" in device.sign_in()


def test_a_tenants_people_have_factors_by_its_own_configuration(device: FactorClient) -> None:
    made = device.admin(
        "tenants",
        displayName="clinic",
        allowPasswordSignup=True,
        mfaConfig={"state": "ENABLED", "enabledProviders": ["PHONE_SMS"]},
    )
    tenant = made["name"].split("/")[-1]
    person = device.call("signUp", email=EMAIL, password=PASSWORD, tenantId=tenant).json()
    device.admin(
        f"tenants/{tenant}/accounts:update",
        localId=person["localId"],
        emailVerified=True,
    )
    own = {"idToken": person["idToken"], "tenantId": tenant}
    answer = device.factor("mfaEnrollment:start", **own, totpEnrollmentInfo={})
    assert refusal(answer) == "OPERATION_NOT_ALLOWED : TOTP based MFA not enabled."
    start = device.factor("mfaEnrollment:start", **own, phoneEnrollmentInfo={"phoneNumber": NUMBER})
    session = device.answered(start)["phoneSessionInfo"]["sessionInfo"]
    assert device.codes() == []
    info = {"sessionInfo": session, "code": device.code(session, tenant)}
    device.answered(device.factor("mfaEnrollment:finalize", **own, phoneVerificationInfo=info))
    pending = device.sign_in(tenantId=tenant)
    chosen = {
        "mfaPendingCredential": pending["mfaPendingCredential"],
        "mfaEnrollmentId": pending["mfaInfo"][0]["mfaEnrollmentId"],
    }
    answer = device.factor("mfaSignIn:start", **chosen)
    assert refusal(answer) == (
        "INVALID_PROJECT_ID : Project ID does not match MFA pending credential."
    )
    start = device.factor("mfaSignIn:start", **chosen, tenantId=tenant)
    session = device.answered(start)["phoneResponseInfo"]["sessionInfo"]
    text = {"sessionInfo": session, "code": device.code(session, tenant)}
    answer = device.factor(
        "mfaSignIn:finalize",
        mfaPendingCredential=pending["mfaPendingCredential"],
        phoneVerificationInfo=text,
        tenantId=tenant,
    )
    firebase = device.claims(device.answered(answer)["idToken"])["firebase"]
    assert firebase["tenant"] == tenant
    assert firebase["sign_in_second_factor"] == "phone"


def test_an_administrator_enrols_changes_and_removes_factors(device: FactorClient) -> None:
    person = device.person()
    update = {"localId": person["localId"]}
    phone = {"mfaEnrollmentId": "first", "phoneInfo": NUMBER, "displayName": "Work"}
    again = {"mfaEnrollmentId": "second", "phoneInfo": NUMBER}
    other = {"mfaEnrollmentId": "third", "phoneInfo": OTHER}
    device.admin("accounts:update", **update, mfa={"enrollments": [phone, again, other]})
    first, third = device.account(person["localId"])["mfaInfo"]
    assert first | phone == first
    assert third | other == third
    pending = device.sign_in()
    device.answered(device.answer_phone(pending, device.text_of(pending, factor=1)))
    renamed = first | {"displayName": "Private"}
    device.admin("accounts:update", **update, mfa={"enrollments": [renamed]})
    assert device.account(person["localId"])["mfaInfo"] == [renamed]
    device.admin("accounts:update", **update, mfa={})
    assert "mfaInfo" not in device.account(person["localId"])
    assert "idToken" in device.sign_in()


def test_an_administrator_keeps_an_app_by_its_id(device: FactorClient) -> None:
    person = device.person()
    secret, _ = device.enrol_app(person["idToken"])
    (app,) = device.account(person["localId"])["mfaInfo"]
    phone = {"mfaEnrollmentId": "phone", "phoneInfo": NUMBER}
    enrollments = [app | {"displayName": "Kept"}, phone]
    device.admin("accounts:update", localId=person["localId"], mfa={"enrollments": enrollments})
    code = device.next_code(secret)
    pending = device.sign_in()
    assert pending["mfaInfo"][0]["displayName"] == "Kept"
    device.answered(device.answer_app(pending, code))


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
    device: FactorClient, enrollments: list[dict[str, Any]], code: str
) -> None:
    person = device.person(mfaInfo=[{"phoneInfo": NUMBER}])
    before = device.account(person["localId"])
    answer = device.http.post(
        f"/identitytoolkit.googleapis.com/v1/projects/{PROJECT}/accounts:update",
        json={"localId": person["localId"], "mfa": {"enrollments": enrollments}},
        headers={"Authorization": "Bearer owner"},
    )
    assert refusal(answer) == code
    assert device.account(person["localId"]) == before


def test_a_person_cannot_set_factors_or_an_unverified_address(device: FactorClient) -> None:
    token = device.enrol_phone(device.person()["idToken"])["idToken"]
    answer = device.call("update", idToken=token, mfa={})
    assert refusal(answer) == "INSUFFICIENT_PERMISSION"
    mask = "config?updateMask=emailPrivacyConfig.enableImprovedEmailPrivacy"
    off = {"enableImprovedEmailPrivacy": False}
    device.admin(mask, "PATCH", emailPrivacyConfig=off)
    answer = device.call("update", idToken=token, email="new@example.org")
    assert refusal(answer) == "EMAIL_CHANGE_NEEDS_VERIFICATION"


def test_a_new_password_keeps_the_sign_ins_second_factor(device: FactorClient) -> None:
    token = device.enrol_phone(device.person()["idToken"])["idToken"]
    answer = device.answered(device.call("update", idToken=token, password="another horse"))
    assert device.claims(answer["idToken"])["firebase"]["sign_in_second_factor"] == "phone"


def test_factors_and_half_done_steps_survive_a_crash(
    make_loop: Callable[..., Loop], tmp_path: Path
) -> None:
    loop = make_loop(tmp_path / "state")
    loop.ground.clock.freeze()

    async def started() -> tuple[Identity, int]:
        engine = Identity(loop.ground)
        return engine, await engine.start()

    engine, port = loop.run(started())
    device = FactorClient(port, loop)
    secret, _ = device.enrol_app(device.person()["idToken"])
    used = device.next_code(secret)
    device.answered(device.answer_app(device.sign_in(), used))
    spent, pending = device.sign_in(), device.sign_in()
    code = device.next_code(secret)
    device.answered(device.answer_app(spent, code))
    other = device.person("other@example.org")
    session = device.start_app(other["idToken"])
    device.http.close()
    loop.run(engine.stop())

    engine, port = loop.run(started())
    device = FactorClient(port, loop)
    assert refusal(device.answer_app(pending, code)) == "INVALID_CODE"
    code = device.next_code(secret)
    assert refusal(device.answer_app(spent, code)) == "INVALID_MFA_PENDING_CREDENTIAL"
    device.answered(device.answer_app(pending, code))
    code = device.app_code(session["sharedSecretKey"])
    device.answered(device.finish_app(other["idToken"], session, code))
    device.http.close()
    loop.run(engine.stop())


def test_sdk_verifies_a_sign_in_with_two_factors(
    engine: tuple[Identity, int], device: FactorClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIREBASE_AUTH_EMULATOR_HOST", f"127.0.0.1:{engine[1]}")
    name = f"test-{os.urandom(4).hex()}"
    app = firebase_admin.initialize_app(options={"projectId": PROJECT}, name=name)
    user = auth.create_user(email=EMAIL, password=PASSWORD, email_verified=True, app=app)
    auth.set_custom_user_claims(user.uid, {"role": "doctor"}, app=app)
    secret, _ = device.enrol_app(device.sign_in()["idToken"])
    code = device.next_code(secret)
    tokens = device.answered(device.answer_app(device.sign_in(), code))
    claims = auth.verify_id_token(
        tokens["idToken"], app=app, check_revoked=True, clock_skew_seconds=60
    )
    assert claims["role"] == "doctor"
    assert claims["firebase"]["sign_in_second_factor"] == "totp"
    assert auth.get_user_by_email(EMAIL, app=app).uid == claims["uid"] == user.uid
    auth._get_client(app)._user_manager.http_client.session.close()
    firebase_admin.delete_app(app)


def test_factors_are_imported_with_their_accounts(device: FactorClient) -> None:
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
    answer = device.admin("accounts:batchCreate", users=users)
    assert [(error["index"], error["message"]) for error in answer["error"]] == [
        (1, "Second factor account requires email to be verified."),
        (2, "Second factor account requires email to be presented."),
        (3, "Second factor not supported."),
    ]
    (imported,) = device.account("a")["mfaInfo"]
    assert imported | factor == imported
    assert imported["mfaEnrollmentId"]
    device.admin("accounts:update", localId="a", password=PASSWORD)
    pending = device.sign_in("a@example.org")
    device.answered(device.answer_phone(pending, device.text_of(pending)))
