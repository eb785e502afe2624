"""`accounts:update`: a person's change of the own account, or an administrator's of any."""

import time
from dataclasses import replace
from typing import Any

from emulators.identity.accounts.account import (
    Account,
    checked_claims,
    checked_email,
    checked_phone,
    provider_info,
    timestamp,
)
from emulators.identity.accounts.people import active, need_recent, profile, subject, with_password
from emulators.identity.directory import Directory
from emulators.identity.email import redeeming
from emulators.identity.email.mailing import mail, make_code
from emulators.identity.factors.factor import changed_factors
from emulators.identity.routing import Call, Route, for_admins, for_people
from emulators.identity.silo import Silo
from emulators.identity.tokens.sessions import FirstFactor, second_factor
from emulators.identity.wire import Body, Refused

_SYSTEM_SKEW = 5  # seconds within which an instant is taken for the system's present
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
        within five minutes of signing in, and not what only administrators may set; with e-mail
        enumeration protection the address changes by VERIFY_AND_CHANGE_EMAIL alone. `validSince`
        revokes earlier sign-ins, of a person always as of now.
        """
        active(call)
        body, silo = call.body, call.silo
        if body.has("oobCode"):
            return self._by_code(call)
        account, provider = subject(self._directory, call)
        second = self._check_person(call, account) if provider else {}
        before = account
        account = self._with_credentials(silo, account, body)
        account = _without(_with_profile(account, body), body)
        if not provider:
            account = _as_administrator(account, body, timestamp(int(self._now() * 1000)))
            if body.has("validSince"):
                since = self._virtual(body.whole("validSince"))
                account = replace(account, valid_since=since)
        if account.email != before.email and before.email and not before.initial_email:
            account = replace(account, initial_email=before.email)
        changed = body.has("password") or (body.has("email") and account.email != before.email)
        changed |= body.has("validSince") and account.valid_since >= int(self._now())
        with self._directory.journal.batch():
            account = self._directory.save(silo, account)
            if changed:
                self._directory.sessions.revoke(silo, account.local_id)
        answer = _answer(account)
        if account.email and before.email not in ("", account.email):
            self._warn(call, account)
            answer["newEmail"] = account.email
        if provider and (changed or body.flag("returnSecureToken")):
            provider = "password" if body.has("password") and account.email else provider
            first = FirstFactor(provider)
            answer |= self._directory.sessions.begin(silo, account, first, second)
        return answer

    def _now(self) -> float:
        return self._directory.ground.clock.time()

    def _virtual(self, since: int) -> int:
        """The instant an administrator means. Official SDKs say "now" by the system's clock; where
        the virtual clock is elsewhere, that would revoke later sign-ins, or not enough.
        """
        return int(self._now()) if abs(since - time.time()) < _SYSTEM_SKEW else since

    def _by_code(self, call: Call) -> dict[str, Any]:
        """Apply the code of an e-mail; who reads it needs no other proof."""
        account, code = redeeming.apply(self._directory, call.silo, call.body.text("oobCode"))
        new = {"newEmail": code.new_email} if code.new_email else {}
        if new:
            self._warn(call, account)
        return _answer(account) | new

    def _warn(self, call: Call, account: Account) -> None:
        """Tell the first address an account had of the change, with a link that undoes it."""
        if account.initial_email and account.initial_email != account.email:
            code = make_code(self._directory, call, "RECOVER_EMAIL", account.initial_email)
            mail(self._directory, call.silo, code)

    def _check_person(self, call: Call, account: Account) -> dict[str, str]:
        """Refuses what this person may not change; answers the second factor of the sign-in."""
        body = call.body
        if any(body.has(name) for name in _ADMIN_ONLY):
            raise Refused("INSUFFICIENT_PERMISSION")
        _, claims = self._directory.account_of(call.silo, body.text("idToken"))
        new_email = body.has("email") and body.text("email").lower() != account.email
        if new_email and call.silo.settings.email_privacy:
            raise Refused(
                "OPERATION_NOT_ALLOWED : Please verify the new email before changing email."
            )
        if new_email or body.has("password"):
            need_recent(self._directory, claims)
        if account.mfa and new_email:
            raise Refused("EMAIL_CHANGE_NEEDS_VERIFICATION")
        return second_factor(claims)

    def _with_credentials(self, silo: Silo, account: Account, body: Body) -> Account:
        now = int(self._now())
        if body.has("email"):
            email = checked_email(body.text("email"))
            if email != account.email:
                account = replace(account, email=email, email_verified=False, valid_since=now)
        if body.has("password"):
            account = with_password(self._directory, silo, account, body.text("password"))
        return replace(account, valid_since=now) if body.has("validSince") else account


def _answer(account: Account) -> dict[str, Any]:
    return {
        "kind": "identitytoolkit#SetAccountInfoResponse",
        "emailVerified": account.email_verified,
        "providerUserInfo": account.provider_infos(),
        **profile(account),
    }


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
    if body.has("linkProviderUserInfo"):
        account = _linked(account, body.child("linkProviderUserInfo"))
    if body.has("createdAt"):
        account = replace(account, created_at=body.whole("createdAt"))
    if body.has("lastLoginAt"):
        account = replace(account, last_login_at=body.whole("lastLoginAt"))
    if body.has("emailVerified"):
        account = replace(account, email_verified=body.flag("emailVerified"))
    if body.has("phoneNumber"):
        account = replace(account, phone_number=checked_phone(body.text("phoneNumber")))
    if body.has("customAttributes"):
        claims = checked_claims(body.text("customAttributes"))
        account = replace(account, custom_attributes=claims)
    if body.has("disableUser"):
        account = replace(account, disabled=body.flag("disableUser"))
    return account


def _linked(account: Account, info: Body) -> Account:
    """The account with a person of an identity provider, in place of another of that provider."""
    provider = info.required("providerId", "MISSING_PROVIDER_ID")
    info.required("rawId", "MISSING_RAW_ID")
    kept = [other for other in account.providers if other["providerId"] != provider]
    return replace(account, providers=[*kept, provider_info(info)])
