"""Writes and locks of the billing context.

What the provider reports is stored by one statement that decides, under the row's lock, whether it
is newer: `resource_version` only grows (https://apidocs.chargebee.com/docs/api/events).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Table,
    delete,
    func,
    literal,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from shared.domains.billing.commands import (
    CustomerReport,
    InvoiceReport,
    Stray,
    SubscriptionReport,
)
from shared.domains.billing.model import Drift, Dunning, Invoice, Resource, Sight
from shared.domains.billing.tables import (
    accounts,
    drifts,
    invoices,
    strays,
    subscriptions,
    sync_cursors,
)
from shared.events.billing import Decline, InvoiceStatus
from shared.kernel.ids import ClinicId, CustomerId, InvoiceId, SubscriptionId, WebhookId
from shared.kernel.money import Money
from shared.kernel.work import Work
from shared.platform import unit_of_work, webhooks
from shared.platform.tables import Instant
from shared.platform.unit_of_work import sql

_TABLES = {Resource.SUBSCRIPTION: subscriptions, Resource.INVOICE: invoices}
_ONCE = frozenset({"clinic_id", "id", "vendor_id", "created_at"})


@dataclass(frozen=True)
class Saved:
    """A row that was just written, with what had been told of it before."""

    version: int
    attempts_before: int
    paid_told_before: bool
    exhausted_before: bool


def clinics(work: Work) -> set[ClinicId]:
    return set(unit_of_work.clinics(work))


def webhook_body(webhook_id: WebhookId, work: Work) -> bytes | None:
    """The raw webhook; None when it was pruned."""
    return webhooks.body(sql(work), webhook_id)


# Which clinic a customer belongs to


def homes(customers: Collection[CustomerId], work: Work) -> dict[CustomerId, ClinicId]:
    """The clinics of those customers that are known."""
    query = select(accounts.c.customer_id, accounts.c.clinic_id).where(
        accounts.c.customer_id.in_(customers)
    )
    rows = sql(work).execute(query) if customers else ()
    return {row.customer_id: row.clinic_id for row in rows}


def account_versions(customers: Collection[CustomerId], work: Work) -> dict[CustomerId, int]:
    """The versions stored of those customers."""
    query = select(accounts.c.customer_id, accounts.c.resource_version).where(
        accounts.c.customer_id.in_(customers)
    )
    rows = sql(work).execute(query) if customers else ()
    return {row.customer_id: row.resource_version for row in rows}


def save_account(report: CustomerReport, clinic_id: ClinicId, work: Work) -> bool:
    """Store whose customer it is, if newer; answers whether another payment method came."""
    new = insert(accounts).values(
        customer_id=report.id,
        clinic_id=clinic_id,
        payment_source=report.primary_payment_source_id,
        resource_version=report.resource_version,
        updated_at=work.now,
    )
    names = ("clinic_id", "payment_source", "resource_version", "updated_at")
    statement = new.on_conflict_do_update(
        index_elements=["customer_id"],
        set_={name: new.excluded[name] for name in names},
        where=accounts.c.resource_version < new.excluded.resource_version,
    ).returning(
        accounts.c.payment_source,
        literal_column("old.customer_id").label("known"),
        literal_column("old.payment_source").label("before"),
    )
    row = sql(work).execute(statement).one_or_none()
    if row is None or row.known is None or row.payment_source is None:
        return False
    return bool(row.payment_source != row.before)


# Rows of the provider's objects


def versions(resource: Resource, vendor_ids: Collection[str], work: Work) -> dict[str, int]:
    """The versions stored of those objects, in the entered clinic."""
    rows = _TABLES[resource].c
    query = select(rows.vendor_id, rows.resource_version).where(rows.vendor_id.in_(vendor_ids))
    return {row.vendor_id: row.resource_version for row in sql(work).execute(query)}


def save_subscription(
    subscription_id: SubscriptionId, report: SubscriptionReport, work: Work
) -> int | None:
    """Answers the row's new version, None when the report is not newer."""
    values = {
        "id": subscription_id,
        "vendor_id": report.id,
        "customer_id": report.customer_id,
        "contract_id": report.cf_contract_id,
        "status": report.status.value,
        "item_price_id": report.item_price_id,
        "current_term_end": report.current_term_end,
        "deleted": report.deleted,
        "resource_version": report.resource_version,
    }
    row = _save_newer(subscriptions, values, {}, (), work)
    return None if row is None else row.version


def save_invoice(
    invoice_id: InvoiceId,
    subscription_id: SubscriptionId | None,
    report: InvoiceReport,
    decline: Decline | None,
    work: Work,
) -> Saved | None:
    """Answers None when the report is not newer. Attempts are never forgotten again."""
    failures = report.failures
    exhausted_at = work.now if report.dunning_status is Dunning.EXHAUSTED else None
    values = {
        "id": invoice_id,
        "vendor_id": report.id,
        "customer_id": report.customer_id,
        "subscription_id": subscription_id,
        "status": report.status.value,
        "dunning": report.dunning_status.value if report.dunning_status else None,
        "total": report.total,
        "amount_paid": report.amount_paid,
        "amount_due": report.amount_due,
        "currency": report.currency_code,
        "invoiced_at": report.date,
        "due_at": report.due_date,
        "paid_at": report.paid_at,
        "paid_told": report.status is InvoiceStatus.PAID,
        "attempts": len(failures),
        "decline": decline.value if decline else None,
        "failed_at": failures[-1].txn_date if failures else None,
        "safety_retry": False,
        "method_retry": False,
        "exhausted_at": exhausted_at,
        "deleted": report.deleted,
        "resource_version": report.resource_version,
    }
    rows = invoices.c
    kept = {
        "paid_told": or_(rows.paid_told, literal(report.status is InvoiceStatus.PAID)),
        "attempts": func.greatest(rows.attempts, len(failures)),
        "safety_retry": rows.safety_retry,
        "method_retry": rows.method_retry,
        "exhausted_at": func.coalesce(rows.exhausted_at, literal(exhausted_at, Instant)),
    }
    before = ("attempts", "paid_told", "exhausted_at")
    row = _save_newer(invoices, values, kept, before, work)
    if row is None:
        return None
    return Saved(
        version=row.version,
        attempts_before=row.attempts_before or 0,
        paid_told_before=bool(row.paid_told_before),
        exhausted_before=row.exhausted_at_before is not None,
    )


def _save_newer(
    table: Table,
    values: Mapping[str, Any],
    kept: Mapping[str, ColumnElement[Any]],
    before: Iterable[str],
    work: Work,
) -> Any:
    """Insert a row, or overwrite one of an older `resource_version` but for `kept`."""
    new = insert(table).values(
        clinic_id=work.clinic_id, version=1, created_at=work.now, updated_at=work.now, **values
    )
    changes: dict[str, Any] = {name: new.excluded[name] for name in values if name not in _ONCE}
    changes |= {"version": table.c.version + 1, "updated_at": new.excluded.updated_at, **kept}
    statement = new.on_conflict_do_update(
        index_elements=["clinic_id", "vendor_id"],
        set_=changes,
        where=table.c.resource_version < new.excluded.resource_version,
    ).returning(
        table.c.version, *(literal_column(f"old.{name}").label(f"{name}_before") for name in before)
    )
    return sql(work).execute(statement).one_or_none()


def _invoice(row: Any) -> Invoice:
    return Invoice(
        id=row.id,
        vendor_id=row.vendor_id,
        customer_id=row.customer_id,
        status=InvoiceStatus(row.status),
        dunning=Dunning(row.dunning) if row.dunning else None,
        deleted=row.deleted,
        due=Money(amount=row.amount_due, currency=row.currency),
        attempts=row.attempts,
        decline=Decline(row.decline) if row.decline else None,
        failed_at=row.failed_at,
        safety_retry=row.safety_retry,
        method_retry=row.method_retry,
        exhausted_at=row.exhausted_at,
        version=row.version,
    )


def invoice(invoice_id: InvoiceId, work: Work, *, lock: bool = False) -> Invoice | None:
    query = select(invoices).where(invoices.c.id == invoice_id)
    row = sql(work).execute(query.with_for_update() if lock else query).one_or_none()
    return _invoice(row) if row else None


def attempts(vendor_id: str, work: Work) -> int:
    """How many declined attempts of an invoice are stored in the entered clinic."""
    query = select(invoices.c.attempts).where(invoices.c.vendor_id == vendor_id)
    return sql(work).execute(query).scalar_one_or_none() or 0


def declined_for_good(customer_id: CustomerId, work: Work) -> list[Invoice]:
    """A customer's invoices whose last attempt was declined hard, locked, in order of id."""
    rows = invoices.c
    query = (
        select(invoices)
        .where(rows.customer_id == customer_id, rows.decline == Decline.HARD.value)
        .order_by(rows.id)
        .with_for_update()
    )
    return [_invoice(row) for row in sql(work).execute(query)]


def save_plan(planned: Invoice, work: Work) -> int:
    """Store where an invoice is on the ladder; answers the row's new version."""
    statement = (
        update(invoices)
        .where(invoices.c.id == planned.id)
        .values(
            safety_retry=planned.safety_retry,
            method_retry=planned.method_retry,
            exhausted_at=planned.exhausted_at,
            version=invoices.c.version + 1,
            updated_at=work.now,
        )
        .returning(invoices.c.version)
    )
    version: int = sql(work).execute(statement).scalar_one()
    return version


# How far the reading has come, and what it found


def cursors(work: Work) -> dict[str, datetime]:
    """Up to which instant each kind of object was read, and when each comparison was."""
    rows = sql(work).execute(select(sync_cursors.c.resource, sync_cursors.c.changed_until))
    return {row.resource: row.changed_until for row in rows}


def move_cursors(names: Iterable[str], changed_until: datetime, work: Work) -> None:
    """Cursors only move forward."""
    rest = {"changed_until": changed_until, "updated_at": work.now}
    new = insert(sync_cursors).values([{"resource": str(name)} | rest for name in names])
    moved = new.on_conflict_do_update(
        index_elements=["resource"],
        set_={"changed_until": new.excluded.changed_until, "updated_at": work.now},
        where=sync_cursors.c.changed_until < new.excluded.changed_until,
    )
    sql(work).execute(moved)


def save_strays(found: Iterable[Stray], work: Work) -> int:
    """Keep what could not be taken over; answers how many were not known as such."""
    rows = [{**stray.model_dump(mode="json"), "found_at": work.now} for stray in found]
    if not rows:
        return 0
    new = insert(strays).values(rows).on_conflict_do_nothing().returning(strays.c.vendor_id)
    return len(sql(work).execute(new).all())


def forget_strays(resource: Resource, vendor_ids: Collection[str], work: Work) -> None:
    """Those objects make sense now."""
    gone = strays.c.resource == resource.value, strays.c.vendor_id.in_(vendor_ids)
    sql(work).execute(delete(strays).where(*gone))


def has_strays(work: Work) -> bool:
    return sql(work).execute(select(strays.c.vendor_id).limit(1)).first() is not None


def sights(resource: Resource, vendor_ids: Collection[str] | None, work: Work) -> dict[str, Sight]:
    """Rows of the entered clinic (all for None), as the nightly comparison sees them."""
    table = _TABLES[resource]
    query = select(table)
    if vendor_ids is not None:
        query = query.where(table.c.vendor_id.in_(vendor_ids))
    return {
        row.vendor_id: Sight(
            row.resource_version, _state(resource, row), row.deleted, row.updated_at
        )
        for row in sql(work).execute(query)
    }


def _state(resource: Resource, row: Any) -> str:
    if resource is Resource.SUBSCRIPTION:
        return str(row.status)
    return f"{row.status} {row.total} {row.amount_paid} {row.currency}"


def save_drifts(found: Iterable[Drift], work: Work) -> list[Drift]:
    """Keep tonight's findings; answers those that were not kept tonight already."""
    fresh = []
    for drift in found:
        new = insert(drifts).values(
            clinic_id=work.clinic_id,
            found_on=work.now.date(),
            resource=drift.resource.value,
            vendor_id=drift.vendor_id,
            kind=drift.kind.value,
            ours=drift.ours,
            theirs=drift.theirs,
            healed=drift.healed,
            found_at=work.now,
        )
        statement = new.on_conflict_do_nothing().returning(drifts.c.vendor_id)
        if sql(work).execute(statement).first() is not None:
            fresh.append(drift)
    return fresh
