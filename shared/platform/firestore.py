"""The status mirror in Firestore: ids, enums and versions only, never older over newer.

A document is read, compared and written under the condition that nobody wrote it in between (its
`update_time`): what a transaction would do, in one round trip less and with time-outs of our own.
The calls are the API's own, unary where they can be: Google's client takes twice the CPU time.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any

from shared.kernel import clock
from shared.kernel.errors import VendorUnavailable
from shared.kernel.ids import TypedId
from shared.platform.pubsub import RECONNECT
from shared.platform.settings import Settings, load
from shared.platform.steps import Step, taking
from shared.platform.telemetry import metrics

_TIMEOUT = 10.0
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
def _channel() -> Any:
    """To the emulator that FIRESTORE_EMULATOR_HOST names, or else to Google's service."""
    from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcTransport
    from grpc import insecure_channel

    if emulator := os.environ.get("FIRESTORE_EMULATOR_HOST"):
        return insecure_channel(emulator, options=[RECONNECT])
    return FirestoreGrpcTransport.create_channel(options=[_KEEP_ALIVE, RECONNECT])


@cache
def _method(name: str) -> tuple[Any, Any]:
    """A method of the API, past the client's logging and wrapping, and its requests' class."""
    from google.cloud.firestore_v1 import types

    streams = name == "BatchGetDocuments"
    open_call = _channel().unary_stream if streams else _channel().unary_unary
    request = getattr(types, f"{name}Request").pb()
    answer = types.Document if name == "GetDocument" else getattr(types, f"{name}Response")
    call = open_call(
        f"/google.firestore.v1.Firestore/{name}",
        request_serializer=request.SerializeToString,
        response_deserializer=answer.pb().FromString,
    )
    return call, request


def _call(method: str, routed_by: str, /, **request: Any) -> Any:
    """Make one request, once. Raises `grpc.RpcError`."""
    from google.api_core.gapic_v1.routing_header import to_grpc_metadata

    call, make = _method(method)
    routing = to_grpc_metadata(((routed_by, request[routed_by]),))  # type: ignore[no-untyped-call]
    return call(make(**request), timeout=_TIMEOUT, metadata=[routing])


@contextmanager
def _calling() -> Iterator[None]:
    """Whatever Firestore refuses or misses may be asked again: writing twice changes nothing."""
    from grpc import RpcError

    try:
        yield
    except RpcError as error:
        raise VendorUnavailable("firestore", error.code().name) from error


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
            if held is not None and held.fields["version"].integer_value >= document.version:
                return False
            if _swapped(held, name, document):
                lag = clock.now() - document.updated_at
                metrics.PROJECTION_LAG.record(lag.total_seconds(), document.collection)
                return True
    raise VendorUnavailable("firestore", "others kept writing")


def _held(name: str) -> Any:
    """The document's version and `update_time`; None when there is no document."""
    from grpc import RpcError, StatusCode

    try:
        return _call("GetDocument", "name", name=name, mask={"field_paths": ["version"]})
    except RpcError as error:
        if error.code() is StatusCode.NOT_FOUND:
            return None
        raise


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
    database = load(MirrorSettings).database
    answers = _call("BatchGetDocuments", "database", database=database, documents=names)
    return {answer.found.name: answer.found for answer in answers if answer.HasField("found")}


def _same(held: Any, document: Document) -> bool:
    return held is not None and bool(held.fields == type(held)(fields=document.values).fields)


def _swapped(held: Any, name: str, document: Document) -> bool:
    """Put `document` in the place of what was `held`; False when that had changed meanwhile."""
    from grpc import RpcError, StatusCode

    write = {
        "update": {"name": name, "fields": document.values},
        "current_document": {"update_time": held.update_time}
        if held is not None
        else {"exists": False},
    }
    try:
        with taking(Step.MIRROR_WRITE):
            _call("Commit", "database", database=load(MirrorSettings).database, writes=[write])
    except RpcError as error:
        if error.code() in (
            StatusCode.ABORTED,
            StatusCode.ALREADY_EXISTS,
            StatusCode.FAILED_PRECONDITION,
            StatusCode.NOT_FOUND,
        ):
            return False
        raise
    return True
