"""Links by e-mail: resetting a password, verifying and changing an address, signing in.

Source: https://firebase.google.com/docs/reference/rest/auth and
https://cloud.google.com/identity-platform/docs/reference/rest
"""

from tests.emulators.identity_client import EMAIL, OTHER_EMAIL, IdentityClient, claims_in, refusal


def test_a_reset_code_sets_the_password_once(identity: IdentityClient) -> None:
    identity.sign_up()
    code = identity.code_for("PASSWORD_RESET", email=EMAIL)
    assert identity.call("resetPassword", oobCode=code).json()["requestType"] == "PASSWORD_RESET"
    done = identity.call("resetPassword", oobCode=code, newPassword="another horse")
    assert done.json()["email"] == EMAIL
    again = identity.call("resetPassword", oobCode=code, newPassword="another horse")
    assert refusal(again) == "INVALID_OOB_CODE"
    signed = identity.call("signInWithPassword", email=EMAIL, password="another horse")
    assert claims_in(signed.json()["idToken"])["email_verified"] is True


def test_a_verification_code_verifies_the_address(identity: IdentityClient) -> None:
    signed = identity.sign_up()
    code = identity.code_for("VERIFY_EMAIL", email=EMAIL)
    assert identity.call("update", oobCode=code).json()["emailVerified"] is True
    assert identity.account(signed["localId"])["emailVerified"] is True


def test_a_new_address_counts_when_its_code_comes_back(identity: IdentityClient) -> None:
    signed = identity.sign_up()
    code = identity.code_for("VERIFY_AND_CHANGE_EMAIL", email=EMAIL, newEmail=OTHER_EMAIL)
    assert identity.account(signed["localId"])["email"] == EMAIL
    assert identity.call("update", oobCode=code).json()["newEmail"] == OTHER_EMAIL
    account = identity.account(signed["localId"])
    assert (account["email"], account["emailVerified"]) == (OTHER_EMAIL, True)


def test_an_email_link_signs_in(identity: IdentityClient) -> None:
    code = identity.code_for("EMAIL_SIGNIN", email=EMAIL)
    other = identity.call("signInWithEmailLink", email=OTHER_EMAIL, oobCode=code)
    assert refusal(other).startswith("INVALID_EMAIL")
    signed = identity.call("signInWithEmailLink", email=EMAIL, oobCode=code).json()
    assert (signed["isNewUser"], signed["email"]) == (True, EMAIL)
    again = identity.call("signInWithEmailLink", email=EMAIL, oobCode=code)
    assert refusal(again) == "INVALID_OOB_CODE"


def test_nobody_learns_from_a_reset_whether_an_address_is_known(identity: IdentityClient) -> None:
    answer = identity.call("sendOobCode", requestType="PASSWORD_RESET", email=OTHER_EMAIL)
    assert answer.json()["email"] == OTHER_EMAIL


def test_only_administrators_get_links(identity: IdentityClient) -> None:
    body = {"requestType": "PASSWORD_RESET", "email": EMAIL, "returnOobLink": True}
    assert refusal(identity.call("sendOobCode", **body)) == "INSUFFICIENT_PERMISSION"
