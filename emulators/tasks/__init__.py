"""Cloud Tasks (google.cloud.tasks.v2) for the local cloud."""

from emulators.tasks.engine import Tasks

__all__ = ["Tasks"]
