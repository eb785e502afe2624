"""The billing context."""

import sqlalchemy as sa
from alembic import op

from shared.platform.migrations import fences

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    fences.schema("billing")
    op.create_table(
        "accounts",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("payment_source", sa.Text(), nullable=True),
        sa.Column("resource_version", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_accounts")),
        schema="billing",
    )
    op.create_table(
        "drifts",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("found_on", sa.Date(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("vendor_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("ours", sa.Text(), nullable=True),
        sa.Column("theirs", sa.Text(), nullable=True),
        sa.Column("healed", sa.Boolean(), nullable=False),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint(
            "clinic_id", "found_on", "resource", "vendor_id", name=op.f("pk_drifts")
        ),
        schema="billing",
    )
    op.create_table(
        "invoices",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("vendor_id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("dunning", sa.Text(), nullable=True),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("amount_paid", sa.BigInteger(), nullable=False),
        sa.Column("amount_due", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("invoiced_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paid_told", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("decline", sa.Text(), nullable=True),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("safety_retry", sa.Boolean(), nullable=False),
        sa.Column("method_retry", sa.Boolean(), nullable=False),
        sa.Column("exhausted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("resource_version", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_invoices")),
        sa.UniqueConstraint("clinic_id", "vendor_id", name=op.f("uq_invoices_clinic_id_vendor_id")),
        schema="billing",
    )
    op.create_index(
        "ix_invoices_customer",
        "invoices",
        ["clinic_id", "customer_id", "id"],
        unique=False,
        schema="billing",
    )
    op.create_table(
        "strays",
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("vendor_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("resource", "vendor_id", name=op.f("pk_strays")),
        schema="billing",
    )
    op.create_table(
        "subscriptions",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("vendor_id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("contract_id", sa.Uuid(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("item_price_id", sa.Text(), nullable=True),
        sa.Column("current_term_end", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("resource_version", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_subscriptions")),
        sa.UniqueConstraint(
            "clinic_id", "vendor_id", name=op.f("uq_subscriptions_clinic_id_vendor_id")
        ),
        schema="billing",
    )
    op.create_index(
        "ix_subscriptions_customer",
        "subscriptions",
        ["clinic_id", "customer_id", "id"],
        unique=False,
        schema="billing",
    )
    op.create_table(
        "sync_cursors",
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("changed_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("resource", name=op.f("pk_sync_cursors")),
        schema="billing",
    )
    fences.fence("billing.accounts", "platform")
    fences.fence("billing.drifts", "clinic")
    fences.fence("billing.invoices", "clinic")
    fences.fence("billing.strays", "platform")
    fences.fence("billing.subscriptions", "clinic")
    fences.fence("billing.sync_cursors", "platform")
