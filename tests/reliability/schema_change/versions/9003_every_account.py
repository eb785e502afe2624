"""Expand: every customer has an account. All code that writes customers fills it by now."""

from shared.platform.migrations import changes

revision = "9003"
down_revision = "9002"


def upgrade() -> None:
    changes.backfill(
        "customers.customers", assign="account = uid", where="account IS NULL", most=50
    )
    changes.require("customers.customers", "account")
