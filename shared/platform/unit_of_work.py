"""The one implementation of `kernel.work.Work`: a Postgres transaction with what rides in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, bindparam, select

from shared.kernel import clock
from shared.kernel.errors import NotFound
from shared.kernel.event import Event, Occurrence
from shared.kernel.ids import ClinicId, EventId, TypedId
from shared.kernel.work import Work
from shared.platform import outbox, postgres, tables, timers
from shared.platform.postgres import Opening
from shared.platform.steps import Step

PLAIN = Opening(Step.WORK_COMMIT)
"""Nothing is claimed."""


@dataclass(frozen=True)
class Cause:
    """Where work came from: the request everything started with, and the event that led to it."""

    correlation_id: str
    causation_id: str | None = None


@dataclass
class Transaction:
    """One open transaction. Events are written when it ends, so that they ride in its commit."""

    connection: Connection
    now: datetime
    source: str
    cause: Cause
    opened: Any = None
    """The rows of the statement that rode in the opening message."""
    _clinic_id: ClinicId | None = None
    emitted: list[Occurrence] = field(default_factory=list)
    closing: list[str] = field(default_factory=list)
    """Statements that ride in the message of the commit."""
    leased: list[outbox.Letter] | None = None
    """After the end: the events emitted, leased for publishing; None if that is not known."""

    @property
    def clinic_id(self) -> ClinicId:
        if self._clinic_id is None:
            raise LookupError("no clinic is entered: use `work.within(clinic_id)`")
        return self._clinic_id

    def emit(self, event: Event) -> None:
        self.emitted.append(
            Occurrence(
                id=EventId.new(),
                event=event,
                source=f"/{self.source}",
                time=self.now,
                clinic_id=self._clinic_id,
                correlation_id=self.cause.correlation_id,
                causation_id=self.cause.causation_id,
            )
        )

    def schedule(self, kind: str, subject: TypedId, due_at: datetime) -> None:
        timers.schedule(
            self.connection, kind, subject, self.clinic_id, due_at, self.cause.correlation_id
        )

    def cancel(self, kind: str, subject: TypedId) -> None:
        timers.cancel(self.connection, kind, subject)

    @contextmanager
    def within(self, clinic_id: ClinicId) -> Iterator[None]:
        outer, self._clinic_id = self._clinic_id, clinic_id
        postgres.lead(self.connection, postgres.tenant_statement(clinic_id))
        try:
            yield
        finally:
            self._clinic_id = outer
            if not self.connection.invalidated:  # asking a lost one anything would hide its loss
                postgres.lead(self.connection, postgres.tenant_statement(outer))


def sql(work: Work) -> Connection:
    """The connection of `work`, for the `store.py` and `queries.py` of the domains."""
    return cast(Transaction, work).connection


def clinics(work: Work) -> list[ClinicId]:
    """All clinics, for work that visits each with `work.within`."""
    found = sql(work).execute(select(tables.clinics.c.id).order_by(tables.clinics.c.id))
    return list(found.scalars())


_ZONE = select(tables.clinics.c.time_zone).where(tables.clinics.c.id == bindparam("id"))


def clinic_zone(work: Work) -> ZoneInfo:
    """The time zone in which the entered clinic's days begin. Raises `NotFound`."""
    found = sql(work).execute(_ZONE, {"id": work.clinic_id}).scalar_one_or_none()
    if found is None:
        raise NotFound("not-found", "There is no such clinic.")
    return ZoneInfo(found)


@contextmanager
def transaction(
    clinic_id: ClinicId | None, source: str, cause: Cause, opening: Opening = PLAIN
) -> Iterator[Transaction]:
    """Open a transaction as `source` (a function's name) for a clinic, or for none.

    It commits at the end of the block together with the events emitted in it. Publishing them is
    the caller's next step (`runtime`): it never decides over the commit.
    """
    with postgres.begin(clinic_id, opening) as opened:
        work = Transaction(opened.connection, clock.now(), source, cause, opened.rows, clinic_id)
        yield work
        closing = work.closing
        if work.emitted:
            closing = [*closing, outbox.append_statement(work.emitted)]
            opened.then = outbox.claim_statement(work.now, subjects(work))
        opened.closing = ";".join(closing)
    if opened.after is not None:
        work.leased = outbox.read(opened.after)


def subjects(work: Transaction) -> list[str]:
    """The ordering keys of the events emitted in `work`."""
    return sorted({str(occurrence.event.subject) for occurrence in work.emitted})
