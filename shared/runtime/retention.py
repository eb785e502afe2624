"""The clean-up of what the machinery remembers of messages, vendor calls and timers."""

from collections.abc import Callable
from datetime import datetime, timedelta

from pydantic import Field
from sqlalchemy import Connection

from shared.kernel.work import Work
from shared.platform import inbox, intents, outbox, postgres, timers, webhooks
from shared.platform.postgres import Opening
from shared.platform.settings import Settings, load
from shared.platform.steps import Step
from shared.platform.telemetry import log

BATCH = 5_000
"""Rows deleted in one transaction."""

Prune = Callable[[Connection, datetime, int], int]


class RetentionSettings(Settings):
    """How many days are kept.

    INBOX_DAYS is for the inbox and for closed vendor calls. Pub/Sub can keep and redeliver a
    message for 31 days (https://cloud.google.com/pubsub/quotas, "Message retention"): whoever
    forgot it by then would do it again. Raw webhooks hold PHI: keep them no longer than needed.
    """

    outbox_days: int = Field(default=30, ge=1)
    inbox_days: int = Field(default=35, ge=32)
    webhook_days: int = Field(default=30, ge=1)
    timer_days: int = Field(default=30, ge=1)


def prune(work: Work) -> None:
    """Delete what is past retention, in batches that commit by themselves."""
    settings = load(RetentionSettings)
    kept: dict[str, tuple[Prune, int]] = {
        "outbox": (outbox.prune, settings.outbox_days),
        "inbox": (inbox.prune, settings.inbox_days),
        "intents": (intents.prune, settings.inbox_days),
        "webhooks": (webhooks.prune, settings.webhook_days),
        "timers": (timers.prune, settings.timer_days),
    }
    deleted = {
        name: _delete(some, work.now - timedelta(days=days)) for name, (some, days) in kept.items()
    }
    log.info("pruned", **deleted)


def _delete(some: Prune, before: datetime) -> int:
    deleted, latest = 0, BATCH
    while latest == BATCH:
        with postgres.begin(None, Opening(Step.PRUNE)) as opened:
            latest = some(opened.connection, before, BATCH)
        deleted += latest
    return deleted
