"""The notifications context."""

from shared.platform.migrations import fences

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    fences.schema("notifications")
