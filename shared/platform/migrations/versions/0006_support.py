"""The support context."""

from shared.platform.migrations import fences

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    fences.schema("support")
