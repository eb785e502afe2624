"""The accounts of one Identity Platform project, in memory and in the journal."""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from emulators.identity.wire import Refused
from emulators.journal import Journal

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_PHONE = re.compile(r"\+[1-9]\d{4,14}")
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
    """One person. Instants are virtual: `created_at` and `last_login_at` in milliseconds since the
    epoch, `valid_since` in seconds (tokens whose sign-in is older are revoked).
    """

    local_id: str
    created_at: int
    valid_since: int
    email: str = ""
    email_verified: bool = False
    display_name: str = ""
    photo_url: str = ""
    phone_number: str = ""
    disabled: bool = False
    custom_attributes: str = ""
    custom_auth: bool = False
    last_login_at: int = 0
    salt: str = ""
    password_hash: str = ""

    def claims(self) -> dict[str, Any]:
        """The custom claims, to be flattened into ID tokens."""
        claims: dict[str, Any] = json.loads(self.custom_attributes or "{}")
        return claims

    def with_password(self, password: str) -> "Account":
        """Raises `Refused` for a password shorter than the six characters the API demands."""
        if len(password) < 6:
            raise Refused("WEAK_PASSWORD : Password should be at least 6 characters")
        salt = secrets.token_hex(8)
        return replace(self, salt=salt, password_hash=_hash(password, salt))

    def has_password(self, password: str) -> bool:
        return bool(self.password_hash) and hmac.compare_digest(
            self.password_hash, _hash(password, self.salt)
        )

    def described(self) -> dict[str, Any]:
        """`UserInfo` of the REST reference; empty fields are left out as the API does."""
        fields = {
            "localId": self.local_id,
            "email": self.email,
            "displayName": self.display_name,
            "photoUrl": self.photo_url,
            "phoneNumber": self.phone_number,
            "disabled": self.disabled,
            "customAttributes": self.custom_attributes,
            "customAuth": self.custom_auth,
            "validSince": str(self.valid_since),
            "createdAt": str(self.created_at),
            "lastLoginAt": str(self.last_login_at) if self.last_login_at else "",
            "providerUserInfo": self._providers(),
        }
        shown = {name: value for name, value in fields.items() if value}
        if self.email:
            shown["emailVerified"] = self.email_verified
        return shown

    def _providers(self) -> list[dict[str, str]]:
        providers = []
        if self.password_hash:
            provider = {
                "providerId": "password",
                "federatedId": self.email,
                "email": self.email,
                "rawId": self.email,
                "displayName": self.display_name,
                "photoUrl": self.photo_url,
            }
            providers.append({name: value for name, value in provider.items() if value})
        if self.phone_number:
            number = self.phone_number
            providers.append({"providerId": "phone", "rawId": number, "phoneNumber": number})
        return providers


def _hash(password: str, salt: str) -> str:
    # A small cost: hundreds of people sign in within one demonstration.
    return hashlib.scrypt(password.encode(), salt=salt.encode(), n=1024, r=8, p=1).hex()


def checked_email(email: str) -> str:
    """The address in lower case, as the API keeps it; raises `Refused` when it is none."""
    if not _EMAIL.fullmatch(email):
        raise Refused("INVALID_EMAIL")
    return email.lower()


def checked_phone(number: str) -> str:
    if not _PHONE.fullmatch(number):
        raise Refused("INVALID_PHONE_NUMBER : Invalid format.")
    return number


def checked_claims(text: str) -> str:
    """Custom claims as JSON text; raises `Refused` when too long, no object, or reserved."""
    if len(text) > _LONGEST_CLAIMS:
        raise Refused("CLAIMS_TOO_LARGE")
    try:
        claims = json.loads(text)
    except ValueError:
        claims = None
    if not isinstance(claims, dict):
        raise Refused("INVALID_CLAIMS")
    for name in RESERVED_CLAIMS & claims.keys():
        raise Refused(f"FORBIDDEN_CLAIM : {name}")
    return text if claims else ""


class Accounts:
    """The accounts by id, e-mail and phone number; a change is durable when `save` returns."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._by_id: dict[str, Account] = {}
        self._by_email: dict[str, str] = {}
        self._by_phone: dict[str, str] = {}
        for _, value in journal.items("account/"):
            self._index(Account(**json.loads(value)))

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

    def save(self, account: Account) -> Account:
        """Raises `Refused` if another account has the e-mail address or the phone number."""
        if self._by_email.get(account.email, account.local_id) != account.local_id:
            raise Refused("EMAIL_EXISTS")
        if self._by_phone.get(account.phone_number, account.local_id) != account.local_id:
            raise Refused("PHONE_NUMBER_EXISTS")
        self._journal.put(f"account/{account.local_id}", json.dumps(asdict(account)).encode())
        self._forget(account.local_id)
        self._index(account)
        return account

    def delete(self, local_id: str) -> None:
        self._journal.delete(f"account/{local_id}")
        self._forget(local_id)

    def _index(self, account: Account) -> None:
        self._by_id[account.local_id] = account
        if account.email:
            self._by_email[account.email] = account.local_id
        if account.phone_number:
            self._by_phone[account.phone_number] = account.local_id

    def _forget(self, local_id: str) -> None:
        account = self._by_id.pop(local_id, None)
        if account is not None:
            self._by_email.pop(account.email, None)
            self._by_phone.pop(account.phone_number, None)
