"""The outbox relay against a loop inside the database, and against a queue of some renown.

The loop claims and marks the same rows and is what the database alone takes. PgQueuer's worker
takes jobs from a table likewise, in batches of the same size, each in a process of its own. It
starts a task for each job and notes each in a log, which the relay does not; the relay keeps the
events of a subject in order, which the worker does not.

The relay runs with telemetry exported, unless OTEL_SDK_DISABLED is true.
"""

import os
import subprocess
import sys
from collections.abc import Iterator

from sqlalchemy.engine import make_url

from bench import peers
from bench.database import Database, database
from bench.emulated import local_engine, reached_at, topic
from bench.kit import Result, compare, expect, rate
from bench.peers.worker import Worker, worker
from bench.servers.otlp import Receiver, receiver, telemetry_wanted
from bench.servers.relay import Accepts
from bench.trips import counted
from shared.platform import outbox
from shared.platform.telemetry import export, traces
from shared.platform.telemetry.traces import Kind

ROWS = 20_000
JOBS = 5_000
MOST_TRIPS = ROWS // outbox.BATCH + 1
"""To mark each batch and claim the next; and once to prepare the statement that marks."""

_FILL = """
INSERT INTO platform.outbox
  (id, topic, ordering_key, type, attributes, payload, created_at)
SELECT gen_random_uuid(), 'contract-events', gen_random_uuid()::text, 'contract.created',
  jsonb_build_object(
    'ce-type', 'contract.created', 'ce-id', '0198c0de-0000-7000-8000-000000000001',
    'traceparent', '00-' || md5(n::text) || '-' || left(md5((-n)::text), 16) || '-01'),
  '{"contract_id": "0198c0de-0000-7000-8000-000000000001", "version": 1}', now()
FROM generate_series(1, %d) n
"""

_LOOP = f"""
DO $$
DECLARE claimed bigint[];
BEGIN
  LOOP
    WITH heads AS (
      SELECT head.seq, head.ordering_key FROM platform.outbox head
      WHERE head.sent_at IS NULL AND (head.leased_until IS NULL OR head.leased_until <= now())
        AND NOT EXISTS (
          SELECT 1 FROM platform.outbox earlier
          WHERE earlier.ordering_key = head.ordering_key
            AND earlier.sent_at IS NULL AND earlier.seq < head.seq)
      ORDER BY head.seq LIMIT {outbox.BATCH} FOR UPDATE SKIP LOCKED),
    leased AS (
      UPDATE platform.outbox due SET leased_until = now() + interval '60 s' FROM heads
      WHERE due.ordering_key = heads.ordering_key
        AND due.sent_at IS NULL AND due.seq >= heads.seq
      RETURNING due.seq)
    SELECT array_agg(seq) INTO claimed FROM leased;
    EXIT WHEN claimed IS NULL;
    UPDATE platform.outbox SET sent_at = now(), leased_until = NULL WHERE seq = ANY(claimed);
    COMMIT;
  END LOOP;
END $$
"""


def _fill(db: Database, rows: int) -> None:
    db.run("TRUNCATE platform.outbox")
    db.run(_FILL % rows)
    db.run("ANALYZE platform.outbox")


def _relayed(db: Database, spans: Receiver, rows: int) -> float:
    """Rows a second; in the span of a request, as the cron that runs it is one."""
    _fill(db, rows)
    spans.forget()

    def drain() -> None:
        with traces.request("outbox_relay", Kind.SERVER, None):
            expect("published", outbox.drain(Accepts()), rows)
        export.follow_up()

    found = rate(rows, drain)
    _drained(db, rows)
    if telemetry_wanted():
        spans.awaited(1)
    return found


def _drained(db: Database, rows: int) -> None:
    sent = db.run("SELECT count(*) FROM platform.outbox WHERE sent_at IS NOT NULL")[0][0]
    expect("rows marked as sent", sent, rows)


def _round_trips(db: Database) -> int:
    """What draining the rows takes beyond draining none, in a process of its own."""
    found = []
    command = [sys.executable, "-m", "bench.servers.relay"]
    for rows in (0, ROWS):
        _fill(db, rows)
        with counted() as trips:
            subprocess.run(command, env=os.environ | trips.environment, check=True, timeout=60)
            found.append(trips.round_trips)
        _drained(db, rows)
    if found[1] - found[0] > MOST_TRIPS:
        raise AssertionError(f"{found[1] - found[0]} round trips for {ROWS} rows")
    return found[1] - found[0]


def run() -> Iterator[Result]:
    with database() as db, receiver() as spans:
        os.environ |= spans.environment

        def by_loop() -> float:
            _fill(db, ROWS)
            found = rate(ROWS, lambda: db.run(_LOOP))
            _drained(db, ROWS)
            return found

        notes: dict[str, object] = {"round trips to Postgres for all rows": _round_trips(db)}
        result = compare(
            "outbox_relay",
            ("relay", lambda: _relayed(db, spans, ROWS)),
            ("PL/pgSQL loop", by_loop),
            unit="rows/s",
            limit=0.5,
            at_least=True,
            notes=notes,
        )
        notes["spans of draining once"] = spans.counts()["spans"] if telemetry_wanted() else "off"
        notes["with publishing to the local Pub/Sub"] = _published(db)
        yield result
        yield _against_pgqueuer(db, spans)


def _against_pgqueuer(db: Database, spans: Receiver) -> Result:
    name, ours = "outbox_relay_pgqueuer", ("relay", lambda: _relayed(db, spans, JOBS))
    unit, peer = "rows/s", "PgQueuer"
    if not peers.present():
        return compare(name, ours, (peer, None), unit=unit, limit=None, at_least=True)
    db.run("CREATE DATABASE queue")
    url = make_url(os.environ["DATABASE_ADMIN_URL"]).set(database="queue")
    queue = Database(url.render_as_string(hide_password=False))
    try:
        with worker(url) as one:
            theirs = (peer, lambda: _worked_off(queue, one))
            return compare(name, ours, theirs, unit=unit, limit=None, at_least=True)
    finally:
        queue.close()


def _worked_off(queue: Database, one: Worker) -> float:
    """Jobs a second."""
    one.told(f"fill {JOBS}")
    seconds = one.told("drain")
    expect("jobs left", queue.run("SELECT count(*) FROM pgqueuer")[0][0], 0)
    done = "SELECT count(*) FROM pgqueuer_log WHERE status = 'successful'"
    expect("jobs done", queue.run(done)[0][0], JOBS)
    queue.run("TRUNCATE pgqueuer, pgqueuer_log")
    return JOBS / seconds


def _published(db: Database) -> str:
    """Rows a second when the local Pub/Sub, in a process of its own, takes them."""
    from shared.platform.pubsub import PubSubPublisher

    with local_engine("pubsub") as address, reached_at("pubsub", address):
        topic(address, "contract-events")
        _fill(db, ROWS)
        found = rate(ROWS, lambda: outbox.drain(PubSubPublisher()))
        _drained(db, ROWS)
    return f"{found:,.0f} rows/s"
