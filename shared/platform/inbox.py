"""The inbox: a message takes effect once per handler, however often it is delivered."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, delete

from shared.platform import tables
from shared.platform.postgres import literal


def claim_statement(handler: str, event_id: UUID) -> str:
    """SQL that claims the message for `handler`: it answers one row the first time, then none.

    It is the first statement of the business transaction. A second delivery at the same moment
    waits on the unique key until the first has committed (no row) or rolled back (its turn).
    """
    return (
        "INSERT INTO platform.inbox (handler, event_id) "
        f"VALUES ({literal(handler)}, {literal(event_id)}) ON CONFLICT DO NOTHING RETURNING 1"
    )


def prune(connection: Connection, before: datetime) -> int:
    """Forget messages received before `before`; no redelivery may come later than that."""
    statement = delete(tables.inbox).where(tables.inbox.c.received_at < before)
    return connection.execute(statement).rowcount
