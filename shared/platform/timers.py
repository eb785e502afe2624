"""Timers live in Postgres; those due soon are handed to Cloud Tasks as mere wake-ups.

A task names a timer and a version. Moving or clearing the timer changes the version, so a task that
is already on its way finds nothing to do.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from shared.kernel.ids import ClinicId, TimerId, TypedId
from shared.kernel.work import Timer
from shared.platform import postgres
from shared.platform.driver import Prepared
from shared.platform.postgres import Opening, literal
from shared.platform.steps import Step

HORIZON = timedelta(hours=24)
"""How long before its time a timer becomes a task; Cloud Tasks accepts at most 30 days."""

_SET = text("""
INSERT INTO platform.timers
  (id, kind, subject, clinic_id, due_at, version, state, correlation_id)
VALUES (:id, :kind, :subject, :clinic_id, :due_at, 1, 'scheduled', :correlation_id)
ON CONFLICT (kind, subject) DO UPDATE SET
  due_at = excluded.due_at, version = timers.version + 1, state = 'scheduled', queued_at = NULL,
  correlation_id = excluded.correlation_id
""")
_CLEAR = text(
    "UPDATE platform.timers SET state = 'cancelled', version = version + 1, queued_at = NULL "
    "WHERE kind = :kind AND subject = :subject AND state IN ('scheduled', 'parked')"
)


_FIRE = Prepared(
    "timer_fire",
    "uuid, int, timestamptz",
    """
    UPDATE platform.timers SET state = 'fired'
    WHERE id = $1 AND version = $2 AND state IN ('scheduled', 'parked') AND due_at <= $3
    RETURNING id, kind, subject, clinic_id, due_at, version, correlation_id""",
)


def schedule(
    connection: Connection,
    kind: str,
    subject: TypedId,
    clinic_id: ClinicId,
    due_at: datetime,
    correlation_id: str,
) -> None:
    """Set or move the one timer of this kind and subject."""
    parameters = {
        "id": TimerId.new(),
        "kind": kind,
        "subject": subject,
        "clinic_id": clinic_id,
        "due_at": due_at,
        "correlation_id": correlation_id,
    }
    connection.execute(_SET, parameters)


def cancel(connection: Connection, kind: str, subject: TypedId) -> None:
    connection.execute(_CLEAR, {"kind": kind, "subject": subject})


@dataclass(frozen=True)
class Firing:
    """A timer row whose time has come, locked for the transaction that handles it."""

    timer: Timer
    clinic_id: ClinicId
    correlation_id: str


def fire(timer_id: UUID, version: int, now: datetime) -> Opening:
    """Marks the timer fired, if it is still this version and due; for `fired`.

    A parked one fires when its dead letter is replayed.
    """
    sql = _FIRE(literal(timer_id), literal(version), literal(now))
    return Opening(Step.TIMER_COMMIT, Step.TIMER_FIRE, sql)


def fired(rows: list[list[Any]]) -> Firing | None:
    """Read the answer of `fire`; None when the task was stale."""
    if not rows:
        return None
    timer_id, kind, subject, clinic_id, due_at, version, correlation_id = rows[0]
    timer = Timer(TimerId(int=timer_id.int), kind, subject, due_at, version)
    return Firing(timer, ClinicId(int=clinic_id.int), correlation_id)


def park(timer_id: UUID, version: int) -> None:
    """Keep a timer whose wake-up was parked as a dead letter from being woken anew."""
    postgres.run_once(
        Step.TIMER_PARK,
        f"""
        UPDATE platform.timers SET state = 'parked'
        WHERE id = {literal(timer_id)} AND version = {literal(version)} AND state = 'scheduled'""",
    )


@dataclass(frozen=True)
class Waiting:
    """A timer that must become a task."""

    id: TimerId
    kind: str
    due_at: datetime
    version: int


_DUE_SOON = text(
    "SELECT id, kind, due_at, version FROM platform.timers "
    "WHERE state = 'scheduled' AND queued_at IS NULL AND due_at <= :until "
    "ORDER BY due_at LIMIT :most"
)
_QUEUED = text("""
UPDATE platform.timers SET queued_at = :now
FROM unnest(CAST(:ids AS uuid[]), CAST(:versions AS int[])) AS made (id, version)
WHERE timers.id = made.id AND timers.version = made.version AND state = 'scheduled'
""")
_NEXT = text(
    "SELECT min(due_at) FROM platform.timers WHERE state = 'scheduled' AND queued_at IS NULL"
)
_LOST = text(
    "UPDATE platform.timers SET queued_at = NULL, version = version + 1 "
    "WHERE state = 'scheduled' AND due_at < :before AND queued_at < :before"
)
_OVERDUE = text(
    "SELECT min(greatest(due_at, queued_at)) FROM platform.timers "
    "WHERE state = 'scheduled' AND queued_at IS NOT NULL"
)


def due_soon(connection: Connection, until: datetime, most: int = 1000) -> list[Waiting]:
    """Timers due by `until` that have no task yet, earliest first."""
    rows = connection.execute(_DUE_SOON, {"until": until, "most": most})
    return [Waiting(TimerId(int=row.id.int), row.kind, row.due_at, row.version) for row in rows]


def mark_queued(connection: Connection, waiting: list[Waiting], now: datetime) -> None:
    """Note that these have a task now, those aside that were moved or ended meanwhile."""
    ids, versions = [str(timer.id) for timer in waiting], [timer.version for timer in waiting]
    if ids:
        connection.execute(_QUEUED, {"now": now, "ids": ids, "versions": versions})


def next_unqueued(connection: Connection) -> datetime | None:
    """When the earliest timer without a task is due."""
    found: datetime | None = connection.execute(_NEXT).scalar()
    return found


def next_queued(connection: Connection) -> datetime | None:
    """When the first of the tasks under way should come."""
    found: datetime | None = connection.execute(_OVERDUE).scalar()
    return found


def requeue_lost(connection: Connection, before: datetime) -> int:
    """Let timers whose task should have come before `before` be queued anew, as another version."""
    return connection.execute(_LOST, {"before": before}).rowcount


def prune(connection: Connection, before: datetime, most: int) -> int:
    """Delete at most `most` fired or cancelled timers that were due before `before`.

    A task that still comes for one finds nothing. Answers how many.
    """
    where = "state IN ('fired', 'cancelled') AND due_at < :before"
    return postgres.delete_some(connection, "platform.timers", where, most, before=before)
