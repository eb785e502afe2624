"""The transactional outbox: events are rows of the business transaction, published afterwards.

The rows of one ordering key are only ever claimed through its oldest unsent row (its head), so one
publisher at a time works on a subject and its events leave in order. That order is the one in which
they were committed: who writes events holds their subjects until the commit (`_APPEND`). A
publisher that dies loses its lease after half a minute; the events are then published again, with
the same ids.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Connection, text

from shared.kernel import clock
from shared.kernel.errors import VendorUnavailable
from shared.kernel.event import Occurrence
from shared.platform import postgres
from shared.platform.driver import Prepared
from shared.platform.postgres import literal, quoted
from shared.platform.steps import Step, taking
from shared.platform.telemetry import traces

LEASE = timedelta(seconds=30)
_BACKLOG = text("SELECT count(*), min(created_at) FROM platform.outbox WHERE sent_at IS NULL")
BATCH = 500


_APPEND = Prepared(
    "outbox_append",
    "jsonb",
    """
    WITH slots AS (
      SELECT DISTINCT hashtext(ordering_key) & 255 AS slot
      FROM jsonb_to_recordset($1) AS (ordering_key text) ORDER BY slot),
    line AS MATERIALIZED (SELECT pg_advisory_xact_lock(1868919407, slot) FROM slots)
    INSERT INTO platform.outbox
      (id, topic, ordering_key, type, clinic_id, attributes, payload, created_at)
    SELECT id, topic, ordering_key, type, clinic_id, attributes, payload, created_at
    FROM (SELECT count(*) FROM line) AS lined_up, ROWS FROM (jsonb_to_recordset($1) AS
      (id uuid, topic text, ordering_key text, type text, clinic_id uuid, attributes jsonb,
       payload text, created_at timestamptz)) WITH ORDINALITY
    ORDER BY ordinality""",
)
"""Writers of one subject stand in line until they have committed: `seq` is handed out before that,
so they could get theirs in one order and commit in the other, and what is committed is published.
Nothing but the commit comes after, so that no one who is waited for waits. Slots instead of
subjects bound the locks that a large transaction takes."""


def _claim(name: str, types: str, only: str) -> Prepared:
    """Lease by heads until $2 at the instant $1, at most $3 subjects."""
    statement = f"""
        WITH heads AS (
          SELECT head.seq, head.ordering_key FROM platform.outbox head
          WHERE head.sent_at IS NULL {only}
            AND (head.leased_until IS NULL OR head.leased_until <= $1)
            AND NOT EXISTS (
              SELECT 1 FROM platform.outbox earlier
              WHERE earlier.ordering_key = head.ordering_key
                AND earlier.sent_at IS NULL AND earlier.seq < head.seq)
          ORDER BY head.seq LIMIT $3 FOR UPDATE SKIP LOCKED)
        UPDATE platform.outbox due SET leased_until = $2
        FROM heads
        WHERE due.ordering_key = heads.ordering_key
          AND due.sent_at IS NULL AND due.seq >= heads.seq
        RETURNING due.seq, due.topic, due.ordering_key, due.attributes, due.payload"""
    return Prepared(name, types, statement)


_TIMES = "timestamptz, timestamptz, bigint"
_CLAIM = _claim("outbox_claim", _TIMES, "")
_CLAIM_OF = _claim("outbox_claim_of", f"{_TIMES}, text[]", "AND head.ordering_key = ANY($4)")
_CLAIM_BUT = _claim("outbox_claim_but", f"{_TIMES}, text[]", "AND head.ordering_key <> ALL($4)")
_SENT = Prepared(
    "outbox_sent",
    "timestamptz, bigint[]",
    "UPDATE platform.outbox SET sent_at = $1, leased_until = NULL WHERE seq = ANY($2)",
)


@dataclass(frozen=True)
class Letter:
    """One outbox row on its way to Pub/Sub."""

    seq: int
    topic: str
    ordering_key: str
    attributes: dict[str, str]
    payload: str


class Publisher(Protocol):
    """What carries letters to Pub/Sub."""

    def publish(self, letters: Sequence[Letter]) -> list[int]:
        """Publish in order per ordering key; answers the `seq` of those that were accepted.

        Raises `VendorUnavailable` when none was, and no other letter would be now, either.
        """
        ...


def attributes(occurrence: Occurrence) -> dict[str, str]:
    """The CloudEvents 1.0 attributes of an occurrence, as Pub/Sub attributes.

    Source: CloudEvents Pub/Sub protocol binding (binary content mode), with `ce-` names. The
    `traceparent` is that of the request which wrote it (CloudEvents' distributed tracing
    extension), so that a delivery goes on the same trace, whenever and however often it comes.
    """
    event = occurrence.event
    values = {
        "ce-specversion": "1.0",
        "ce-id": str(occurrence.id),
        "ce-type": event.type,
        "ce-source": occurrence.source,
        "ce-subject": str(event.subject),
        "ce-time": occurrence.time.isoformat(),
        "ce-dataschema": f"/docs/events/{event.type}.json",
        "content-type": "application/json",
        "correlationid": occurrence.correlation_id,
    }
    if occurrence.causation_id:
        values["causationid"] = occurrence.causation_id
    if occurrence.clinic_id:
        values["clinicid"] = str(occurrence.clinic_id)
    if traceparent := traces.traceparent():
        values["traceparent"] = traceparent
    return values


def append_statement(occurrences: Iterable[Occurrence]) -> str:
    """SQL that writes events into the running transaction, in the order they happened."""
    rows = [
        {
            "id": str(occurrence.id),
            "topic": occurrence.event.topic,
            "ordering_key": str(occurrence.event.subject),
            "type": occurrence.event.type,
            "clinic_id": str(occurrence.clinic_id) if occurrence.clinic_id else None,
            "attributes": attributes(occurrence),
            "payload": occurrence.event.model_dump_json(),
            "created_at": occurrence.time.isoformat(),
        }
        for occurrence in occurrences
    ]
    return _APPEND(quoted(json.dumps(rows)))


def claim_statement(
    now: datetime,
    keys: Sequence[str] | None = None,
    most: int = BATCH,
    but: Sequence[str] = (),
) -> str:
    """SQL that leases the unsent events of `most` subjects, for `read`.

    They are among `keys`, if given, or else not among `but`.
    """
    times = literal(now), literal(now + LEASE), literal(most)
    if keys is not None:
        return _CLAIM_OF(*times, literal(keys))
    return _CLAIM_BUT(*times, literal(but)) if but else _CLAIM(*times)


def read(rows: Iterable[Sequence[Any]] | None) -> list[Letter]:
    """What `claim_statement` leased, oldest first."""
    return sorted((Letter(*row) for row in rows or ()), key=lambda letter: letter.seq)


def _settle_statement(now: datetime, letters: Sequence[Letter], sent: Sequence[int]) -> str:
    """SQL that marks what was published as sent, and gives back the lease of the rest."""
    unsent = {letter.seq for letter in letters} - set(sent)
    script = "BEGIN;"
    if sent:
        script += f"{_SENT(literal(now), literal(sent))};"
    if unsent:
        script += (
            "UPDATE platform.outbox SET leased_until = NULL "
            f"WHERE seq = ANY({literal(sorted(unsent))}) AND sent_at IS NULL;"
        )
    return f"{script} COMMIT;"


def drain(
    publisher: Publisher,
    keys: Sequence[str] | None = None,
    leased: Sequence[Letter] | None = None,
) -> int:
    """Publish what is unsent (of the subjects `keys`, or all) until nothing claimable is left.

    `leased` are letters that were claimed already. Answers how many events were published. A
    subject whose letter was refused is left for the next time: it holds up no other, and nothing is
    tried twice. Raises `VendorUnavailable`, and leaves all, when Pub/Sub is away. Rounds repeat
    because an event may be committed while its predecessor is on the way: its own writer cannot
    claim it then, so whoever finishes the predecessor does. Marking commits before the next claim
    looks, for the same reason.
    """
    published = 0
    refused: set[str] = set()
    letters = leased
    if letters is None:
        letters = read(postgres.run_once(Step.OUTBOX_CLAIM, claim_statement(clock.now(), keys)))
    while letters:
        sent = _publish(publisher, letters)
        published += len(sent)
        accepted = set(sent)
        refused |= {letter.ordering_key for letter in letters if letter.seq not in accepted}
        if keys is not None:
            keys = [key for key in keys if key not in refused]
        now = clock.now()
        script = _settle_statement(now, letters, sent)
        if keys is None or keys:
            script += claim_statement(now, keys, but=sorted(refused))
        letters = read(postgres.run_once(Step.OUTBOX_MARK, script))
    return published


def _publish(publisher: Publisher, letters: Sequence[Letter]) -> list[int]:
    """Publish leased letters; when Pub/Sub is away, their lease is given back."""
    try:
        with taking(Step.OUTBOX_PUBLISH) as span:
            span.note({"messaging.batch.message_count": len(letters)})
            span.links = _origins(letters)
            return publisher.publish(letters)
    except VendorUnavailable:
        postgres.run_once(Step.OUTBOX_MARK, _settle_statement(clock.now(), letters, ()))
        raise


def _origins(letters: Sequence[Letter]) -> list[traces.Context]:
    """Where letters come from that others wrote."""
    here = traces.current()
    if here is None or not here.recorded:
        return []
    found = {traces.read(letter.attributes.get("traceparent")) for letter in letters}
    return [one for one in found if one is not None and one.trace_id != here.trace_id]


def backlog(connection: Connection) -> tuple[int, datetime | None]:
    """How many events are unsent, and when the oldest of them happened."""
    unsent, oldest = connection.execute(_BACKLOG).one()
    return unsent, oldest


def send_again(event_id: UUID, since: datetime) -> bool:
    """Let the relay publish an event anew, to all its subscribers; those who have it know it.

    False for one that happened before `since`, and for one that is not here (any more).
    """
    rows = postgres.run_once(
        Step.LETTER_PARK,
        f"""
        UPDATE platform.outbox SET sent_at = NULL
        WHERE id = {literal(event_id)} AND created_at > {literal(since)} RETURNING 1""",
    )
    return bool(rows)


def prune(connection: Connection, before: datetime, most: int) -> int:
    """Delete at most `most` events that were sent before `before`; answers how many."""
    table = "platform.outbox"
    return postgres.delete_some(connection, table, "sent_at < :before", most, before=before)
