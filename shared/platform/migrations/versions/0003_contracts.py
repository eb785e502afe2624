"""The contracts context."""

import sqlalchemy as sa
from alembic import op

from shared.platform.migrations import fences

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    fences.schema("contracts")
    op.create_table(
        "plans",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("treatment", sa.Text(), nullable=False),
        sa.Column("item_price_id", sa.Text(), nullable=False),
        sa.Column("monthly_item_price_id", sa.Text(), nullable=False),
        sa.Column("term_months", sa.Integer(), nullable=False),
        sa.Column("upfront", sa.Boolean(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("clinic_id", "code", name=op.f("pk_plans")),
        schema="contracts",
    )
    op.create_table(
        "contracts",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("next_plan", sa.Text(), nullable=True),
        sa.Column("treatment", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=False),
        sa.Column("paused_on", sa.Date(), nullable=True),
        sa.Column("linked", sa.Boolean(), nullable=False),
        sa.Column("cancels_at_term", sa.Boolean(), nullable=False),
        sa.Column("predecessor_id", sa.Uuid(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["clinic_id", "plan"],
            ["contracts.plans.clinic_id", "contracts.plans.code"],
            name=op.f("fk_contracts_clinic_id_plan"),
        ),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_contracts")),
        schema="contracts",
    )
    op.create_index(
        "ix_contracts_open_ends_on",
        "contracts",
        ["clinic_id", "ends_on"],
        unique=False,
        schema="contracts",
        postgresql_where=sa.text("status IN ('future', 'active', 'paused')"),
    )
    op.create_index(
        "uq_contracts_open_subscription",
        "contracts",
        ["clinic_id", "subscription_id"],
        unique=True,
        schema="contracts",
        postgresql_where=sa.text("status IN ('future', 'active', 'paused')"),
    )
    op.create_index(
        "uq_contracts_open_treatment",
        "contracts",
        ["clinic_id", "customer_id", "treatment"],
        unique=True,
        schema="contracts",
        postgresql_where=sa.text("status IN ('future', 'active', 'paused')"),
    )
    fences.fence("contracts.contracts", "clinic")
    fences.fence("contracts.plans", "clinic")
