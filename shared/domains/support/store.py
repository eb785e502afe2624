"""Writes and locks of the support context."""

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert

from shared.domains.support.model import Ticket, TicketStatus
from shared.domains.support.tables import customers, tickets
from shared.kernel.ids import CustomerId, InvoiceId
from shared.kernel.work import Work
from shared.platform.unit_of_work import sql

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")
_COLUMNS = [tickets.c[name] for name in Ticket.__dataclass_fields__]


def ticket_of(invoice_id: InvoiceId, work: Work) -> Ticket | None:
    """The ticket about an invoice. Whether there is one stays as it is until `work` ends."""
    sql(work).execute(_LOCK, {"key": f"support.tickets:{invoice_id}"})
    query = select(*_COLUMNS).where(tickets.c.invoice_id == invoice_id).with_for_update()
    row = sql(work).execute(query).one_or_none()
    if row is None:
        return None
    return Ticket(**dict(row._mapping) | {"status": TicketStatus(row.status)})


def add_ticket(ticket: Ticket, work: Work) -> None:
    values = vars(ticket) | {"created_at": work.now, "updated_at": work.now}
    sql(work).execute(insert(tickets).values(clinic_id=work.clinic_id, **values))


def save_ticket(ticket: Ticket, work: Work) -> None:
    values = {"vendor_id": ticket.vendor_id, "status": ticket.status, "version": ticket.version}
    changed = update(tickets).where(tickets.c.id == ticket.id)
    sql(work).execute(changed.values(updated_at=work.now, **values))


def knows_customer(customer_id: CustomerId, work: Work) -> bool:
    """Whether the support provider has a record of the customer."""
    query = select(customers.c.version).where(customers.c.customer_id == customer_id)
    return sql(work).execute(query).one_or_none() is not None


def keep_customer(customer_id: CustomerId, vendor_id: int, work: Work) -> None:
    """Note that the provider's record `vendor_id` was brought up to date."""
    row = insert(customers).values(
        clinic_id=work.clinic_id,
        customer_id=customer_id,
        vendor_id=vendor_id,
        version=1,
        created_at=work.now,
        updated_at=work.now,
    )
    changed = {
        "vendor_id": row.excluded.vendor_id,
        "version": customers.c.version + 1,
        "updated_at": row.excluded.updated_at,
    }
    kept = row.on_conflict_do_update(index_elements=["clinic_id", "customer_id"], set_=changed)
    sql(work).execute(kept)
