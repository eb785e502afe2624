"""Every contract has its day, and customers are found by number and by device."""

from shared.platform.migrations import changes

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    changes.backfill(
        "contracts.contracts",
        assign="term_day = extract(day FROM ends_on)",
        where="term_day IS NULL",
    )
    changes.require("contracts.contracts", "term_day")
    for column in ("phone", "push_token"):
        name = f"ix_customers_clinic_id_{column}"
        changes.index(name, "customers.customers", ["clinic_id", column])
