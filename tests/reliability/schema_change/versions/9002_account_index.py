"""Expand: an account is a customer of a clinic once."""

from shared.platform.migrations import changes

revision = "9002"
down_revision = "9001"


def upgrade() -> None:
    changes.index(
        "uq_customers_clinic_id_account",
        "customers.customers",
        ["clinic_id", "account"],
        unique=True,
    )
