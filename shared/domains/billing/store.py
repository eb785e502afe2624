"""Writes and locks of the billing context.

What the provider reports is stored by one statement that decides, under the row's lock, whether it
is newer: `resource_version` only grows (https://apidocs.chargebee.com/docs/api/events).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    CompoundSelect,
    Text,
    any_,
    bindparam,
    delete,
    func,
    literal_column,
    null,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert

from shared.domains.billing.commands import (
    CustomerReport,
    InvoiceReport,
    Stray,
    SubscriptionReport,
)
from shared.domains.billing.model import Drift, Dunning, Invoice, Resource, Sight
from shared.domains.billing.tables import (
    SAVE_ACCOUNT,
    SAVE_INVOICE,
    SAVE_SUBSCRIPTION,
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
from shared.platform import tables, webhooks
from shared.platform.tables import Instant
from shared.platform.unit_of_work import sql


def _among(column: Column[Any], name: str) -> ColumnElement[bool]:
    """Whether `column` is one of the array bound to `name`: one statement for any number."""
    return column == any_(bindparam(name, type_=ARRAY(column.type)))


@dataclass(frozen=True)
class Saved:
    """A row that was just written, with what had been told of it before."""

    version: int
    attempts_before: int
    paid_told_before: bool
    exhausted_before: bool


def webhook_body(webhook_id: WebhookId, work: Work) -> bytes | None:
    """The raw webhook; None when it was pruned."""
    return webhooks.body(sql(work), webhook_id)


# Which clinic a customer belongs to


@dataclass(frozen=True)
class Account:
    """Whose a customer is, and as of which version."""

    clinic_id: ClinicId
    resource_version: int


_PLACES = union_all(
    select(accounts.c.customer_id, accounts.c.clinic_id, accounts.c.resource_version).where(
        _among(accounts.c.customer_id, "customers")
    ),
    select(null(), tables.clinics.c.id, null()),
)


def places(
    customers: Collection[CustomerId], work: Work
) -> tuple[frozenset[ClinicId], dict[CustomerId, Account]]:
    """All clinics, and those of the customers that are known."""
    clinics, known = set(), {}
    for customer_id, clinic_id, version in sql(work).execute(
        _PLACES, {"customers": list(customers)}
    ):
        if customer_id is None:
            clinics.add(clinic_id)
        else:
            known[customer_id] = Account(clinic_id, version)
    return frozenset(clinics), known


def save_account(report: CustomerReport, clinic_id: ClinicId, work: Work) -> bool:
    """Store whose customer it is, if newer; answers whether another payment method came."""
    values = {
        "customer_id": report.id,
        "clinic_id": clinic_id,
        "payment_source": report.primary_payment_source_id,
        "resource_version": report.resource_version,
        "updated_at": work.now,
    }
    row = sql(work).execute(SAVE_ACCOUNT, values).one_or_none()
    if row is None or row.customer_id_before is None or row.payment_source is None:
        return False
    return bool(row.payment_source != row.payment_source_before)


# Rows of the provider's objects


def _sights(*, some: bool) -> CompoundSelect[Any]:
    """Subscriptions and invoices of the entered clinic in one statement."""
    theirs, ours = subscriptions.c, invoices.c
    amounts = (ours.status, ours.total, ours.amount_paid, ours.currency)
    queries = []
    for kind, rows, state in (
        (Resource.SUBSCRIPTION, theirs, theirs.status),
        (Resource.INVOICE, ours, func.concat_ws(literal_column("' '"), *amounts)),
    ):
        query = select(
            literal_column(f"'{kind}'"),
            rows.vendor_id,
            rows.resource_version,
            state,
            rows.deleted,
            rows.updated_at,
        )
        queries.append(query.where(_among(rows.vendor_id, kind)) if some else query)
    return union_all(*queries)


_SIGHTS, _ALL_SIGHTS = _sights(some=True), _sights(some=False)
Sights = Mapping[Resource, Mapping[str, Sight]]


def sights(vendor_ids: Mapping[Resource, Collection[str]] | None, work: Work) -> Sights:
    """Rows of the entered clinic (all for None) by vendor id, as the comparison sees them."""
    found: dict[Resource, dict[str, Sight]] = {Resource.SUBSCRIPTION: {}, Resource.INVOICE: {}}
    if vendor_ids is None:
        rows = sql(work).execute(_ALL_SIGHTS)
    else:
        rows = sql(work).execute(_SIGHTS, {kind: list(vendor_ids.get(kind, ())) for kind in found})
    for kind, vendor_id, *seen in rows:
        found[Resource(kind)][vendor_id] = Sight(*seen)
    return found


def _row(work: Work) -> dict[str, Any]:
    """What every new row of a clinic begins with."""
    return {
        "clinic_id": work.clinic_id,
        "version": 1,
        "created_at": work.now,
        "updated_at": work.now,
    }


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
    version: int | None
    version = sql(work).execute(SAVE_SUBSCRIPTION, _row(work) | values).scalar_one_or_none()
    return version


def save_invoice(
    invoice_id: InvoiceId,
    subscription_id: SubscriptionId | None,
    report: InvoiceReport,
    decline: Decline | None,
    work: Work,
) -> Saved | None:
    """Answers None when the report is not newer. Attempts are never forgotten again.

    `decline` is why the latest attempt was declined, None where the report does not say.
    """
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
    row = sql(work).execute(SAVE_INVOICE, _row(work) | values).one_or_none()
    if row is None:
        return None
    return Saved(
        version=row.version,
        attempts_before=row.attempts_before or 0,
        paid_told_before=bool(row.paid_told_before),
        exhausted_before=row.exhausted_at_before is not None,
    )


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


_INVOICE = select(invoices).where(invoices.c.id == bindparam("id"))
_INVOICE_LOCKED = _INVOICE.with_for_update()


def invoice(invoice_id: InvoiceId, work: Work, *, lock: bool = False) -> Invoice | None:
    query = _INVOICE_LOCKED if lock else _INVOICE
    row = sql(work).execute(query, {"id": invoice_id}).one_or_none()
    return _invoice(row) if row else None


_ATTEMPTS = select(invoices.c.attempts).where(invoices.c.vendor_id == bindparam("vendor_id"))


def attempts(vendor_id: str, work: Work) -> int:
    """How many declined attempts of an invoice are stored in the entered clinic."""
    return sql(work).execute(_ATTEMPTS, {"vendor_id": vendor_id}).scalar_one_or_none() or 0


_DECLINED_FOR_GOOD = (
    select(invoices)
    .where(invoices.c.customer_id == bindparam("customer_id"))
    .where(invoices.c.decline == Decline.HARD.value)
    .order_by(invoices.c.id)
    .with_for_update()
)


def declined_for_good(customer_id: CustomerId, work: Work) -> list[Invoice]:
    """A customer's invoices whose last attempt was declined hard, locked, in order of id."""
    found = sql(work).execute(_DECLINED_FOR_GOOD, {"customer_id": customer_id})
    return [_invoice(row) for row in found]


def save_plan(planned: Invoice, work: Work) -> int:
    """Store where an invoice is on the ladder; answers the row's version.

    It stays the same: nothing changes that is told or mirrored.
    """
    statement = (
        update(invoices)
        .where(invoices.c.id == planned.id)
        .values(
            safety_retry=planned.safety_retry,
            method_retry=planned.method_retry,
            exhausted_at=planned.exhausted_at,
        )
        .returning(invoices.c.version)
    )
    version: int = sql(work).execute(statement).scalar_one()
    return version


# How far the reading has come, and what it found


_ALL_CURSORS = select(sync_cursors.c.resource, sync_cursors.c.changed_until)


def cursors(work: Work) -> dict[str, datetime]:
    """Up to which instant each kind of object was read, and when each comparison was."""
    return {row.resource: row.changed_until for row in sql(work).execute(_ALL_CURSORS)}


_CURSORS = insert(sync_cursors).from_select(
    ["resource", "changed_until", "updated_at"],
    select(
        func.unnest(bindparam("names", type_=ARRAY(Text))),
        bindparam("until", type_=Instant),
        bindparam("now", type_=Instant),
    ),
)
_MOVE_CURSORS = _CURSORS.on_conflict_do_update(
    index_elements=["resource"],
    set_={name: _CURSORS.excluded[name] for name in ("changed_until", "updated_at")},
    where=sync_cursors.c.changed_until < _CURSORS.excluded.changed_until,
)


def move_cursors(names: Iterable[str], changed_until: datetime, work: Work) -> None:
    """Cursors only move forward."""
    values = {"names": [str(name) for name in names], "until": changed_until, "now": work.now}
    sql(work).execute(_MOVE_CURSORS, values)


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


_ANY_STRAY = select(strays.c.vendor_id).limit(1)


def has_strays(work: Work) -> bool:
    return sql(work).execute(_ANY_STRAY).first() is not None


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
