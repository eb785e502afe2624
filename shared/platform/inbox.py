"""The inbox: a message takes effect once per handler, however often it is delivered."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from shared.kernel import clock
from shared.platform import dead_letters, postgres
from shared.platform.driver import Prepared
from shared.platform.postgres import Opening, literal
from shared.platform.steps import Step

_CLAIM = Prepared(
    "inbox_claim",
    "text, uuid, timestamptz",
    "INSERT INTO platform.inbox (handler, event_id, received_at) VALUES ($1, $2, $3) "
    "ON CONFLICT DO NOTHING RETURNING 1",
)


def claim(handler: str, event_id: UUID) -> Opening:
    """Claims the message for `handler`: it answers one row the first time, then none.

    It is the first statement of the business transaction. A second delivery at the same moment
    waits on the unique key until the first has committed (no row) or rolled back (its turn).
    """
    sql = _CLAIM(literal(handler), literal(event_id), literal(clock.now()))
    return Opening(Step.INBOX_COMMIT, Step.INBOX_CLAIM, sql)


def prune(connection: Connection, before: datetime, most: int) -> int:
    """Forget at most `most` messages received before `before`; answers how many.

    No redelivery may come later than that. What is parked may be replayed at any time, to all of
    its handlers: it is not forgotten.
    """
    where = f"received_at < :before AND {dead_letters.not_parked('event_id')}"
    return postgres.delete_some(connection, "platform.inbox", where, most, before=before)
