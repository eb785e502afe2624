"""The contracts context."""

from shared.platform.migrations import fences

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    fences.schema("contracts")
