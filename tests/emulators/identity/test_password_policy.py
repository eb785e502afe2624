"""Password policies of projects and tenants."""

from typing import Any

import pytest

from tests.emulators.identity_client import EMAIL, PROJECT, TOOLKIT, IdentityClient, refusal

STRONG = "Correct horse 1!"
STRICT = {
    "minPasswordLength": 12,
    "containsLowercaseCharacter": True,
    "containsUppercaseCharacter": True,
    "containsNumericCharacter": True,
    "containsNonAlphanumericCharacter": True,
}


def enforce(client: IdentityClient, **more: Any) -> None:
    policy = {
        "passwordPolicyEnforcementState": "ENFORCE",
        "passwordPolicyVersions": [{"customStrengthOptions": STRICT}],
        **more,
    }
    path = "config?updateMask=passwordPolicyConfig"
    client.admin(path, "PATCH", passwordPolicyConfig=policy)


def test_a_password_meets_the_policy(client: IdentityClient) -> None:
    enforce(client)
    weak = refusal(client.call("signUp", email=EMAIL, password="correcthorse"))
    assert weak == (
        "PASSWORD_DOES_NOT_MEET_REQUIREMENTS : Missing password requirements: [Password must "
        "contain an upper case character, Password must contain a numeric character, Password "
        "must contain a non-alphanumeric character]"
    )
    assert client.call("signUp", email=EMAIL, password=STRONG).status_code == 200


def test_a_reset_meets_the_policy_and_a_refused_one_leaves_the_link_good(
    client: IdentityClient,
) -> None:
    client.call("signUp", email=EMAIL, password="weak but old")
    enforce(client)
    told = client.admin(
        "accounts:sendOobCode", requestType="PASSWORD_RESET", email=EMAIL, returnOobLink=True
    )
    code = told["oobCode"]
    weak = client.call("resetPassword", oobCode=code, newPassword="weak")
    assert refusal(weak).startswith("PASSWORD_DOES_NOT_MEET_REQUIREMENTS")
    assert client.call("resetPassword", oobCode=code, newPassword=STRONG).status_code == 200


def test_older_passwords_sign_in_unless_an_upgrade_is_forced(client: IdentityClient) -> None:
    body = {"email": EMAIL, "password": "weak but old"}
    client.call("signUp", **body)
    enforce(client)
    assert client.call("signInWithPassword", **body).status_code == 200
    enforce(client, forceUpgradeOnSignin=True)
    answer = client.call("signInWithPassword", **body)
    assert refusal(answer).startswith("PASSWORD_DOES_NOT_MEET_REQUIREMENTS")


def test_clients_learn_the_policy(client: IdentityClient) -> None:
    enforce(client)
    told = client.http.get(f"{TOOLKIT}/v2/passwordPolicy").json()
    assert told["enforcementState"] == "ENFORCE"
    assert told["customStrengthOptions"]["minPasswordLength"] == 12
    assert told["schemaVersion"] == 1


@pytest.mark.parametrize("length", [5, 31, "12"])
def test_a_policy_out_of_bounds_is_refused(client: IdentityClient, length: Any) -> None:
    versions = [{"customStrengthOptions": {"minPasswordLength": length}}]
    answer = client.http.patch(
        f"{TOOLKIT}/v2/projects/{PROJECT}/config?updateMask=passwordPolicyConfig",
        json={"passwordPolicyConfig": {"passwordPolicyVersions": versions}},
        headers={"Authorization": "Bearer owner"},
    )
    assert refusal(answer) == "Invalid value at 'passwordPolicyConfig'"
