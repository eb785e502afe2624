"""The status mirror in Firestore: ids, enums and versions only, never older over newer.

A document is read, compared and written under the condition that nobody wrote it in between (its
`update_time`): what a transaction would do, in one round trip less and with time-outs of our own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any

from shared.kernel.errors import VendorUnavailable
from shared.kernel.ids import TypedId
from shared.platform.settings import Settings, load

_ONCE: dict[str, Any] = {"retry": None, "timeout": 10.0}
_TRIES = 5


class MirrorSettings(Settings):
    google_cloud_project: str


@dataclass(frozen=True)
class Document:
    """What live screens see of a subject; by its types it cannot hold PHI.

    Deleted subjects keep a document with their final status (a tombstone).
    """

    collection: str
    subject: TypedId
    status: StrEnum
    version: int
    updated_at: datetime
    references: Mapping[str, TypedId] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, Any]:
        own = {"status": self.status.value, "version": self.version, "updated_at": self.updated_at}
        return own | {name: str(reference) for name, reference in self.references.items()}


@cache
def _client() -> Any:
    from google.cloud.firestore import Client

    return Client(project=load(MirrorSettings).google_cloud_project)


@contextmanager
def _calling() -> Iterator[None]:
    """Whatever Firestore refuses or misses may be asked again: writing twice changes nothing."""
    from google.api_core.exceptions import GoogleAPICallError, RetryError

    try:
        yield
    except (GoogleAPICallError, RetryError) as error:
        raise VendorUnavailable("firestore", type(error).__name__) from error


def _reference(collection: str, subject: TypedId) -> Any:
    return _client().collection(collection).document(str(subject))


def mirror(document: Document) -> bool:
    """Write `document` unless this version or a newer one is there; answers whether it was written.

    Raises `VendorUnavailable`; doing it again changes nothing.
    """
    reference = _reference(document.collection, document.subject)
    with _calling():
        for _ in range(_TRIES):
            held = reference.get(**_ONCE)
            if (held.to_dict() or {}).get("version", 0) >= document.version:
                return False
            if _swapped(held, document):
                return True
    raise VendorUnavailable("firestore", "others kept writing")


def restore(
    collection: str, subjects: Sequence[TypedId], read: Callable[[], list[Document]]
) -> int:
    """Bring the documents of `subjects` to what `read` says; answers how many differed.

    `read` is called after the documents were read, so that what it finds in Postgres is newer than
    anything mirrored before: whatever differs is wrong, its version too. A document that is
    written meanwhile is left alone. Raises `VendorUnavailable`.
    """
    with _calling():
        references = [_reference(collection, subject) for subject in subjects]
        found = _client().get_all(references, **_ONCE)
        held = {snapshot.id: snapshot for snapshot in found}
    documents = read()
    with _calling():
        differing = [
            (held[str(document.subject)], document)
            for document in documents
            if held[str(document.subject)].to_dict() != document.values
        ]
        return sum(_swapped(snapshot, document) for snapshot, document in differing)


def _swapped(held: Any, document: Document) -> bool:
    """Put `document` in the place of what was `held`; False when that had changed meanwhile."""
    from google.api_core.exceptions import Conflict, FailedPrecondition, NotFound
    from google.cloud.firestore import DELETE_FIELD

    values = document.values
    try:
        if held.exists:
            gone = dict.fromkeys(held.to_dict().keys() - values.keys(), DELETE_FIELD)
            unchanged = _client().write_option(last_update_time=held.update_time)
            held.reference.update(values | gone, option=unchanged, **_ONCE)
        else:
            held.reference.create(values, **_ONCE)
    except (Conflict, FailedPrecondition, NotFound):
        return False
    return True
