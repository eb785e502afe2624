"""Writes and locks of the customers context."""

from typing import Any

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError

from shared.domains.customers.model import Customer
from shared.domains.customers.tables import customers, lifetime_values
from shared.kernel.errors import Conflict
from shared.kernel.ids import CustomerId
from shared.kernel.money import Money
from shared.kernel.phi import Phi
from shared.kernel.work import Work
from shared.platform.unit_of_work import clinics, sql

_PHI = ("given_name", "family_name", "email", "phone", "push_token")
_COLUMNS = [column for column in customers.c if column.name != "clinic_id"]
_BY_UID = select(*_COLUMNS).where(customers.c.uid == bindparam("uid"))
_BY_UID_LOCKED = _BY_UID.with_for_update()
_LOCKED = select(*_COLUMNS).where(customers.c.id == bindparam("id")).with_for_update()
_SAVE = update(customers).where(customers.c.id == bindparam("its_id"))
"""Made once: making a statement takes longer than sending it."""


def _row(customer: Customer) -> dict[str, Any]:
    values = {column.name: getattr(customer, column.name) for column in _COLUMNS}
    for name in _PHI:
        values[name] = values[name].reveal() if values[name] is not None else None
    return values


def _customer(row: Any) -> Customer:
    values = dict(row._mapping)
    for name in _PHI:
        values[name] = Phi(values[name]) if values[name] is not None else None
    return Customer(**values)


def clinic_exists(work: Work) -> bool:
    return work.clinic_id in clinics(work)


def add(customer: Customer, work: Work) -> None:
    """Raises `Conflict` when the address belongs to another customer of the clinic."""
    try:
        sql(work).execute(insert(customers), {"clinic_id": work.clinic_id, **_row(customer)})
    except IntegrityError:
        raise _taken() from None


def save(customer: Customer, work: Work) -> None:
    """Raises `Conflict` when the address belongs to another customer of the clinic."""
    try:
        sql(work).execute(_SAVE, {"its_id": customer.id, **_row(customer)})
    except IntegrityError:
        raise _taken() from None


def release_device(customer: Customer, work: Work) -> None:
    """Take the customer's push token from whoever used that device before."""
    if customer.push_token is None:
        return
    table = customers
    statement = update(table).where(table.c.push_token == customer.push_token.reveal())
    changed = {"version": table.c.version + 1, "updated_at": work.now}
    sql(work).execute(statement.where(table.c.id != customer.id).values(push_token=None, **changed))


def _taken() -> Conflict:
    return Conflict("customer-exists", "Another customer of this clinic uses this e-mail address.")


def by_uid(uid: str, work: Work, *, lock: bool = False) -> Customer | None:
    row = sql(work).execute(_BY_UID_LOCKED if lock else _BY_UID, {"uid": uid}).one_or_none()
    return _customer(row) if row else None


def lock(customer_id: CustomerId, work: Work) -> Customer | None:
    """The customer, locked until the transaction ends."""
    row = sql(work).execute(_LOCKED, {"id": customer_id}).one_or_none()
    return _customer(row) if row else None


def add_value(customer_id: CustomerId, amount: Money, work: Work) -> Money:
    """Add to the lifetime value in this currency; answers the new sum."""
    statement = upsert(lifetime_values).values(
        clinic_id=work.clinic_id,
        customer_id=customer_id,
        currency=amount.currency,
        amount=amount.amount,
    )
    grown = statement.on_conflict_do_update(
        index_elements=["clinic_id", "customer_id", "currency"],
        set_={"amount": lifetime_values.c.amount + statement.excluded.amount},
    ).returning(lifetime_values.c.amount)
    return Money(amount=sql(work).execute(grown).scalar_one(), currency=amount.currency)
