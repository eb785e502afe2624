"""What can be asked of the customers context; also the bodies of its routes."""

from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, ConfigDict, StringConstraints, field_validator

from shared.kernel.model import Model
from shared.kernel.phi import Phi


def _zone(name: str) -> str:
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("not an IANA time zone") from None


def _phone(number: str) -> str:
    import phonenumbers

    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        raise ValueError("not an E.164 phone number") from None
    if not phonenumbers.is_possible_number(parsed):
        raise ValueError("not a possible phone number")
    return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))


def _email(address: str) -> str:
    return address.lower()


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Email = Annotated[
    str,
    StringConstraints(max_length=254, pattern=r"^[^@\s<>]{1,64}@[^@\s<>.]+(\.[^@\s<>.]+)+$"),
    AfterValidator(_email),
]
Phone = Annotated[str, StringConstraints(pattern=r"^\+[1-9]\d{6,14}$"), AfterValidator(_phone)]
PushToken = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_:.=+/-]{1,2048}$")]
"""A Firebase registration token: opaque, and with no length that its documentation promises."""
Locale = Annotated[
    str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$")
]
TimeZone = Annotated[str, StringConstraints(max_length=64), AfterValidator(_zone)]


class RegisterCustomer(Model):
    """Become a customer of a clinic. `phone` is E.164, `locale` BCP 47, `time_zone` IANA."""

    model_config = ConfigDict(extra="forbid")

    given_name: Phi[Name]
    family_name: Phi[Name]
    email: Phi[Email]
    phone: Phi[Phone] | None = None
    locale: Locale = "en"
    time_zone: TimeZone = "Etc/UTC"


class UpdateCustomer(Model):
    """Change what is given and leave the rest; a null takes `phone` or `push_token` away."""

    model_config = ConfigDict(extra="forbid")

    given_name: Phi[Name] | None = None
    family_name: Phi[Name] | None = None
    email: Phi[Email] | None = None
    phone: Phi[Phone] | None = None
    push_token: Phi[PushToken] | None = None
    locale: Locale | None = None
    time_zone: TimeZone | None = None

    @field_validator("given_name", "family_name", "email", "locale", "time_zone")
    @classmethod
    def _not_taken_away(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("cannot be null")
        return value

    def given(self) -> dict[str, Any]:
        """The fields that were sent."""
        return {name: getattr(self, name) for name in self.model_fields_set}
