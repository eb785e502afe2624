"""Push tokens of customers."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column(
        "customers", sa.Column("push_token", sa.Text(), nullable=True), schema="customers"
    )
