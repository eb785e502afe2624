"""The second factors of an account: `MfaEnrollment` of the REST reference."""

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from emulators.identity.wire import Body, Refused

MOST = 5  # of one account; Google documents that there is a limit, not which
_PHONE = re.compile(r"\+[1-9][0-9]{4,14}")


@dataclass(frozen=True)
class Factor:
    """A phone that gets codes by SMS, or an authenticator app (then `secret` is set, in base 32).

    `enrolled_at` is RFC 3339. `last_step` is the time step of the last code that was accepted, for
    a code counts once.
    """

    enrollment_id: str
    enrolled_at: str
    display_name: str = ""
    phone: str = ""
    secret: str = ""
    last_step: int = -1

    @property
    def kind(self) -> str:
        """What tokens call it in `sign_in_second_factor`."""
        return "phone" if self.phone else "totp"

    def described(self) -> dict[str, Any]:
        """As the account's owner and administrators see it. The secret is never shown."""
        if not self.phone:
            return self._shown() | {"totpInfo": {}}
        return self._shown() | {"phoneInfo": self.phone, "unobfuscatedPhoneInfo": self.phone}

    def hinted(self) -> dict[str, Any]:
        """As shown after a first factor alone: of the phone number only the last four digits."""
        if not self.phone:
            return self.described()
        return self._shown() | {"phoneInfo": re.sub(r"\d(?=\d{4})", "*", self.phone)}

    def claims(self) -> dict[str, str]:
        """What the token of a sign-in with it carries under `firebase`."""
        return {
            "sign_in_second_factor": self.kind,
            "second_factor_identifier": self.enrollment_id,
        }

    def _shown(self) -> dict[str, Any]:
        named = {"displayName": self.display_name} if self.display_name else {}
        return {
            "mfaEnrollmentId": self.enrollment_id,
            "enrolledAt": self.enrolled_at,
            **named,
        }


def is_phone(number: str) -> bool:
    """Whether it is written as E.164 has it, plus sign included."""
    return _PHONE.fullmatch(number) is not None


def new_id() -> str:
    return secrets.token_urlsafe(21)


def phone_factors(wanted: Iterable[Body], now: str) -> list[Factor] | None:
    """Factors for a new account (`MfaFactor`s); ids are made, a number counts once."""
    made: dict[str, Factor] = {}
    for item in wanted:
        phone = _mfa_phone(item)
        made.setdefault(phone, Factor(new_id(), now, item.text("displayName"), phone))
    return _limited(list(made.values())) or None


def changed_factors(
    held: Iterable[Factor] | None, wanted: Iterable[Body], now: str
) -> list[Factor] | None:
    """The factors that an administrator sets (`MfaInfo.enrollments`) in place of those held.

    An authenticator app can be kept or renamed by its id, not made: its secret is known to its
    owner alone. Raises `Refused`: INVALID_MFA_PHONE_NUMBER, INVALID_MFA_ENROLLMENT_ID,
    DUPLICATE_MFA_ENROLLMENT_ID, SECOND_FACTOR_LIMIT_EXCEEDED.
    """
    known = {factor.enrollment_id: factor for factor in held or ()}
    made: dict[str, Factor] = {}
    phones: set[str] = set()
    for item in wanted:
        held_one = known.get(item.text("mfaEnrollmentId"))
        app = held_one is not None and held_one.secret and not item.has("phoneInfo")
        phone = "" if app else _mfa_phone(item)
        if phone in phones:
            continue
        factor = _set(held_one, item, phone, now)
        if not factor.enrollment_id:
            raise Refused("INVALID_MFA_ENROLLMENT_ID : mfaEnrollmentId must be defined.")
        if factor.enrollment_id in made:
            raise Refused("DUPLICATE_MFA_ENROLLMENT_ID")
        made[factor.enrollment_id] = factor
        phones |= {phone} - {""}
    return _limited(list(made.values())) or None


def imported_factors(
    wanted: Iterable[Body], email: str, verified: bool, now: str
) -> list[Factor] | None:
    """The factors of an account that is imported (`accounts:batchCreate`).

    Raises `ValueError` with the message that the API reports for the entry.
    """
    items = list(wanted)
    if not items:
        return None
    if not email:
        raise ValueError("Second factor account requires email to be presented.")
    if not verified:
        raise ValueError("Second factor account requires email to be verified.")
    made: dict[str, Factor] = {}
    for item in items:
        phone = item.text("phoneInfo")
        if not phone:
            raise ValueError("Second factor not supported.")
        if not is_phone(phone):
            raise ValueError("Phone number format is invalid")
        enrollment_id = item.text("mfaEnrollmentId") or new_id()
        if enrollment_id in made:
            raise ValueError("Enrollment id already exists.")
        at = _enrolled_at(item, now)
        made[enrollment_id] = Factor(enrollment_id, at, item.text("displayName"), phone)
    return list(made.values())


def added(held: Iterable[Factor] | None, factor: Factor) -> list[Factor]:
    """The factors with one more; raises `Refused` for a phone enrolled already and for too many."""
    factors = list(held or ())
    if factor.phone and any(other.phone == factor.phone for other in factors):
        raise Refused(
            "SECOND_FACTOR_EXISTS : Phone number already enrolled as second factor for this "
            "account."
        )
    return _limited([*factors, factor])


def _set(held: Factor | None, item: Body, phone: str, now: str) -> Factor:
    factor = held or Factor(item.text("mfaEnrollmentId"), now)
    if phone:
        factor = replace(factor, phone=phone, secret="")
    return replace(
        factor,
        display_name=item.text("displayName"),
        enrolled_at=_enrolled_at(item, factor.enrolled_at),
    )


def _enrolled_at(item: Body, default: str) -> str:
    text = item.text("enrolledAt") or default
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise Refused("Invalid value at 'enrolled_at'", status="INVALID_ARGUMENT") from None
    return text


def _mfa_phone(item: Body) -> str:
    phone = item.text("phoneInfo")
    if not is_phone(phone):
        raise Refused("INVALID_MFA_PHONE_NUMBER : Invalid format.")
    return phone


def _limited(factors: list[Factor]) -> list[Factor]:
    if len(factors) > MOST:
        raise Refused("SECOND_FACTOR_LIMIT_EXCEEDED")
    return factors
