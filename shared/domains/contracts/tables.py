"""Tables of the contracts context."""

from sqlalchemy import (
    Boolean,
    Column,
    Date,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Text,
    text,
)

from shared.kernel.ids import ContractId, CustomerId
from shared.platform.schema import clinic_table, id_column, revised

_OPEN = text("status IN ('future', 'active', 'paused')")

plans = clinic_table(
    "contracts",
    "plans",
    Column("code", Text, nullable=False),
    Column("treatment", Text, nullable=False),
    Column("item_price_id", Text, nullable=False),
    Column("monthly_item_price_id", Text, nullable=False),
    Column("term_months", Integer, nullable=False),
    Column("upfront", Boolean, nullable=False),
    Column("active", Boolean, nullable=False),
    PrimaryKeyConstraint("clinic_id", "code"),
)

contracts = clinic_table(
    "contracts",
    "contracts",
    id_column("id", ContractId),
    id_column("customer_id", CustomerId),
    Column("plan", Text, nullable=False),
    Column("next_plan", Text),
    Column("former_plan", Text),
    Column("treatment", Text, nullable=False),
    Column("subscription_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("starts_on", Date, nullable=False),
    Column("ends_on", Date, nullable=False),
    Column("term_day", Integer, nullable=False),
    Column("paused_on", Date),
    Column("linked", Boolean, nullable=False),
    Column("cancels_at_term", Boolean, nullable=False),
    id_column("predecessor_id", ContractId, nullable=True),
    *revised(),
    PrimaryKeyConstraint("clinic_id", "id"),
    ForeignKeyConstraint(
        ["clinic_id", "plan"], ["contracts.plans.clinic_id", "contracts.plans.code"]
    ),
    Index(
        "uq_contracts_open_treatment",
        "clinic_id",
        "customer_id",
        "treatment",
        unique=True,
        postgresql_where=_OPEN,
    ),
    Index(
        "uq_contracts_open_subscription",
        "clinic_id",
        "subscription_id",
        unique=True,
        postgresql_where=_OPEN,
    ),
    Index("ix_contracts_open_ends_on", "clinic_id", "ends_on", postgresql_where=_OPEN),
)
