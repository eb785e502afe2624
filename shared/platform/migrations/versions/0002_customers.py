"""The customers context."""

import sqlalchemy as sa
from alembic import op

from shared.platform.migrations import fences

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    fences.schema("customers")
    op.create_table(
        "customers",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("given_name", sa.Text(), nullable=False),
        sa.Column("family_name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("locale", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_customers")),
        sa.UniqueConstraint("clinic_id", "email", name=op.f("uq_customers_clinic_id_email")),
        sa.UniqueConstraint("clinic_id", "uid", name=op.f("uq_customers_clinic_id_uid")),
        schema="customers",
    )
    op.create_table(
        "lifetime_values",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "clinic_id", "customer_id", "currency", name=op.f("pk_lifetime_values")
        ),
        schema="customers",
    )
    fences.fence("customers.customers", "clinic")
    fences.fence("customers.lifetime_values", "clinic")
