"""Reads of the customers context."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select

from shared.domains.customers import store
from shared.domains.customers.model import Customer
from shared.domains.customers.tables import customers, lifetime_values
from shared.kernel.errors import NotFound
from shared.kernel.ids import CustomerId
from shared.kernel.model import Model
from shared.kernel.money import Money
from shared.kernel.phi import Phi
from shared.kernel.work import Work
from shared.platform.unit_of_work import sql

_VALUES = (
    select(lifetime_values.c.amount, lifetime_values.c.currency)
    .where(lifetime_values.c.customer_id == bindparam("id"))
    .order_by(lifetime_values.c.currency)
)
_BY_ID = select(customers).where(customers.c.id == bindparam("id"))


class CustomerView(Model):
    """A customer as the portal shows it to themselves."""

    id: CustomerId
    given_name: str
    family_name: str
    email: str
    phone: str | None
    locale: str
    time_zone: str
    version: int
    lifetime_value: list[Money]


@dataclass(frozen=True)
class Contact:
    """How somebody can be reached, and in which language and zone."""

    given_name: Phi[str]
    family_name: Phi[str]
    email: Phi[str] | None
    phone: Phi[str] | None
    push_token: Phi[str] | None
    locale: str
    time_zone: str


def view(customer: Customer, work: Work) -> CustomerView:
    """The customer with everything revealed: for their own eyes and the clinic's staff."""
    return CustomerView(
        id=customer.id,
        given_name=customer.given_name.reveal(),
        family_name=customer.family_name.reveal(),
        email=customer.email.reveal(),
        phone=customer.phone.reveal() if customer.phone else None,
        locale=customer.locale,
        time_zone=customer.time_zone,
        version=customer.version,
        lifetime_value=[
            Money(amount=row.amount, currency=row.currency)
            for row in sql(work).execute(_VALUES, {"id": customer.id})
        ],
    )


def of_uid(uid: str, work: Work) -> Customer:
    """The customer that the signed-in person is in this clinic. Raises `NotFound`."""
    found = store.by_uid(uid, work)
    if found is None:
        raise NotFound("customer-not-found", "You are not registered as a customer here.")
    return found


def contact(customer_id: CustomerId, work: Work) -> Contact | None:
    """How to reach a customer; None when there is no such customer in this clinic."""
    row: Any = sql(work).execute(_BY_ID, {"id": customer_id}).one_or_none()
    if row is None:
        return None
    return Contact(
        given_name=Phi(row.given_name),
        family_name=Phi(row.family_name),
        email=Phi(row.email),
        phone=Phi(row.phone) if row.phone else None,
        push_token=Phi(row.push_token) if row.push_token else None,
        locale=row.locale,
        time_zone=row.time_zone,
    )


def having_phone(phone: Phi[str], work: Work) -> list[CustomerId]:
    """Who of this clinic has this number (E.164); families share one."""
    query = select(customers.c.id).where(customers.c.phone == phone.reveal())
    return list(sql(work).execute(query.order_by(customers.c.id)).scalars())
