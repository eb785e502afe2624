"""The support context."""

import sqlalchemy as sa
from alembic import op

from shared.platform.migrations import fences

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    fences.schema("support")
    op.create_table(
        "customers",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("vendor_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("clinic_id", "customer_id", name=op.f("pk_customers")),
        schema="support",
    )
    op.create_table(
        "tickets",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("vendor_id", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_tickets")),
        sa.UniqueConstraint(
            "clinic_id", "invoice_id", name=op.f("uq_tickets_clinic_id_invoice_id")
        ),
        schema="support",
    )
    fences.fence("support.customers", "clinic")
    fences.fence("support.tickets", "clinic")
