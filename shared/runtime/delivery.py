"""Committing work and publishing what it emitted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from shared.kernel.ids import ClinicId
from shared.kernel.work import Effect, Idle, Work
from shared.platform import dead_letters, outbox
from shared.platform.database_errors import Undone
from shared.platform.postgres import Opening
from shared.platform.pubsub import PubSubPublisher
from shared.platform.telemetry import log, metrics
from shared.platform.unit_of_work import PLAIN, Cause, Transaction, sql, subjects, transaction

_publisher = PubSubPublisher()
R = TypeVar("R")


@contextmanager
def committed(
    clinic_id: ClinicId | None, source: str, cause: Cause, opening: Opening = PLAIN
) -> Iterator[Transaction]:
    """A transaction whose events are published right after its commit, best effort.

    What cannot be published now stays in the outbox for the relay; the commit stands either way.
    """
    with transaction(clinic_id, source, cause, opening) as work:
        yield work
    if work.emitted:
        try:
            outbox.drain(_publisher, subjects(work), work.leased)
        except Exception as error:  # noqa: BLE001 -- committed is committed
            log.warning("drain_failed", error=type(error).__name__)


def carried_out(
    do: Callable[[Transaction], R],
    clinic_id: ClinicId | None,
    source: str,
    cause: Cause,
    opening: Opening = PLAIN,
) -> R:
    """What `do` answers, its work `committed`; done once more where Postgres undid it (`Undone`).

    `do` changes nothing but Postgres. What is undone again is the caller's caller's to repeat.
    """
    try:
        with committed(clinic_id, source, cause, opening) as work:
            return do(work)
    except Undone as undone:
        log.warning("done_again", reason=type(undone.__cause__).__name__)
    with committed(clinic_id, source, cause, opening) as work:
        return do(work)


def _behind(work: Work) -> bool:
    """Whether events are still to be published; how many and how old is measured on the way."""
    unsent, oldest = outbox.backlog(sql(work))
    metrics.OUTBOX_UNSENT.set(unsent)
    metrics.OUTBOX_AGE.set((work.now - oldest).total_seconds() if oldest else 0)
    metrics.DEAD_LETTERS_WAITING.set(dead_letters.count(sql(work)))
    return unsent > 0


def publisher() -> PubSubPublisher:
    """What the process publishes by."""
    return _publisher


relaying: Effect[bool, int] = Effect(
    prepare=lambda _, work: _behind(work) or None,
    call=lambda _, publisher, __: outbox.drain(publisher),
    record=lambda _, __, work: None if _behind(work) else Idle(),
)
"""For `Agent.polls`: what is unsent is published outside any transaction."""
