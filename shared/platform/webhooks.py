"""Inbound vendor webhooks, stored raw before anything is made of them."""

from datetime import datetime

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects.postgresql import insert

from shared.kernel.ids import WebhookId
from shared.platform import postgres, tables

_STORE = insert(tables.webhooks).on_conflict_do_nothing().returning(tables.webhooks.c.id)
_BODY = select(tables.webhooks.c.body).where(tables.webhooks.c.id == bindparam("id"))


def store(
    connection: Connection, vendor: str, vendor_event_id: str, body: bytes, now: datetime
) -> WebhookId | None:
    """Keep a webhook; None when this vendor event was stored before (vendors repeat themselves)."""
    values = {
        "id": WebhookId.new(),
        "vendor": vendor,
        "vendor_event_id": vendor_event_id,
        "body": body,
        "received_at": now,
    }
    stored: WebhookId | None = connection.execute(_STORE, values).scalar_one_or_none()
    return stored


def body(connection: Connection, webhook_id: WebhookId) -> bytes | None:
    """The raw body, or None when it was pruned."""
    found = connection.execute(_BODY, {"id": webhook_id}).scalar_one_or_none()
    return None if found is None else bytes(found)


def prune(connection: Connection, before: datetime, most: int) -> int:
    """Delete at most `most` webhooks received before `before`; answers how many."""
    table = "platform.webhooks"
    return postgres.delete_some(connection, table, "received_at < :before", most, before=before)
