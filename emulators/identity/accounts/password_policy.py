"""Password policies of projects and tenants, and what clients may know of them.

Source: https://cloud.google.com/identity-platform/docs/password-policy
"""

import re
from typing import Any

from emulators.identity.directory import Directory
from emulators.identity.routing import V2, Call, Route
from emulators.identity.wire import Refused

SHORTEST, LONGEST = 6, 4096
SYMBOLS = "^$*.[]{}()?\"!@#%&/\\,><':;|_~"
"""What counts as non-alphanumeric, as documented."""
_SETS = (
    ("containsLowercaseCharacter", r"[a-z]", "a lower case character"),
    ("containsUppercaseCharacter", r"[A-Z]", "an upper case character"),
    ("containsNumericCharacter", r"[0-9]", "a numeric character"),
    (
        "containsNonAlphanumericCharacter",
        f"[{re.escape(SYMBOLS)}]",
        "a non-alphanumeric character",
    ),
)


def routes(_: Directory) -> list[Route]:
    """`v2/passwordPolicy`, by which client SDKs check a password as it is typed."""
    return [Route("GET", f"{V2}/passwordPolicy", _told)]


def check(policy: dict[str, Any], password: str) -> None:
    """Raises `Refused` for a password that `policy` (a `PasswordPolicyConfig`) does not allow.

    Six characters are the least, whether a policy is enforced or not.
    """
    enforced = policy.get("passwordPolicyEnforcementState") == "ENFORCE"
    if enforced and (missing := _missing(options(policy), password)):
        listed = ", ".join(missing)
        raise Refused(
            f"PASSWORD_DOES_NOT_MEET_REQUIREMENTS : Missing password requirements: [{listed}]"
        )
    if len(password) < SHORTEST:
        raise Refused(f"WEAK_PASSWORD : Password should be at least {SHORTEST} characters")


def options(policy: dict[str, Any]) -> dict[str, Any]:
    """The `CustomStrengthOptions` in force."""
    versions = policy.get("passwordPolicyVersions") or [{}]
    own = versions[0].get("customStrengthOptions") or {}
    return {"minPasswordLength": SHORTEST, "maxPasswordLength": LONGEST} | own


def is_valid(policy: Any) -> bool:
    """Whether a configuration has the shape of a `PasswordPolicyConfig`."""
    if not isinstance(policy, dict):
        return False
    versions = policy.get("passwordPolicyVersions") or []
    if not isinstance(versions, list) or not all(isinstance(each, dict) for each in versions):
        return False
    if not all(isinstance(v.get("customStrengthOptions") or {}, dict) for v in versions):
        return False
    found = options(policy)
    least, most = found["minPasswordLength"], found["maxPasswordLength"]
    if not isinstance(least, int) or not isinstance(most, int):
        return False
    return SHORTEST <= least <= 30 and least <= most <= LONGEST


def _missing(wanted: dict[str, Any], password: str) -> list[str]:
    missing = []
    if len(password) < wanted["minPasswordLength"]:
        missing.append(f"Password must contain at least {wanted['minPasswordLength']} characters")
    if len(password) > wanted["maxPasswordLength"]:
        missing.append(f"Password may contain at most {wanted['maxPasswordLength']} characters")
    for name, pattern, text in _SETS:
        if wanted.get(name) and not re.search(pattern, password):
            missing.append(f"Password must contain {text}")
    return missing


def _told(call: Call) -> dict[str, Any]:
    policy = call.silo.settings.password_policy
    return {
        "customStrengthOptions": options(policy),
        "schemaVersion": 1,
        "allowedNonAlphanumericCharacters": list(SYMBOLS),
        "enforcementState": policy.get("passwordPolicyEnforcementState") or "OFF",
        "forceUpgradeOnSignin": bool(policy.get("forceUpgradeOnSignin")),
    }
