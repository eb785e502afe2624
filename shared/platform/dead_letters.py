"""Messages that cannot be handled are parked here, whole, until somebody replays them."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert

from shared.platform import postgres, tables
from shared.platform.postgres import Opening
from shared.platform.steps import Step


@dataclass(frozen=True)
class DeadLetter:
    """A parked request: its body is the raw push body, `path` the trigger it came through."""

    id: UUID
    handler: str
    path: str
    attributes: dict[str, Any]
    body: bytes


def park(
    function: str,
    handler: str,
    path: str,
    reason: str,
    attributes: dict[str, str],
    body: bytes,
    now: datetime,
) -> UUID:
    """Keep a message in a transaction of its own; answers its id. `reason` carries no PHI.

    The same event parked again for the same handler is the same letter, not replayed yet.
    """
    what = attributes.get("ce-id") or sha256(body).hexdigest()
    parked = uuid5(NAMESPACE_URL, f"{function}/{handler}{path}:{what}")
    row = {
        "id": parked,
        "function": function,
        "handler": handler,
        "path": path,
        "reason": reason,
        "attributes": attributes,
        "body": body,
        "created_at": now,
    }
    with postgres.begin(None, Opening(Step.LETTER_PARK)) as opened:
        new = insert(tables.dead_letters).values(row)
        again = {"reason": reason, "created_at": now, "replayed_at": None}
        opened.connection.execute(new.on_conflict_do_update(index_elements=["id"], set_=again))
    return parked


def find(function: str, letter_id: UUID) -> DeadLetter | None:
    """The parked message of `function`, whether replayed before or not."""
    query = text(
        "SELECT id, handler, path, attributes, body FROM platform.dead_letters "
        "WHERE id = :id AND function = :function"
    )
    with postgres.begin(None, Opening(Step.WORK_COMMIT)) as opened:
        row = opened.connection.execute(
            query, {"id": letter_id, "function": function}
        ).one_or_none()
    return (
        DeadLetter(row.id, row.handler, row.path, row.attributes, bytes(row.body)) if row else None
    )


def not_parked(event_id: str) -> str:
    """SQL that holds where the event named by the column `event_id` is not parked here."""
    return f"""{event_id}::text NOT IN (
      SELECT attributes ->> 'ce-id' FROM platform.dead_letters WHERE attributes ? 'ce-id')"""


def mark_replayed(letter_id: UUID, now: datetime) -> None:
    statement = text("UPDATE platform.dead_letters SET replayed_at = :now WHERE id = :id")
    with postgres.begin(None, Opening(Step.LETTER_REPLAYED)) as opened:
        opened.connection.execute(statement, {"now": now, "id": letter_id})
