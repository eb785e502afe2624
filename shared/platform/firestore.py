"""The status mirror in Firestore: ids, enums and versions only, never older over newer.

A document is read, compared and written under the condition that nobody wrote it in between (its
`update_time`): what a transaction would do, in one round trip less and with time-outs of our own.
The calls are the API's own, unary where they can be: the high-level client streams every read.
"""

import os
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
_KEEP_ALIVE = ("grpc.keepalive_time_ms", 30_000)
"""What Google's high-level client sets too."""


class MirrorSettings(Settings):
    google_cloud_project: str

    @property
    def database(self) -> str:
        return f"projects/{self.google_cloud_project}/databases/(default)"


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
        """The document's fields, as the API has them (google.firestore.v1.Value)."""
        own: dict[str, Any] = {
            "status": {"string_value": self.status.value},
            "version": {"integer_value": self.version},
            "updated_at": {"timestamp_value": self.updated_at},
        }
        texts = {name: str(reference) for name, reference in self.references.items()}
        return own | {name: {"string_value": text} for name, text in texts.items()}


@cache
def _client() -> Any:
    """A client of the emulator that FIRESTORE_EMULATOR_HOST names, or else of Google's service."""
    from google.cloud.firestore_v1.services.firestore import FirestoreClient
    from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcTransport
    from grpc import insecure_channel

    if emulator := os.environ.get("FIRESTORE_EMULATOR_HOST"):
        channel = insecure_channel(emulator)
    else:
        channel = FirestoreGrpcTransport.create_channel(options=[_KEEP_ALIVE])
    return FirestoreClient(transport=FirestoreGrpcTransport(channel=channel))


@contextmanager
def _calling() -> Iterator[None]:
    """Whatever Firestore refuses or misses may be asked again: writing twice changes nothing."""
    from google.api_core.exceptions import GoogleAPICallError, RetryError

    try:
        yield
    except (GoogleAPICallError, RetryError) as error:
        raise VendorUnavailable("firestore", type(error).__name__) from error


def _name(collection: str, subject: TypedId) -> str:
    return f"{load(MirrorSettings).database}/documents/{collection}/{subject}"


def mirror(document: Document) -> bool:
    """Write `document` unless this version or a newer one is there; answers whether it was written.

    Raises `VendorUnavailable`; doing it again changes nothing.
    """
    name = _name(document.collection, document.subject)
    with _calling():
        for _ in range(_TRIES):
            held = _held(name)
            if held is not None and _version(held) >= document.version:
                return False
            if _swapped(held, name, document):
                return True
    raise VendorUnavailable("firestore", "others kept writing")


def _held(name: str) -> Any:
    """The document's version and `update_time`; None when there is no document."""
    from google.api_core.exceptions import NotFound

    request = {"name": name, "mask": {"field_paths": ["version"]}}
    try:
        return _client().get_document(request, **_ONCE)
    except NotFound:
        return None


def _version(held: Any) -> int:
    return held.fields["version"].integer_value if "version" in held.fields else 0


def restore(
    collection: str, subjects: Sequence[TypedId], read: Callable[[], list[Document]]
) -> int:
    """Bring the documents of `subjects` to what `read` says; answers how many differed.

    `read` is called after the documents were read, so that what it finds in Postgres is newer than
    anything mirrored before: whatever differs is wrong, its version too. A document that is
    written meanwhile is left alone. Raises `VendorUnavailable`.
    """
    with _calling():
        held = _all_held([_name(collection, subject) for subject in subjects])
    differing = [
        (name, document)
        for document in read()
        if not _same(held.get(name := _name(collection, document.subject)), document)
    ]
    with _calling():
        return sum(_swapped(held.get(name), name, document) for name, document in differing)


def _all_held(names: list[str]) -> dict[str, Any]:
    """By their names those of the documents that are there."""
    request = {"database": load(MirrorSettings).database, "documents": names}
    answers = _client().batch_get_documents(request, **_ONCE)
    return {answer.found.name: answer.found for answer in answers if "found" in answer}


def _same(held: Any, document: Document) -> bool:
    from google.cloud.firestore_v1.types import Document as Stored

    wanted = Stored(fields=document.values)
    return held is not None and bool(Stored.pb(held).fields == Stored.pb(wanted).fields)


def _swapped(held: Any, name: str, document: Document) -> bool:
    """Put `document` in the place of what was `held`; False when that had changed meanwhile."""
    from google.api_core.exceptions import Conflict, FailedPrecondition, NotFound

    unchanged = {"exists": False} if held is None else {"update_time": held.update_time}
    write = {
        "update": {"name": name, "fields": document.values},
        "current_document": unchanged,
    }
    request = {"database": load(MirrorSettings).database, "writes": [write]}
    try:
        _client().commit(request, **_ONCE)
    except (Conflict, FailedPrecondition, NotFound):
        return False
    return True
