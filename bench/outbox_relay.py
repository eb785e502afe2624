"""The outbox relay against a loop inside the database that claims and marks the same rows."""

from collections.abc import Iterator, Sequence

from bench.database import Database, database
from bench.emulated import local_engine, reached_at, topic
from bench.kit import Result, compare, rate
from shared.platform import outbox
from shared.platform.outbox import Letter

ROWS = 20_000

_FILL = f"""
INSERT INTO platform.outbox
  (id, topic, ordering_key, type, attributes, payload, created_at)
SELECT gen_random_uuid(), 'contract-events', gen_random_uuid()::text, 'contract.created',
  '{{"ce-type": "contract.created", "ce-id": "0198c0de-0000-7000-8000-000000000001"}}',
  '{{"contract_id": "0198c0de-0000-7000-8000-000000000001", "version": 1}}', now()
FROM generate_series(1, {ROWS})
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


class _Accepts:
    """A publisher that takes everything at once, so that only the database's share is measured."""

    def publish(self, letters: Sequence[Letter]) -> list[int]:
        return [letter.seq for letter in letters]


def _fill(db: Database) -> None:
    db.run("TRUNCATE platform.outbox")
    db.run(_FILL)
    db.run("ANALYZE platform.outbox")


def _drained(db: Database) -> None:
    left = db.run("SELECT count(*) FROM platform.outbox WHERE sent_at IS NULL")[0][0]
    if left:
        raise AssertionError(f"{left} rows were left unsent")


def run() -> Iterator[Result]:
    with database() as db:

        def ours() -> float:
            _fill(db)
            found = rate(ROWS, lambda: outbox.drain(_Accepts()))
            _drained(db)
            return found

        def peer() -> float:
            _fill(db)
            found = rate(ROWS, lambda: db.run(_LOOP))
            _drained(db)
            return found

        yield compare(
            "outbox_relay",
            ("relay", ours),
            ("PL/pgSQL loop", peer),
            unit="rows/s",
            limit=0.5,
            at_least=True,
            notes={"with publishing to the local Pub/Sub": _published(db)},
        )


def _published(db: Database) -> str:
    """Rows a second when the local Pub/Sub, in a process of its own, takes them."""
    from shared.platform.pubsub import PubSubPublisher

    with local_engine("pubsub") as address, reached_at("pubsub", address):
        topic(address, "contract-events")
        _fill(db)
        found = rate(ROWS, lambda: outbox.drain(PubSubPublisher()))
        _drained(db)
    return f"{found:,.0f} rows/s"
