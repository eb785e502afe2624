"""Statuses on their way to Firestore, event by event and, to be sure, all of them.

What is written is the row as it stands, not what the event says: whatever the order of events and
however often they come, a document becomes what a rebuild would make it.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from shared.kernel.event import Event
from shared.kernel.ids import ClinicId, TypedId
from shared.kernel.work import Mirroring, Work
from shared.platform import firestore
from shared.platform.firestore import Document
from shared.platform.mirrored import Mirrored
from shared.platform.telemetry import log
from shared.platform.unit_of_work import Cause, clinics, transaction

__all__ = ["Mirrored", "following", "rebuild", "writer"]

PAGE = 300
"""Documents compared at a time."""

Write = Callable[[Document], bool]


def writer() -> Write:
    """What writes documents; an older version never replaces a newer one."""
    return firestore.mirror


def following(mirrored: Mirrored) -> Mirroring[Document]:
    """Mirror the subject of an event."""

    def prepare(event: Event, work: Work) -> Document | None:
        return next(iter(mirrored.documents([event.subject], work)), None)

    return Mirroring(prepare, _write)


def _write(document: Document, write: Write) -> bool:
    return write(document)


def rebuild(
    parts: tuple[Mirrored, ...], source: str, work: Work, changed_within: timedelta | None = None
) -> None:
    """Compare every document (or those of rows changed lately) and rewrite what differs.

    Rows are read in short transactions of their own, after the documents. Stopped half-way it is
    begun again; what was put right stays so.
    """
    since = None if changed_within is None else work.now - changed_within
    for clinic in clinics(work):
        for part in parts:
            if differed := _rebuild(part, clinic, source, since):
                log.warning("mirror_differed", collection=part.collection, count=differed)


def _rebuild(part: Mirrored, clinic: ClinicId, source: str, since: datetime | None) -> int:
    cause = Cause(f"{source}:{part.collection}")

    def page(after: TypedId | None) -> list[TypedId]:
        with transaction(clinic, source, cause) as work:
            return part.subjects(after, since, PAGE, work)

    def read() -> list[Document]:
        with transaction(clinic, source, cause) as work:
            return part.documents(subjects, work)

    differed, subjects = 0, page(None)
    while subjects:
        differed += firestore.restore(part.collection, subjects, read)
        subjects = page(subjects[-1])
    return differed
