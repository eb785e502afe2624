"""Expand: customers get an `account`, which is to take the place of `uid`."""

import sqlalchemy as sa
from alembic import op

from shared.platform.migrations import newest

revision = "9001"
down_revision = newest()


def upgrade() -> None:
    op.add_column("customers", sa.Column("account", sa.Text()), schema="customers")
