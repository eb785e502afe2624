"""The customers context."""

from shared.platform.migrations import fences

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    fences.schema("customers")
