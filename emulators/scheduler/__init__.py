"""Cloud Scheduler (google.cloud.scheduler.v1) for the local cloud."""

from emulators.scheduler.engine import Scheduler

__all__ = ["Scheduler"]
