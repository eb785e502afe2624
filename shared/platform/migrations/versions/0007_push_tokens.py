"""Push tokens of customers, and how customers are found by number and by device."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column(
        "customers", sa.Column("push_token", sa.Text(), nullable=True), schema="customers"
    )
    for column in ("phone", "push_token"):
        op.create_index(
            op.f(f"ix_customers_clinic_id_{column}"),
            "customers",
            ["clinic_id", column],
            unique=False,
            schema="customers",
        )
