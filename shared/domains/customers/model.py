"""What a customer is, and which changes to one are worth telling."""

from dataclasses import dataclass, fields, replace
from datetime import datetime

from shared.events.customers import CustomerField
from shared.kernel.ids import CustomerId
from shared.kernel.phi import Phi


@dataclass(frozen=True)
class Customer:
    """A customer of one clinic. `uid` is the identity provider's id of the person.

    `push_token` is where Firebase Cloud Messaging finds the device they use now.
    """

    id: CustomerId
    uid: str
    given_name: Phi[str]
    family_name: Phi[str]
    email: Phi[str]
    phone: Phi[str] | None
    push_token: Phi[str] | None
    locale: str
    time_zone: str
    version: int
    created_at: datetime
    updated_at: datetime


_TOLD_AS = {
    "given_name": CustomerField.NAME,
    "family_name": CustomerField.NAME,
    "email": CustomerField.EMAIL,
    "phone": CustomerField.PHONE,
    "locale": CustomerField.LOCALE,
    "time_zone": CustomerField.TIME_ZONE,
}


def changed(before: Customer, after: Customer) -> tuple[CustomerField, ...]:
    """What differs between the two, each kind once, in the order of the fields.

    Another device is no news to anybody: apps renew their push tokens by themselves.
    """
    told = [
        _TOLD_AS[field.name]
        for field in fields(Customer)
        if field.name in _TOLD_AS and getattr(before, field.name) != getattr(after, field.name)
    ]
    return tuple(dict.fromkeys(told))


def revise(customer: Customer, at: datetime, **values: object) -> Customer:
    """The next version of `customer` with `values` in place."""
    return replace(customer, **values, version=customer.version + 1, updated_at=at)  # type: ignore[arg-type]
