"""The day on which terms end, and the plan that holds until the provider took another."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("contracts", sa.Column("former_plan", sa.Text()), schema="contracts")
    op.add_column("contracts", sa.Column("term_day", sa.Integer()), schema="contracts")
