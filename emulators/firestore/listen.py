"""Listen streams: what a target shows now, then every change, one consistent snapshot at a time.

Protocol: google.firestore.v1.Firestore.Listen. A target is answered with ADD, its documents,
CURRENT and a NO_CHANGE with read_time for the whole stream; every later commit that touches it
sends its documents and another such NO_CHANGE. The resume token is the snapshot's instant. A
resumed target is sent what changed since; RESET and everything where that cannot be told, or where
the client counts other documents than there were.
"""

import asyncio
import logging
import struct
from collections.abc import AsyncIterator
from itertools import count
from typing import Protocol

import grpc
from google.cloud.firestore_v1 import types

from emulators.api.refusals import Refused, invalid
from emulators.firestore.documents import Change, Documents, Version
from emulators.firestore.messages import ListenResponse, Message, instant_of, timestamp
from emulators.firestore.names import check_database, check_document
from emulators.firestore.queries import Query

log = logging.getLogger(__name__)
_Change = types.TargetChange.TargetChangeType
_TOKEN = struct.Struct(">q")
_View = dict[str, Version]


class Target(Protocol):
    """A set of documents to watch."""

    def view(self, documents: Documents, at: int | None = None) -> _View: ...

    def after(self, view: _View, documents: Documents, changes: list[Change]) -> _View:
        """The view that follows `view` when `changes` have been made."""
        ...

    def show(self, version: Version) -> Message:
        """The document as the target shows it."""
        ...


class QueryTarget:
    """The result of a query."""

    def __init__(self, query: Query) -> None:
        self._query = query

    def view(self, documents: Documents, at: int | None = None) -> _View:
        return {version.name: version for version in self._query.run(documents, at)}

    def after(self, view: _View, documents: Documents, changes: list[Change]) -> _View:
        covered = [change for change in changes if self._query.covers(change.version.name)]
        if not covered:
            return view
        if self._query.windowed:
            return self.view(documents)
        view = dict(view)
        for change in covered:
            if change.after is not None and self._query.matches(change.after):
                view[change.after.name] = change.after
            else:
                view.pop(change.version.name, None)
        return view

    def show(self, version: Version) -> Message:
        return self._query.project(version)


class DocumentsTarget:
    """Documents by name."""

    def __init__(self, names: list[str]) -> None:
        self.names = list(dict.fromkeys(check_document(name) for name in names))

    def view(self, documents: Documents, at: int | None = None) -> _View:
        found = (documents.get(name, at) for name in self.names)
        return {version.name: version for version in found if version is not None}

    def after(self, view: _View, documents: Documents, changes: list[Change]) -> _View:
        if not any(change.version.name in self.names for change in changes):
            return view
        return self.view(documents)

    def show(self, version: Version) -> Message:
        return version.document


class Stream:
    """One Listen call: its targets, and the responses waiting to be sent."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._targets: dict[int, tuple[Target, _View]] = {}
        self._numbering = False
        self._waiting: asyncio.Queue[Message | Refused | None] = asyncio.Queue()

    def end(self, refusal: Refused) -> None:
        """End the call with this status, once what is waiting has been sent."""
        self._waiting.put_nowait(refusal)

    async def responses(self, requests: AsyncIterator[Message]) -> AsyncIterator[Message]:
        """Serve until the client has left. Raises Refused to end the call with a status."""
        reader = asyncio.create_task(self._read(requests))
        self._documents.watchers.append(self._changed)
        try:
            while True:
                if (response := await self._waiting.get()) is None:
                    return
                if isinstance(response, Refused):
                    raise response
                yield response
        finally:
            self._documents.watchers.remove(self._changed)
            reader.cancel()

    async def _read(self, requests: AsyncIterator[Message]) -> None:
        try:
            async for request in requests:
                check_database(request.database)
                if request.WhichOneof("target_change") == "add_target":
                    self._add(request.add_target)
                elif request.remove_target:
                    self._remove(request.remove_target)
                else:
                    raise invalid("A listen request must add or remove a target.")
        except Refused as refusal:
            self.end(refusal)
        except grpc.aio.AbortError:
            self._waiting.put_nowait(None)  # the call has ended already
        except Exception:
            log.exception("a Listen request failed")
            self.end(Refused(grpc.StatusCode.INTERNAL, "Internal error."))

    def _send(self, **response: Message) -> None:
        self._waiting.put_nowait(ListenResponse(**response))

    def _send_target(self, kind: int, number: int, **more: Message) -> None:
        self._send(target_change={"target_change_type": kind, "target_ids": [number], **more})

    def _send_snapshot(self, time: int) -> None:
        self._send(
            target_change={
                "target_change_type": _Change.NO_CHANGE,
                "read_time": timestamp(time),
                "resume_token": _TOKEN.pack(time),
            }
        )

    def _add(self, request: Message) -> None:
        number = request.target_id or next(n for n in count(1) if n not in self._targets)
        if number < 0:
            raise invalid("A target id must be positive.")
        if number in self._targets:
            raise invalid(f"Target id {number} is in use.")
        self._send_target(_Change.ADD, number)
        try:
            if request.target_id and self._numbering:
                raise invalid("Once a target is numbered by the server, all have to be.")
            target = _target(request)
        except Refused as refusal:
            cause = {"code": refusal.code.value[0], "message": refusal.message}
            self._send_target(_Change.REMOVE, number, cause=cause)
            return
        self._numbering = not request.target_id
        self._show(number, target, request)
        if request.once:
            self._remove(number)

    def _show(self, number: int, target: Target, request: Message) -> None:
        """Send what the client does not know yet of a new target."""
        time = self._documents.now()
        known = self._known(request, target)
        if known is None:
            self._send_target(_Change.RESET, number)
        view = target.view(self._documents)
        self._targets[number] = (target, view)
        self._send_difference(number, known or {}, view)
        if isinstance(target, DocumentsTarget):
            for name in target.names:
                if name not in view and name not in (known or {}):
                    self._send_deletion(number, name, time)
        if request.expected_count.value > 0:
            self._send(filter={"target_id": number, "count": len(view)})
        self._send_target(
            _Change.CURRENT, number, read_time=timestamp(time), resume_token=_TOKEN.pack(time)
        )
        self._send_snapshot(time)

    def _known(self, request: Message, target: Target) -> _View | None:
        """What the client has from before; None if that cannot be told, so it must start anew."""
        resume = request.WhichOneof("resume_type")
        if resume is None or (resume == "resume_token" and not request.resume_token):
            return {}
        if resume == "read_time":
            at = instant_of(request.read_time)
        elif len(request.resume_token) == _TOKEN.size:
            (at,) = _TOKEN.unpack(request.resume_token)
        else:
            return None
        try:
            self._documents.check_readable(at)
        except Refused:
            return None
        known = target.view(self._documents, at)
        expected = request.expected_count.value
        return None if expected > 0 and expected != len(known) else known

    def _remove(self, number: int) -> None:
        if self._targets.pop(number, None) is not None:
            self._send_target(_Change.REMOVE, number)

    def _changed(self, time: int, changes: list[Change]) -> None:
        moved = False
        for number, (target, before) in self._targets.items():
            after = target.after(before, self._documents, changes)
            if after is not before:
                self._targets[number] = (target, after)
                moved = self._send_difference(number, before, after) or moved
        if moved:
            self._send_snapshot(time)

    def _send_difference(self, number: int, before: _View, after: _View) -> bool:
        """Send what leads from one view to the other; whether there was anything."""
        changed = [v for name, v in after.items() if before.get(name) is not v]
        gone = [name for name in before if name not in after]
        for version in changed:
            document = self._targets[number][0].show(version)
            self._send(document_change={"document": document, "target_ids": [number]})
        for name in gone:
            if (left := self._documents.get(name)) is None:
                self._send_deletion(number, name, self._documents.now())
            else:
                document = left.document
                self._send(document_change={"document": document, "removed_target_ids": [number]})
        return bool(changed or gone)

    def _send_deletion(self, number: int, name: str, time: int) -> None:
        self._send(
            document_delete={
                "document": name,
                "removed_target_ids": [number],
                "read_time": timestamp(time),
            }
        )


def _target(request: Message) -> Target:
    kind = request.WhichOneof("target_type")
    if kind == "query":
        return QueryTarget(Query(request.query.parent, request.query.structured_query))
    if kind == "documents":
        return DocumentsTarget(list(request.documents.documents))
    raise invalid("A target must be a query or documents.")


class Streams:
    """The Listen calls that are open."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._open: set[Stream] = set()

    async def serve(self, requests: AsyncIterator[Message]) -> AsyncIterator[Message]:
        stream = Stream(self._documents)
        self._open.add(stream)
        try:
            async for response in stream.responses(requests):
                yield response
        finally:
            self._open.discard(stream)

    def end(self, refusal: Refused) -> None:
        for stream in self._open:
            stream.end(refusal)

    def __len__(self) -> int:
        return len(self._open)
