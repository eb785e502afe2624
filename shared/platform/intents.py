"""Intents: one row per vendor call to be made, so that it is made once.

`open` (to be called), `calling` (a call may be under way: it is leased), `unknown` (a call went out
and its outcome is not known), `done`, `refused`. A `calling` row whose lease ran out belongs to a
process that died: its outcome is unknown.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from shared.kernel import clock
from shared.platform import dead_letters, postgres
from shared.platform.postgres import literal

LEASE = timedelta(seconds=90)


class IntentState(StrEnum):
    OPEN = "open"
    CALLING = "calling"
    UNKNOWN = "unknown"
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True)
class Claim:
    """What stood in the row before (`None` when somebody else is calling right now), which attempt
    this is, and when the vendor was last called, if it may have been.
    """

    before: IntentState | None
    attempt: int = 0
    called_at: datetime | None = None

    @property
    def closed(self) -> bool:
        return self.before in (IntentState.DONE, IntentState.REFUSED)


def claim_statement(handler: str, event_id: UUID, now: datetime) -> str:
    """SQL that leases the intent; answers the state it was in, for `claimed`."""
    key = f"handler = {literal(handler)} AND event_id = {literal(event_id)}"
    return f"""
        INSERT INTO platform.intents (handler, event_id, state, updated_at)
        VALUES ({literal(handler)}, {literal(event_id)}, 'open', {literal(now)})
        ON CONFLICT DO NOTHING;
        WITH before AS (
          SELECT state, leased_until, called_at FROM platform.intents WHERE {key} FOR UPDATE)
        UPDATE platform.intents SET state = 'calling', attempts = attempts + 1,
          called_at = CASE before.state WHEN 'open' THEN {literal(now)} ELSE before.called_at END,
          leased_until = {literal(now + LEASE)}, updated_at = {literal(now)}
        FROM before
        WHERE {key} AND before.state NOT IN ('done', 'refused')
          AND (before.state <> 'calling' OR before.leased_until <= {literal(now)})
        RETURNING before.state, intents.attempts, before.called_at"""


def claimed(connection: Connection, rows: list[list[Any]], handler: str, event_id: UUID) -> Claim:
    """Read the answer of `claim_statement`; a `calling` row that was free counts as unknown."""
    if rows:
        before, attempt, called_at = rows[0]
        state = IntentState(before)
        unknown = state in (IntentState.CALLING, IntentState.UNKNOWN)
        return Claim(IntentState.UNKNOWN if unknown else state, attempt, called_at)
    found = connection.execute(
        text("SELECT state FROM platform.intents WHERE handler = :handler AND event_id = :event"),
        {"handler": handler, "event": event_id},
    ).scalar_one()
    state = IntentState(found)
    return Claim(None if state is IntentState.CALLING else state)


def close_statement(handler: str, event_id: UUID, attempt: int, state: IntentState) -> str:
    """SQL that gives the lease of `attempt` back with a state; with ` RETURNING 1` it says whether.

    It changes nothing when another attempt has taken over since: a caller that was slower than its
    lease must not undo what its successor did.
    """
    return f"""
        UPDATE platform.intents
        SET state = {literal(state.value)}, leased_until = NULL, updated_at = {literal(clock.now())}
        WHERE handler = {literal(handler)} AND event_id = {literal(event_id)}
          AND state = 'calling' AND attempts = {literal(attempt)}"""


def reopen(handler: str, event_id: UUID, attempt: int, state: IntentState) -> None:
    """Give the lease back in a transaction of its own, for the next delivery to go on from."""
    postgres.run_once(close_statement(handler, event_id, attempt, state))


def call_again(handler: str, event_id: UUID, attempt: int, now: datetime) -> bool:
    """Note that the vendor is called once more; False when another attempt has taken over."""
    return bool(
        postgres.run_once(f"""
            UPDATE platform.intents SET called_at = {literal(now)}
            WHERE handler = {literal(handler)} AND event_id = {literal(event_id)}
              AND state = 'calling' AND attempts = {literal(attempt)}
            RETURNING 1""")
    )


def prune(connection: Connection, before: datetime, most: int) -> int:
    """Forget at most `most` closed intents last touched before `before`; answers how many.

    They answer redeliveries as the inbox does, so what is parked is not forgotten.
    """
    where = f"""updated_at < :before AND state IN ('done', 'refused')
      AND {dead_letters.not_parked("event_id")}"""
    return postgres.delete_some(connection, "platform.intents", where, most, before=before)
