"""Reads of the billing context for portals."""

from datetime import date, datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Table, bindparam, select

from shared.domains.billing.model import Dunning, Resource
from shared.domains.billing.tables import drifts, invoices, subscriptions
from shared.events.billing import InvoiceStatus, SubscriptionStatus
from shared.kernel.ids import ContractId, CustomerId, InvoiceId, SubscriptionId
from shared.kernel.model import Model
from shared.kernel.money import Money
from shared.kernel.work import Work
from shared.platform.unit_of_work import sql


class SubscriptionView(Model):
    """A subscription as portals show it; instants are UTC."""

    id: SubscriptionId
    customer_id: CustomerId
    contract_id: ContractId | None
    status: SubscriptionStatus
    item_price_id: str | None
    current_term_end: datetime | None
    version: int


class SubscriptionPage(Model):
    """Subscriptions, and the `after` of the next page (None on the last one)."""

    items: list[SubscriptionView]
    next: SubscriptionId | None


class InvoiceView(Model):
    """An invoice as portals show it; instants are UTC. `attempts` were declined."""

    id: InvoiceId
    number: str
    customer_id: CustomerId
    subscription_id: SubscriptionId | None
    status: InvoiceStatus
    dunning: Dunning | None
    total: Money
    paid: Money
    due: Money
    invoiced_at: datetime
    due_at: datetime | None
    paid_at: datetime | None
    attempts: int
    version: int


class InvoicePage(Model):
    """Invoices, and the `after` of the next page (None on the last one)."""

    items: list[InvoiceView]
    next: InvoiceId | None


def subscription_page(
    owner: CustomerId | None, limit: int, after: UUID | None, work: Work
) -> SubscriptionPage:
    """The subscriptions of one customer, or of the clinic, in the order of their ids."""
    rows, more = _page(subscriptions, owner, limit, after, work)
    items = [SubscriptionView.model_validate(row, from_attributes=True) for row in rows]
    return SubscriptionPage(items=items, next=items[-1].id if more else None)


def invoice_page(
    owner: CustomerId | None, limit: int, after: UUID | None, work: Work
) -> InvoicePage:
    """The invoices of one customer, or of the clinic, in the order of their ids."""
    rows, more = _page(invoices, owner, limit, after, work)
    items = [_invoice(row) for row in rows]
    return InvoicePage(items=items, next=items[-1].id if more else None)


class DriftView(Model):
    """One difference that a nightly comparison found; `ours` and `theirs` are states, not data."""

    found_on: date
    resource: Resource
    vendor_id: str
    kind: str
    ours: str | None
    theirs: str | None
    healed: bool


class DriftList(Model):
    """The newest findings of a clinic."""

    items: list[DriftView]


def drift_list(limit: int, work: Work) -> DriftList:
    """What the nightly comparisons found, newest first."""
    rows = drifts.c
    query = select(drifts).order_by(rows.found_at.desc(), rows.resource, rows.vendor_id)
    found = sql(work).execute(query.limit(limit))
    return DriftList(items=[DriftView.model_validate(row, from_attributes=True) for row in found])


def _page(
    table: Table, owner: CustomerId | None, limit: int, after: UUID | None, work: Work
) -> tuple[list[Any], bool]:
    query = _paged(table, owned=owner is not None, resumed=after is not None)
    found = list(sql(work).execute(query, {"most": limit + 1, "owner": owner, "after": after}))
    return found[:limit], len(found) > limit


@cache
def _paged(table: Table, *, owned: bool, resumed: bool) -> Select[Any]:
    rows = table.c
    query = select(table).where(rows.deleted.is_(False)).order_by(rows.id).limit(bindparam("most"))
    if owned:
        query = query.where(rows.customer_id == bindparam("owner"))
    if resumed:
        query = query.where(rows.id > bindparam("after"))
    return query


def _invoice(row: Any) -> InvoiceView:
    return InvoiceView(
        id=row.id,
        number=row.vendor_id,
        customer_id=row.customer_id,
        subscription_id=row.subscription_id,
        status=InvoiceStatus(row.status),
        dunning=Dunning(row.dunning) if row.dunning else None,
        total=Money(amount=row.total, currency=row.currency),
        paid=Money(amount=row.amount_paid, currency=row.currency),
        due=Money(amount=row.amount_due, currency=row.currency),
        invoiced_at=row.invoiced_at,
        due_at=row.due_at,
        paid_at=row.paid_at,
        attempts=row.attempts,
        version=row.version,
    )


_STANDING = select(invoices.c.status, invoices.c.deleted).where(invoices.c.id == bindparam("id"))


def is_settled(invoice_id: InvoiceId, work: Work) -> bool:
    """Whether nothing is to be collected on it any more: paid, voided or deleted."""
    row = sql(work).execute(_STANDING, {"id": invoice_id}).one_or_none()
    settled = (InvoiceStatus.PAID, InvoiceStatus.VOIDED)
    return row is not None and (row.deleted or row.status in settled)
