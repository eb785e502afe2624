"""The accounts of one silo, in memory and in the journal."""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from emulators.identity.accounts.passwords import Password
from emulators.identity.factors.factor import Factor, is_phone
from emulators.identity.wire import Body, Refused
from emulators.journal import Journal

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)*\.?")
_LONGEST_CLAIMS = 1000  # characters, a documented limit of custom claims
RESERVED_CLAIMS = frozenset(
    {
        *("acr", "amr", "at_hash", "aud", "auth_time", "azp", "cnf", "c_hash", "exp"),
        *("firebase", "iat", "iss", "jti", "nbf", "nonce", "sub"),
    }
)
"""Claim names that custom claims may not take (Firebase, "Control access with custom claims")."""


@dataclass(frozen=True)
class Account:
    """One person. Instants are virtual: `created_at`, `last_login_at`, `last_refresh_at` and
    `password_updated_at` in milliseconds since the epoch, `valid_since` in seconds (tokens whose
    sign-in is older are revoked). `providers` are the linked identity providers
    (`ProviderUserInfo`), `mfa` the enrolled second factors (None: there never were any, or an
    administrator removed them; Google's answers differ from those of a person without any left).
    """

    local_id: str
    created_at: int
    valid_since: int
    email: str = ""
    email_verified: bool = False
    initial_email: str = ""
    email_link: bool = False
    display_name: str = ""
    screen_name: str = ""
    photo_url: str = ""
    phone_number: str = ""
    disabled: bool = False
    custom_attributes: str = ""
    custom_auth: bool = False
    last_login_at: int = 0
    last_refresh_at: int = 0
    password: Password | None = None
    password_updated_at: int = 0
    providers: list[dict[str, Any]] = field(default_factory=list)
    mfa: list[Factor] | None = None

    def claims(self) -> dict[str, Any]:
        """The custom claims, to be flattened into ID tokens."""
        claims: dict[str, Any] = json.loads(self.custom_attributes or "{}")
        return claims

    def described(self, tenant: str = "") -> dict[str, Any]:
        """`UserInfo` of the REST reference; empty fields are left out as the API does.

        The password's hash is not in it.
        """
        fields = {
            "localId": self.local_id,
            "email": self.email,
            "initialEmail": self.initial_email,
            "emailLinkSignin": self.email_link,
            "displayName": self.display_name,
            "screenName": self.screen_name,
            "photoUrl": self.photo_url,
            "phoneNumber": self.phone_number,
            "disabled": self.disabled,
            "customAttributes": self.custom_attributes,
            "customAuth": self.custom_auth,
            "validSince": str(self.valid_since),
            "createdAt": str(self.created_at),
            "lastLoginAt": str(self.last_login_at) if self.last_login_at else "",
            "lastRefreshAt": timestamp(self.last_refresh_at) if self.last_refresh_at else "",
            "passwordUpdatedAt": self.password_updated_at,
            "providerUserInfo": self.provider_infos(),
            "tenantId": tenant,
        }
        shown = {name: value for name, value in fields.items() if value}
        if self.email:
            shown["emailVerified"] = self.email_verified
        if self.mfa is not None:
            shown["mfaInfo"] = [factor.described() for factor in self.mfa]
        return shown

    def exported(self, tenant: str = "") -> dict[str, Any]:
        """What administrators are shown: the password's hash and salt as well."""
        hashed = self.password.exported() if self.password else {}
        return self.described(tenant) | hashed

    def provider_infos(self) -> list[dict[str, Any]]:
        """`ProviderUserInfo` of every way to sign in that the account has."""
        infos = [dict(info) for info in self.providers]
        if self.email and (self.password or self.email_link):
            provider = {
                "providerId": "password",
                "federatedId": self.email,
                "email": self.email,
                "rawId": self.email,
                "displayName": self.display_name,
                "photoUrl": self.photo_url,
            }
            infos.append({name: value for name, value in provider.items() if value})
        if self.phone_number:
            number = self.phone_number
            infos.append({"providerId": "phone", "rawId": number, "phoneNumber": number})
        return infos

    @classmethod
    def kept(cls, value: bytes) -> "Account":
        fields = json.loads(value)
        if fields.get("password"):
            fields["password"] = Password(**fields["password"])
        if fields.get("mfa"):
            fields["mfa"] = [Factor(**factor) for factor in fields["mfa"]]
        return cls(**fields)


_PROVIDER_FIELDS = (
    "providerId",
    "rawId",
    "federatedId",
    "email",
    "displayName",
    "photoUrl",
    "screenName",
)


def provider_info(info: Body) -> dict[str, Any]:
    """The fields of a linked identity (`ProviderUserInfo`) that are kept of a request."""
    fields = {name: info.text(name) for name in _PROVIDER_FIELDS}
    fields["federatedId"] = fields["federatedId"] or fields["rawId"]
    return {name: value for name, value in fields.items() if value}


def timestamp(milliseconds: int) -> str:
    """An instant as the API writes timestamps (RFC 3339, UTC)."""
    instant = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def checked_email(email: str) -> str:
    """The address in lower case, as the API keeps it; raises `Refused` when it is none."""
    if not _EMAIL.fullmatch(email) or len(email) > 256:
        raise Refused("INVALID_EMAIL")
    return email.lower()


def checked_phone(number: str) -> str:
    if not is_phone(number):
        raise Refused("INVALID_PHONE_NUMBER : Invalid format.")
    return number


def checked_claims(text: str) -> str:
    """Custom claims as JSON text; raises `Refused` when too long, no object, or reserved."""
    if len(text) > _LONGEST_CLAIMS:
        raise Refused("CLAIMS_TOO_LARGE")
    try:
        claims = json.loads(text)
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise Refused("INVALID_CLAIMS")
    for name in sorted(RESERVED_CLAIMS & claims.keys()):
        raise Refused(f"FORBIDDEN_CLAIM : {name}")
    return text if claims else ""


class Accounts:
    """The accounts by id, e-mail, phone number and provider; a change is durable when `save`
    returns. An address belongs to one account at most, and so does a provider's person.
    """

    def __init__(self, journal: Journal, prefix: str) -> None:
        self._journal = journal
        self._prefix = prefix
        self._by_id: dict[str, Account] = {}
        self._by_email: dict[str, str] = {}
        self._by_phone: dict[str, str] = {}
        self._by_provider: dict[tuple[str, str], str] = {}
        for _, value in journal.items(prefix):
            self._index(Account.kept(value))

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Account]:
        """All accounts in the order of their ids."""
        return iter(sorted(self._by_id.values(), key=lambda account: account.local_id))

    def by_id(self, local_id: str) -> Account | None:
        return self._by_id.get(local_id)

    def by_email(self, email: str) -> Account | None:
        return self._by_id.get(self._by_email.get(email.lower(), ""))

    def by_phone(self, number: str) -> Account | None:
        return self._by_id.get(self._by_phone.get(number, ""))

    def by_provider(self, provider_id: str, raw_id: str) -> Account | None:
        return self._by_id.get(self._by_provider.get((provider_id, raw_id), ""))

    def by_provider_email(self, email: str) -> Account | None:
        """An account with a linked identity that has this address."""
        for account in self._by_id.values():
            if any(info.get("email") == email for info in account.providers):
                return account
        return None

    def by_initial_email(self, email: str) -> Account | None:
        """The account that had this address before the first change of it."""
        return next((a for a in self._by_id.values() if a.initial_email == email), None)

    def check(self, account: Account) -> None:
        """Raises `Refused` if another account has the address, the number or a linked identity."""
        own = account.local_id
        if self._by_email.get(account.email, own) != own:
            raise Refused("EMAIL_EXISTS")
        if self._by_phone.get(account.phone_number, own) != own:
            raise Refused("PHONE_NUMBER_EXISTS")
        for key in _identities(account):
            if self._by_provider.get(key, own) != own:
                raise Refused("FEDERATED_USER_ID_ALREADY_LINKED")

    def save(self, account: Account) -> Account:
        """Keep the account, new or changed; raises as `check` does."""
        self.check(account)
        key = f"{self._prefix}{account.local_id}"
        self._journal.put(key, json.dumps(asdict(account)).encode())
        self._forget(account.local_id)
        self._index(account)
        return account

    def delete(self, local_id: str) -> None:
        self._journal.delete(f"{self._prefix}{local_id}")
        self._forget(local_id)

    def _index(self, account: Account) -> None:
        self._by_id[account.local_id] = account
        if account.email:
            self._by_email[account.email] = account.local_id
        if account.phone_number:
            self._by_phone[account.phone_number] = account.local_id
        for key in _identities(account):
            self._by_provider[key] = account.local_id

    def _forget(self, local_id: str) -> None:
        account = self._by_id.pop(local_id, None)
        if account is not None:
            self._by_email.pop(account.email, None)
            self._by_phone.pop(account.phone_number, None)
            for key in _identities(account):
                self._by_provider.pop(key, None)


def _identities(account: Account) -> list[tuple[str, str]]:
    return [(info["providerId"], info["rawId"]) for info in account.providers]
