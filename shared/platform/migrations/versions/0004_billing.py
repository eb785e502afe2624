"""The billing context."""

from shared.platform.migrations import fences

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    fences.schema("billing")
