"""Contract: nobody reads or writes `uid` any more."""

from alembic import op

revision = "9005"
down_revision = "9004"
contracts_after = "9004"


def upgrade() -> None:
    op.drop_column("customers", "uid", schema="customers")
