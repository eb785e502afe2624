"""Links by e-mail: verifying and changing an address, resetting a password, signing in."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from emulators.identity import Identity
from tests.emulators.conftest import Loop
from tests.emulators.identity_client import (
    EMAIL,
    PASSWORD,
    PROJECT,
    TOOLKIT,
    IdentityClient,
    refusal,
)


def sign_up(client: IdentityClient) -> dict[str, Any]:
    signed: dict[str, Any] = client.call("signUp", email=EMAIL, password=PASSWORD).json()
    return signed


def link(client: IdentityClient, request: str, **body: Any) -> dict[str, str]:
    """What an administrator gets in place of an e-mail."""
    answer: dict[str, str] = client.admin(
        "accounts:sendOobCode", requestType=request, returnOobLink=True, **body
    )
    return answer


def follow(client: IdentityClient, address: str, **headers: str) -> httpx.Response:
    parts = urlsplit(address)
    return client.http.get(f"{parts.path}?{parts.query}", headers=headers)


def test_a_mail_lies_in_the_inbox_and_its_link_verifies_the_address(
    client: IdentityClient, engine: tuple[Identity, int]
) -> None:
    person = sign_up(client)
    sent = client.call("sendOobCode", requestType="VERIFY_EMAIL", idToken=person["idToken"])
    assert sent.json()["email"] == EMAIL
    (mail,) = engine[0].describe()["inbox"]
    assert (mail["kind"], mail["to"]) == ("email", EMAIL)
    answer = follow(client, mail["body"]["oobLink"])
    assert answer.json()["authEmulator"]["email"] == EMAIL
    assert client.account(person["localId"])["emailVerified"] is True


def test_codes_are_listed_as_the_official_emulator_lists_them(client: IdentityClient) -> None:
    sign_up(client)
    client.call("sendOobCode", requestType="PASSWORD_RESET", email=EMAIL)
    (code,) = client.http.get(f"/emulator/v1/projects/{PROJECT}/oobCodes").json()["oobCodes"]
    assert code["requestType"] == "PASSWORD_RESET"
    query = parse_qs(urlsplit(code["oobLink"]).query)
    assert query["mode"] == ["resetPassword"]
    assert query["oobCode"] == [code["oobCode"]]


def test_a_code_is_good_once(client: IdentityClient) -> None:
    sign_up(client)
    code = link(client, "VERIFY_EMAIL", email=EMAIL)["oobCode"]
    assert client.call("update", oobCode=code).json()["emailVerified"] is True
    assert refusal(client.call("update", oobCode=code)) == "INVALID_OOB_CODE"


@pytest.mark.parametrize(
    ("request_type", "hours"), [("PASSWORD_RESET", 1), ("EMAIL_SIGNIN", 6), ("VERIFY_EMAIL", 72)]
)
def test_a_code_expires_in_virtual_time(
    client: IdentityClient, loop: Loop, request_type: str, hours: int
) -> None:
    loop.ground.clock.freeze()
    sign_up(client)
    code = link(client, request_type, email=EMAIL)["oobCode"]
    loop.advance(hours=hours, seconds=-1)
    assert client.call("resetPassword", oobCode=code).json()["requestType"] == request_type
    loop.advance(seconds=1)
    assert refusal(client.call("resetPassword", oobCode=code)) == "EXPIRED_OOB_CODE"


def test_a_reset_sets_the_password_and_verifies_the_address(
    client: IdentityClient, loop: Loop
) -> None:
    person = sign_up(client)
    code = link(client, "PASSWORD_RESET", email=EMAIL)["oobCode"]
    loop.advance(seconds=2)
    weak = client.call("resetPassword", oobCode=code, newPassword="short")
    assert refusal(weak).startswith("WEAK_PASSWORD")
    done = client.call("resetPassword", oobCode=code, newPassword="another horse").json()
    assert (done["email"], done["requestType"]) == (EMAIL, "PASSWORD_RESET")
    signed = client.call("signInWithPassword", email=EMAIL, password="another horse")
    assert client.claims(signed.json()["idToken"])["email_verified"] is True
    assert refusal(client.refresh(person["refreshToken"])) == "TOKEN_EXPIRED"


def test_a_disabled_account_cannot_reset_its_password(client: IdentityClient) -> None:
    person = sign_up(client)
    code = link(client, "PASSWORD_RESET", email=EMAIL)["oobCode"]
    client.admin("accounts:update", localId=person["localId"], disableUser=True)
    answer = client.call("resetPassword", oobCode=code, newPassword="another horse")
    assert refusal(answer) == "USER_DISABLED"


def test_a_code_of_one_kind_does_nothing_else(client: IdentityClient) -> None:
    sign_up(client)
    code = link(client, "VERIFY_EMAIL", email=EMAIL)["oobCode"]
    reset = client.call("resetPassword", oobCode=code, newPassword="another horse")
    assert refusal(reset) == "INVALID_OOB_CODE"
    signed = client.call("signInWithEmailLink", oobCode=code, email=EMAIL)
    assert refusal(signed) == "INVALID_OOB_CODE"
    reset_code = link(client, "PASSWORD_RESET", email=EMAIL)["oobCode"]
    assert refusal(client.call("update", oobCode=reset_code)) == "INVALID_OOB_CODE"


def test_nobody_learns_from_a_reset_whether_an_address_is_known(
    client: IdentityClient, engine: tuple[Identity, int]
) -> None:
    answer = client.call("sendOobCode", requestType="PASSWORD_RESET", email="nobody@example.org")
    assert answer.json()["email"] == "nobody@example.org"
    assert engine[0].describe()["inbox"] == []
    client.admin("config?updateMask=emailPrivacyConfig", "PATCH", emailPrivacyConfig={})
    told = client.call("sendOobCode", requestType="PASSWORD_RESET", email="nobody@example.org")
    assert refusal(told) == "EMAIL_NOT_FOUND"


def test_an_email_link_signs_up_and_then_in(client: IdentityClient) -> None:
    answers = []
    for _ in range(2):
        code = link(client, "EMAIL_SIGNIN", email=EMAIL)["oobCode"]
        answers.append(client.call("signInWithEmailLink", email=EMAIL, oobCode=code).json())
    assert [answer["isNewUser"] for answer in answers] == [True, False]
    assert answers[0]["localId"] == answers[1]["localId"]
    claims = client.claims(answers[0]["idToken"])
    assert claims["email_verified"] is True
    assert claims["firebase"]["sign_in_provider"] == "password"


def test_a_sign_in_code_does_not_tell_whose_it_is(client: IdentityClient) -> None:
    code = link(client, "EMAIL_SIGNIN", email=EMAIL)["oobCode"]
    assert "email" not in client.call("resetPassword", oobCode=code).json()
    other = client.call("signInWithEmailLink", email="eve@example.org", oobCode=code)
    assert refusal(other).startswith("INVALID_EMAIL")
    assert client.call("signInWithEmailLink", email=EMAIL, oobCode=code).status_code == 200


def test_an_address_changes_by_the_link_sent_to_the_new_one(
    client: IdentityClient, engine: tuple[Identity, int], loop: Loop
) -> None:
    person = sign_up(client)
    loop.advance(seconds=2)
    client.call(
        "sendOobCode",
        requestType="VERIFY_AND_CHANGE_EMAIL",
        idToken=person["idToken"],
        newEmail="new@example.org",
    )
    (mail,) = engine[0].describe()["inbox"]
    assert mail["to"] == "new@example.org"
    follow(client, mail["body"]["oobLink"])
    account = client.account(person["localId"])
    assert (account["email"], account["emailVerified"]) == ("new@example.org", True)
    assert refusal(client.refresh(person["refreshToken"])) == "TOKEN_EXPIRED"


def test_an_address_is_not_changed_directly_under_enumeration_protection(
    client: IdentityClient,
) -> None:
    person = sign_up(client)
    answer = client.call("update", idToken=person["idToken"], email="new@example.org")
    assert refusal(answer).startswith("OPERATION_NOT_ALLOWED")


def test_who_had_the_address_first_can_undo_a_change(
    client: IdentityClient, engine: tuple[Identity, int]
) -> None:
    client.admin("config?updateMask=emailPrivacyConfig", "PATCH", emailPrivacyConfig={})
    person = sign_up(client)
    client.call("update", idToken=person["idToken"], email="new@example.org")
    (mail,) = engine[0].describe()["inbox"]
    assert (mail["to"], mail["body"]["requestType"]) == (EMAIL, "RECOVER_EMAIL")
    follow(client, mail["body"]["oobLink"])
    assert client.account(person["localId"])["email"] == EMAIL


def test_a_link_leads_on_to_the_application(client: IdentityClient) -> None:
    sign_up(client)
    told = link(client, "VERIFY_EMAIL", email=EMAIL, continueUrl="http://localhost/done?a=1")
    answer = follow(client, told["oobLink"])
    assert (answer.status_code, answer.headers["location"]) == (303, "http://localhost/done?a=1")
    told = link(client, "EMAIL_SIGNIN", email=EMAIL, continueUrl="http://localhost/in?a=1")
    location = follow(client, told["oobLink"]).headers["location"]
    query = parse_qs(urlsplit(location).query)
    assert query["a"] == ["1"]
    assert (query["mode"], query["oobCode"]) == (["signIn"], [told["oobCode"]])


def test_a_browser_is_asked_for_the_new_password(client: IdentityClient) -> None:
    sign_up(client)
    address = link(client, "PASSWORD_RESET", email=EMAIL)["oobLink"]
    page = follow(client, address, Accept="text/html")
    assert page.headers["content-type"].startswith("text/html")
    assert '<input type="password" name="newPassword"' in page.text
    done = follow(client, f"{address}&newPassword=another+horse", Accept="text/html")
    assert "successfully" in done.text
    signed = client.call("signInWithPassword", email=EMAIL, password="another horse")
    assert signed.status_code == 200


def test_a_used_link_says_so(client: IdentityClient) -> None:
    sign_up(client)
    address = link(client, "VERIFY_EMAIL", email=EMAIL)["oobLink"]
    follow(client, address)
    again = follow(client, address)
    assert again.status_code == 400
    assert again.json()["authEmulator"]["code"] == "INVALID_OOB_CODE"


def test_markup_in_a_link_is_not_run(client: IdentityClient) -> None:
    sign_up(client)
    told = link(client, "PASSWORD_RESET", email=EMAIL)
    evil = f"{told['oobLink']}&lang=%22%3E%3Cscript%3E"
    assert "<script>" not in follow(client, evil, Accept="text/html").text


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "MISSING_REQ_TYPE"),
        ({"requestType": "PASSWORD_RESET"}, "MISSING_EMAIL"),
        ({"requestType": "PASSWORD_RESET", "email": "nonsense"}, "INVALID_EMAIL"),
        ({"requestType": "VERIFY_EMAIL"}, "INVALID_ID_TOKEN"),
        ({"requestType": "VERIFY_AND_CHANGE_EMAIL"}, "MISSING_NEW_EMAIL"),
        (
            {"requestType": "EMAIL_SIGNIN", "email": EMAIL, "continueUrl": "here"},
            "INVALID_CONTINUE_URI",
        ),
        (
            {"requestType": "EMAIL_SIGNIN", "email": EMAIL, "returnOobLink": True},
            "INSUFFICIENT_PERMISSION",
        ),
    ],
)
def test_a_bad_request_for_a_link_is_refused(
    client: IdentityClient, body: dict[str, Any], code: str
) -> None:
    assert refusal(client.call("sendOobCode", **body)) == code


def test_links_lead_only_to_domains_the_project_authorized(client: IdentityClient) -> None:
    domains = ["clinic.example"]
    client.admin("config?updateMask=authorizedDomains", "PATCH", authorizedDomains=domains)
    body = {"requestType": "EMAIL_SIGNIN", "email": EMAIL}
    own = client.call("sendOobCode", **body, continueUrl="https://app.clinic.example/in")
    assert own.status_code == 200
    foreign = client.call("sendOobCode", **body, continueUrl="https://evil.example/in")
    assert refusal(foreign) == "UNAUTHORIZED_DOMAIN : DOMAIN_NOT_WHITELISTED"


def test_a_password_is_changed_by_the_old_one(client: IdentityClient) -> None:
    sign_up(client)
    body = {"email": EMAIL, "newPassword": "another horse"}
    wrong = client.call("resetPassword", **body, oldPassword="wrong horse")
    assert refusal(wrong) == "INVALID_LOGIN_CREDENTIALS"
    assert client.call("resetPassword", **body, oldPassword=PASSWORD).status_code == 200


def test_codes_outlast_the_change_of_nothing_but_their_address(client: IdentityClient) -> None:
    person = sign_up(client)
    code = link(client, "PASSWORD_RESET", email=EMAIL)["oobCode"]
    client.admin("accounts:update", localId=person["localId"], email="new@example.org")
    answer = client.call("resetPassword", oobCode=code, newPassword="another horse")
    assert refusal(answer) == "INVALID_OOB_CODE"


def test_numbers_of_enumerations_are_understood(client: IdentityClient) -> None:
    sign_up(client)
    answer = client.http.post(
        f"{TOOLKIT}/v1/accounts:sendOobCode", json={"requestType": 1, "email": EMAIL}
    )
    assert answer.json()["email"] == EMAIL
