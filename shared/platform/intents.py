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
from shared.platform.driver import Prepared
from shared.platform.postgres import Opening, literal
from shared.platform.steps import Step

LEASE = timedelta(seconds=90)


class IntentState(StrEnum):
    OPEN = "open"
    CALLING = "calling"
    UNKNOWN = "unknown"
    DONE = "done"
    REFUSED = "refused"


_OPEN = Prepared(
    "intent_open",
    "text, uuid, timestamptz",
    "INSERT INTO platform.intents (handler, event_id, state, updated_at) "
    "VALUES ($1, $2, 'open', $3) ON CONFLICT DO NOTHING",
)
_TAKE = Prepared(
    "intent_take",
    "text, uuid, timestamptz, timestamptz",
    """
    WITH before AS (
      SELECT state, leased_until, called_at FROM platform.intents
      WHERE handler = $1 AND event_id = $2 FOR UPDATE)
    UPDATE platform.intents SET state = 'calling', attempts = attempts + 1,
      called_at = CASE before.state WHEN 'open' THEN $3 ELSE before.called_at END,
      leased_until = $4, updated_at = $3
    FROM before
    WHERE handler = $1 AND event_id = $2 AND before.state NOT IN ('done', 'refused')
      AND (before.state <> 'calling' OR before.leased_until <= $3)
    RETURNING before.state, intents.attempts, before.called_at""",
)
_END = """
    UPDATE platform.intents SET state = $4, leased_until = NULL, updated_at = $5
    WHERE handler = $1 AND event_id = $2 AND state = 'calling' AND attempts = $3"""
_KEY_AND_STATE = "text, uuid, int, text, timestamptz"
_CLOSE = Prepared("intent_close", _KEY_AND_STATE, _END)
_CLOSE_AND_TELL = Prepared("intent_close_and_tell", _KEY_AND_STATE, f"{_END} RETURNING 1")


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


def claim(handler: str, event_id: UUID, now: datetime) -> Opening:
    """Leases the intent; answers the state it was in, for `claimed`."""
    key = literal(handler), literal(event_id), literal(now)
    sql = f"{_OPEN(*key)}; {_TAKE(*key, literal(now + LEASE))}"
    return Opening(Step.INTENT_COMMIT, Step.INTENT_CLAIM, sql)


def claimed(connection: Connection, rows: list[list[Any]], handler: str, event_id: UUID) -> Claim:
    """Read the answer of `claim`; a `calling` row that was free counts as unknown."""
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


def close(handler: str, event_id: UUID, attempt: int, state: IntentState) -> Opening:
    """Closes the intent as `close_statement` does; it answers a row if it did."""
    sql = close_statement(handler, event_id, attempt, state, tell=True)
    return Opening(Step.RESULT_COMMIT, Step.RESULT_CLAIM, sql)


def close_statement(
    handler: str, event_id: UUID, attempt: int, state: IntentState, *, tell: bool = False
) -> str:
    """SQL that gives the lease of `attempt` back with a state; to `tell`, it answers a row if so.

    It changes nothing when another attempt has taken over since: a caller that was slower than its
    lease must not undo what its successor did.
    """
    key = literal(handler), literal(event_id), literal(attempt)
    close = _CLOSE_AND_TELL if tell else _CLOSE
    return close(*key, literal(state.value), literal(clock.now()))


def reopen(handler: str, event_id: UUID, attempt: int, state: IntentState) -> None:
    """Give the lease back in a transaction of its own, for the next delivery to go on from."""
    postgres.run_once(Step.INTENT_REOPEN, close_statement(handler, event_id, attempt, state))


def call_again(handler: str, event_id: UUID, attempt: int, now: datetime) -> bool:
    """Note that the vendor is called once more; False when another attempt has taken over."""
    return bool(
        postgres.run_once(
            Step.INTENT_CALL_AGAIN,
            f"""
            UPDATE platform.intents SET called_at = {literal(now)}
            WHERE handler = {literal(handler)} AND event_id = {literal(event_id)}
              AND state = 'calling' AND attempts = {literal(attempt)}
            RETURNING 1""",
        )
    )


def prune(connection: Connection, before: datetime, most: int) -> int:
    """Forget at most `most` closed intents last touched before `before`; answers how many.

    They answer redeliveries as the inbox does, so what is parked is not forgotten.
    """
    where = f"""updated_at < :before AND state IN ('done', 'refused')
      AND {dead_letters.not_parked("event_id")}"""
    return postgres.delete_some(connection, "platform.intents", where, most, before=before)
