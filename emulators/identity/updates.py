"""`accounts:update`: a person's change of the own account, or an administrator's of any."""

from dataclasses import replace
from typing import Any

from emulators.identity.accounts import (
    Account,
    checked_claims,
    checked_email,
    checked_phone,
    timestamp,
)
from emulators.identity.directory import Directory
from emulators.identity.factors import changed_factors
from emulators.identity.people import active, profile, subject, with_password
from emulators.identity.routing import Call, Route, for_admins, for_people
from emulators.identity.sessions import FirstFactor, second_factor
from emulators.identity.wire import Body, Refused

_RECENT = 300  # seconds since the sign-in within which credentials may be changed
_ADMIN_ONLY = (
    "createdAt",
    "customAttributes",
    "disableUser",
    "emailVerified",
    "lastLoginAt",
    "linkProviderUserInfo",
    "localId",
    "mfa",
    "phoneNumber",
    "validSince",
)


def routes(directory: Directory) -> list[Route]:
    """`accounts:update` for people and administrators."""
    updates = Updates(directory)
    return [
        for_people("update", updates.update),
        *for_admins("/accounts:update", updates.update),
    ]


class Updates:
    """Applies `SetAccountInfoRequest`."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def update(self, call: Call) -> dict[str, Any]:
        """A new password or address revokes earlier sign-ins. A person may change credentials
        within five minutes of signing in, and not what only administrators may set.
        """
        active(call)
        body, silo = call.body, call.silo
        account, provider = subject(self._directory, call)
        second = self._check_person(call, account) if provider else {}
        before = account
        account = self._with_credentials(account, body)
        account = _without(_with_profile(account, body), body)
        if not provider:
            now = int(self._directory.ground.clock.time() * 1000)
            account = _as_administrator(account, body, timestamp(now))
        account = self._directory.save(silo, account)
        answer = {
            "kind": "identitytoolkit#SetAccountInfoResponse",
            "emailVerified": account.email_verified,
            "providerUserInfo": account.provider_infos(),
            **profile(account),
        }
        changed = account.password != before.password or account.email != before.email
        if provider and (changed or body.flag("returnSecureToken")):
            provider = "password" if body.has("password") and account.email else provider
            first = FirstFactor(provider)
            answer |= self._directory.sessions.begin(silo, account, first, second)
        return answer

    def _check_person(self, call: Call, account: Account) -> dict[str, str]:
        """Refuses what this person may not change; answers the second factor of the sign-in."""
        body = call.body
        if any(body.has(name) for name in _ADMIN_ONLY):
            raise Refused("INSUFFICIENT_PERMISSION")
        _, claims = self._directory.account_of(call.silo, body.text("idToken"))
        age = int(self._directory.ground.clock.time()) - int(claims["auth_time"])
        if (body.has("email") or body.has("password")) and age > _RECENT:
            raise Refused("CREDENTIAL_TOO_OLD_LOGIN_AGAIN")
        if account.mfa and body.has("email") and body.text("email").lower() != account.email:
            raise Refused("EMAIL_CHANGE_NEEDS_VERIFICATION")
        return second_factor(claims)

    def _with_credentials(self, account: Account, body: Body) -> Account:
        now = int(self._directory.ground.clock.time())
        if body.has("email"):
            email = checked_email(body.text("email"))
            if email != account.email:
                account = replace(account, email=email, email_verified=False, valid_since=now)
        if body.has("password"):
            account = with_password(self._directory, account, body.text("password"))
        return account


def _with_profile(account: Account, body: Body) -> Account:
    if body.has("displayName"):
        account = replace(account, display_name=body.text("displayName"))
    if body.has("photoUrl"):
        account = replace(account, photo_url=body.text("photoUrl"))
    return account


def _without(account: Account, body: Body) -> Account:
    """The account without the attributes and providers that `body` deletes."""
    attributes, providers = body.texts("deleteAttribute"), body.texts("deleteProvider")
    if "DISPLAY_NAME" in attributes:
        account = replace(account, display_name="")
    if "PHOTO_URL" in attributes:
        account = replace(account, photo_url="")
    if "EMAIL" in attributes or "password" in providers:
        account = replace(account, email="", email_verified=False, email_link=False)
    if "PASSWORD" in attributes or "password" in providers:
        account = replace(account, password=None)
    if "phone" in providers:
        account = replace(account, phone_number="")
    kept = [info for info in account.providers if info["providerId"] not in providers]
    return replace(account, providers=kept)


def _as_administrator(account: Account, body: Body, now: str) -> Account:
    """The fields that only administrators may set."""
    if body.has("mfa"):
        wanted = body.child("mfa").objects("enrollments")
        account = replace(account, mfa=changed_factors(account.mfa or (), wanted, now))
    if body.has("emailVerified"):
        account = replace(account, email_verified=body.flag("emailVerified"))
    if body.has("phoneNumber"):
        account = replace(account, phone_number=checked_phone(body.text("phoneNumber")))
    if body.has("customAttributes"):
        claims = checked_claims(body.text("customAttributes"))
        account = replace(account, custom_attributes=claims)
    if body.has("disableUser"):
        account = replace(account, disabled=body.flag("disableUser"))
    if body.has("validSince"):
        account = replace(account, valid_since=body.whole("validSince"))
    return account
