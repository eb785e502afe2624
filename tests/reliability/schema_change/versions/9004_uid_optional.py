"""Contract: code that knows no `uid` may add customers."""

from alembic import op

revision = "9004"
down_revision = "9003"
contracts_after = "9003"


def upgrade() -> None:
    op.alter_column("customers", "uid", nullable=True, schema="customers")
