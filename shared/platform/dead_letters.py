"""Messages that cannot be handled are parked here, whole, until somebody replays them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy import Connection, Row, text
from sqlalchemy.dialects.postgresql import insert

from shared.platform import postgres, tables
from shared.platform.postgres import Opening
from shared.platform.steps import Step
from shared.platform.telemetry import metrics


@dataclass(frozen=True)
class DeadLetter:
    """A parked request: its body is the raw push body, `path` the trigger it came through.

    `handler` is the one that could not handle it; empty where it came to none. `reason` carries no
    PHI. The body may: it is shown nowhere outside.
    """

    id: UUID
    function: str
    handler: str
    path: str
    reason: str
    attributes: Mapping[str, Any]
    body: bytes
    created_at: datetime


def letter_id(function: str, handler: str, path: str, what: str) -> UUID:
    """The id of the letter about `what` (an event, a message): parked again it is the same one."""
    return uuid5(NAMESPACE_URL, f"{function}/{handler}{path}:{what}")


def park(letter: DeadLetter) -> None:
    """Keep a message in a transaction of its own.

    One that is parked already has the new reason and instant, and is not replayed yet.
    """
    row = vars(letter) | {"attributes": {k: _storable(v) for k, v in letter.attributes.items()}}
    with postgres.begin(None, Opening(Step.LETTER_PARK)) as opened:
        new = insert(tables.dead_letters).values(row)
        again = {"reason": letter.reason, "created_at": letter.created_at, "replayed_at": None}
        opened.connection.execute(new.on_conflict_do_update(index_elements=["id"], set_=again))
    metrics.DEAD_LETTERS_PARKED.add(1, letter.function, letter.handler)


def _storable(text: str) -> str:
    """Postgres has no room for NUL; the body has it still."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


_READ = "SELECT id, function, handler, path, reason, attributes, body, created_at"
_COUNT = text("SELECT count(*) FROM platform.dead_letters WHERE replayed_at IS NULL")
_FIND = text(f"{_READ} FROM platform.dead_letters WHERE id = :id AND function = :function")
_WAITING = text(f"""
{_READ} FROM platform.dead_letters
WHERE function = :function AND replayed_at IS NULL
  AND (CAST(:handler AS text) IS NULL OR handler = :handler)
  AND starts_with(reason, :reason) AND (CAST(:after AS uuid) IS NULL OR id > :after)
ORDER BY id LIMIT :most""")


def find(function: str, letter_id: UUID) -> DeadLetter | None:
    """The parked message of `function`, whether replayed before or not."""
    with postgres.begin(None, Opening(Step.WORK_COMMIT)) as opened:
        found = opened.connection.execute(_FIND, {"id": letter_id, "function": function})
        row = found.one_or_none()
    return _letter(row) if row else None


def waiting(
    function: str, handler: str | None, reason: str, after: UUID | None, most: int
) -> list[DeadLetter]:
    """At most `most` letters of `function` that were not replayed, in the order of their ids.

    `handler` and how the `reason` begins narrow it down; `after` goes on behind a letter.
    """
    wanted = {
        "function": function,
        "handler": handler,
        "reason": reason,
        "after": after,
        "most": most,
    }
    with postgres.begin(None, Opening(Step.WORK_COMMIT)) as opened:
        return [_letter(row) for row in opened.connection.execute(_WAITING, wanted)]


def count(connection: Connection) -> int:
    """How many letters wait, of all functions."""
    return int(connection.execute(_COUNT).scalar_one())


def _letter(row: Row[Any]) -> DeadLetter:
    return DeadLetter(**dict(row._mapping) | {"body": bytes(row.body)})


def not_parked(event_id: str) -> str:
    """SQL that holds where the event named by the column `event_id` is not parked here."""
    return f"""{event_id}::text NOT IN (
      SELECT attributes ->> 'ce-id' FROM platform.dead_letters WHERE attributes ? 'ce-id')"""


def mark_replayed(letter_id: UUID, now: datetime) -> None:
    statement = text("UPDATE platform.dead_letters SET replayed_at = :now WHERE id = :id")
    with postgres.begin(None, Opening(Step.LETTER_REPLAYED)) as opened:
        opened.connection.execute(statement, {"now": now, "id": letter_id})
