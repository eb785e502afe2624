"""Tables of the billing context: what the provider reported, and how far the reading has come.

At the end: how a report gets into its row. These statements are made once, as making one takes
longer than sending it.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Date,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    case,
    func,
    literal_column,
    or_,
)
from sqlalchemy.dialects.postgresql import Insert, insert

from shared.kernel.ids import ClinicId, ContractId, CustomerId, InvoiceId, SubscriptionId
from shared.platform.schema import clinic_table, id_column, platform_table, revised
from shared.platform.tables import Instant

accounts = platform_table(
    "accounts",
    id_column("customer_id", CustomerId, primary_key=True),
    id_column("clinic_id", ClinicId),
    Column("payment_source", Text),
    Column("resource_version", BigInteger, nullable=False),
    Column("updated_at", Instant, nullable=False),
    schema="billing",
)
"""Which clinic a provider's customer belongs to: invoices name their customer only."""

subscriptions = clinic_table(
    "billing",
    "subscriptions",
    id_column("id", SubscriptionId),
    Column("vendor_id", Text, nullable=False),
    id_column("customer_id", CustomerId),
    id_column("contract_id", ContractId, nullable=True),
    Column("status", Text, nullable=False),
    Column("item_price_id", Text),
    Column("current_term_end", Instant),
    Column("deleted", Boolean, nullable=False),
    Column("resource_version", BigInteger, nullable=False),
    *revised(),
    PrimaryKeyConstraint("clinic_id", "id"),
    UniqueConstraint("clinic_id", "vendor_id"),
    Index("ix_subscriptions_customer", "clinic_id", "customer_id", "id"),
)

invoices = clinic_table(
    "billing",
    "invoices",
    id_column("id", InvoiceId),
    Column("vendor_id", Text, nullable=False),
    id_column("customer_id", CustomerId),
    id_column("subscription_id", SubscriptionId, nullable=True),
    Column("status", Text, nullable=False),
    Column("dunning", Text),
    Column("total", BigInteger, nullable=False),
    Column("amount_paid", BigInteger, nullable=False),
    Column("amount_due", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("invoiced_at", Instant, nullable=False),
    Column("due_at", Instant),
    Column("paid_at", Instant),
    Column("paid_told", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("decline", Text),
    Column("failed_at", Instant),
    Column("safety_retry", Boolean, nullable=False),
    Column("method_retry", Boolean, nullable=False),
    Column("exhausted_at", Instant),
    Column("deleted", Boolean, nullable=False),
    Column("resource_version", BigInteger, nullable=False),
    *revised(),
    PrimaryKeyConstraint("clinic_id", "id"),
    UniqueConstraint("clinic_id", "vendor_id"),
    Index("ix_invoices_customer", "clinic_id", "customer_id", "id"),
)
"""Amounts are minor units of `currency`. `attempts` counts declined collections."""

drifts = clinic_table(
    "billing",
    "drifts",
    Column("found_on", Date, nullable=False),
    Column("resource", Text, nullable=False),
    Column("vendor_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("ours", Text),
    Column("theirs", Text),
    Column("healed", Boolean, nullable=False),
    Column("found_at", Instant, nullable=False),
    PrimaryKeyConstraint("clinic_id", "found_on", "resource", "vendor_id"),
)

sync_cursors = platform_table(
    "sync_cursors",
    Column("resource", Text, primary_key=True),
    Column("changed_until", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    schema="billing",
)

strays = platform_table(
    "strays",
    Column("resource", Text, primary_key=True),
    Column("vendor_id", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("found_at", Instant, nullable=False),
    schema="billing",
)
"""Objects of the provider that are nobody's here or make no sense; they stop no other."""


# What is newer is stored

_ONCE = frozenset({"id", "created_at"})


def _if_newer(table: Table, *key: str, **kept: Any) -> Insert:
    """Insert a row, or overwrite one of an older `resource_version`. What is in `kept` becomes of
    the stored value and the excluded one.
    """
    new = insert(table)
    names = [column.name for column in table.c if column.name not in (*_ONCE, *key)]
    changes = {name: new.excluded[name] for name in names}
    changes |= {name: keep(table.c[name], new.excluded[name]) for name, keep in kept.items()}
    return new.on_conflict_do_update(
        index_elements=key,
        set_=changes,
        where=table.c.resource_version < new.excluded.resource_version,
    )


def _old(*names: str) -> list[ColumnElement[Any]]:
    """What a row held before it was overwritten; NULL in one that was inserted."""
    return [literal_column(f"old.{name}").label(f"{name}_before") for name in names]


def _next(stored: ColumnElement[int], _: Any) -> ColumnElement[int]:
    return stored + 1


def _stored(stored: ColumnElement[Any], _: Any) -> ColumnElement[Any]:
    return stored


def _explained(stored: Any, reported: Any) -> ColumnElement[Any]:
    """Why the latest attempt was declined: a report that does not say keeps what is known of it.

    Of a new attempt whose reason the provider does not have any more, nothing is known.
    """
    same = reported.table.c.attempts <= stored.table.c.attempts
    return func.coalesce(reported, case((same, stored)))


SAVE_ACCOUNT = _if_newer(accounts, "customer_id").returning(
    accounts.c.payment_source, *_old("customer_id", "payment_source")
)


_ROW = ("clinic_id", "vendor_id")


SAVE_SUBSCRIPTION = _if_newer(subscriptions, *_ROW, version=_next).returning(
    subscriptions.c.version
)


SAVE_INVOICE = _if_newer(
    invoices,
    *_ROW,
    version=_next,
    paid_told=or_,
    attempts=func.greatest,
    decline=_explained,
    safety_retry=_stored,
    method_retry=_stored,
    exhausted_at=func.coalesce,
).returning(invoices.c.version, *_old("attempts", "paid_told", "exhausted_at"))
