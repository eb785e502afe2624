"""Committing work and publishing what it emitted."""

from collections.abc import Iterator
from contextlib import contextmanager

from shared.kernel.ids import ClinicId
from shared.platform import outbox
from shared.platform.postgres import Opening
from shared.platform.pubsub import PubSubPublisher
from shared.platform.telemetry import log
from shared.platform.unit_of_work import PLAIN, Cause, Transaction, subjects, transaction

_publisher = PubSubPublisher()


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


def relay() -> int:
    """Publish everything that is unsent; answers how much that was."""
    return outbox.drain(_publisher)


def waiting() -> bool:
    """Whether events are still to be published: Pub/Sub refused them, or somebody has them."""
    return outbox.waiting()
