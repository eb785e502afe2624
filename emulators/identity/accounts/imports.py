"""`accounts:batchCreate`: accounts from elsewhere, with the hashes of their passwords.

Source: https://cloud.google.com/identity-platform/docs/reference/rest/v1/projects.accounts/batchCreate
"""

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
from emulators.identity.accounts.passwords import Password, checked_config
from emulators.identity.accounts.people import active, with_password
from emulators.identity.directory import Directory
from emulators.identity.factors.factor import imported_factors
from emulators.identity.routing import Call, Route, for_admins
from emulators.identity.wire import Body, Refused

_MOST = 1000
_FRIENDLIER = {
    "INVALID_CLAIMS": "Invalid custom claims provided.",
    "CLAIMS_TOO_LARGE": "Custom claims provided are too large.",
    "FORBIDDEN_CLAIM": "Custom claims provided include a reserved claim.",
    "INVALID_EMAIL": "email is invalid",
    "EMAIL_EXISTS": "email exists in other account in database",
    "INVALID_PHONE_NUMBER": "phone number format is invalid",
    "PHONE_NUMBER_EXISTS": "phone number exists in other account in database",
    "FEDERATED_USER_ID_ALREADY_LINKED": "raw id exists in other account in database",
}


def routes(directory: Directory) -> list[Route]:
    """`accounts:batchCreate`, per project and per tenant."""
    return for_admins("/accounts:batchCreate", Imports(directory).create)


class Imports:
    """Creates or, with `allowOverwrite`, replaces accounts."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def create(self, call: Call) -> dict[str, Any]:
        """Entries that cannot be taken are reported by their index; the others are kept."""
        active(call)
        users = call.body.objects("users")
        if not users:
            raise Refused("MISSING_USER_ACCOUNT")
        if len(users) > _MOST:
            raise Refused("MAX_USER_COUNT_EXCEEDED")
        config = checked_config(call.body) if any(u.has("passwordHash") for u in users) else {}
        _check_distinct(call, users)
        errors: list[dict[str, Any]] = []
        with self._directory.journal.batch():
            for index, user in enumerate(users):
                try:
                    account = self._account(call, user, config)
                    self._directory.save(call.silo, account)
                except (Refused, ValueError) as error:
                    message = str(error)
                    friendlier = _FRIENDLIER.get(message.partition(" : ")[0], message)
                    errors.append({"index": index, "message": friendlier})
        kind = {"kind": "identitytoolkit#UploadAccountResponse"}
        return kind | {"error": errors} if errors else kind

    def _account(self, call: Call, user: Body, config: dict[str, Any]) -> Account:
        local_id = user.text("localId")
        if not local_id:
            raise ValueError("localId is missing")
        if len(local_id) > 128:
            raise ValueError("localId is too long")
        if user.text("tenantId") not in ("", call.silo.tenant):
            raise ValueError("Tenant id in userInfo does not match the tenant id in request.")
        if call.silo.accounts.by_id(local_id) and not call.body.flag("allowOverwrite"):
            raise ValueError("localId belongs to an existing account - can not overwrite.")
        account = self._directory.new_account(local_id)
        now = timestamp(account.created_at)
        email = checked_email(user.text("email")) if user.text("email") else ""
        verified = user.flag("emailVerified")
        factors = imported_factors(user.objects("mfaInfo"), email, verified, now)
        account = replace(
            account,
            email=email,
            email_verified=verified,
            display_name=user.text("displayName"),
            photo_url=user.text("photoUrl"),
            phone_number=checked_phone(user.text("phoneNumber"))
            if user.text("phoneNumber")
            else "",
            disabled=user.flag("disabled"),
            custom_attributes=checked_claims(user.text("customAttributes") or "{}"),
            created_at=user.whole("createdAt", account.created_at),
            last_login_at=user.whole("lastLoginAt"),
            providers=_providers(user),
            mfa=factors or None,
        )
        return self._with_password(call, account, user, config)

    def _with_password(
        self, call: Call, account: Account, user: Body, config: dict[str, Any]
    ) -> Account:
        if user.has("passwordHash"):
            password = Password.imported(user.text("passwordHash"), user.text("salt"), config)
            return replace(account, password=password, password_updated_at=account.created_at)
        if user.has("rawPassword"):
            return with_password(self._directory, call.silo, account, user.text("rawPassword"))
        return account


def _check_distinct(call: Call, users: list[Body]) -> None:
    """No id, and with `sanityCheck` no address and no linked identity, may come twice."""
    if not call.body.flag("allowOverwrite"):
        _need_distinct("DUPLICATE_LOCAL_ID", [user.text("localId") for user in users])
    if call.body.flag("sanityCheck"):
        if not call.silo.settings.duplicate_emails:
            _need_distinct("DUPLICATE_EMAIL", [user.text("email") for user in users])
        identities = [
            f"Provider id({info.text('providerId')}), Raw id({info.text('rawId')})"
            for user in users
            for info in user.objects("providerUserInfo")
        ]
        _need_distinct("DUPLICATE_RAW_ID", identities)


def _need_distinct(code: str, values: list[str]) -> None:
    seen: set[str] = set()
    for value in filter(None, values):
        if value in seen:
            raise Refused(f"{code} : {value}")
        seen.add(value)


def _providers(user: Body) -> list[dict[str, Any]]:
    """The linked identities; those of password and phone follow from the account itself."""
    infos = []
    for info in user.objects("providerUserInfo"):
        if info.text("providerId") in ("password", "phone"):
            continue
        if not info.text("providerId") or not info.text("rawId"):
            raise ValueError("federatedId or (providerId & rawId) is required")
        infos.append(provider_info(info))
    return infos
