"""The Firestore engine: google.firestore.v1.Firestore over gRPC."""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any, TypeAlias

import grpc
from google.cloud.firestore_v1 import types

from emulators.api.refusals import Refused, end_call
from emulators.clock import from_micros
from emulators.engine import Ground, GrpcServer
from emulators.firestore.documents import Change, Documents
from emulators.firestore.listen import Streams
from emulators.firestore.messages import Message
from emulators.firestore.names import relative
from emulators.firestore.reading import Reading
from emulators.firestore.transactions import Transactions
from emulators.firestore.values import plain
from emulators.firestore.writing import Writing

_SERVICE = "google.firestore.v1.Firestore"
_RECENT = 200
_FAREWELL = 0.5  # real seconds to tell listening clients that the service goes away
_Context: TypeAlias = Any
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class Firestore:
    """Cloud Firestore (Native mode) for any project and database the client names.

    Documents are durable before a commit is answered. Open transactions and Listen streams end
    with the process: clients get ABORTED for the former and resume the latter.
    """

    name = "firestore"

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._journal = ground.journal(self.name)
        self._documents = Documents(ground.clock, self._journal)
        self._documents.watchers.append(self._note)
        self._recent: deque[dict[str, Any]] = deque(maxlen=_RECENT)
        self._transactions = Transactions(self._documents, secrets.randbits(63))
        self._streams = Streams(self._documents)
        self._server = GrpcServer(ground, self.name)

    async def start(self, port: int = 0) -> int:
        return await self._server.start([self._handlers()], port)

    async def stop(self) -> None:
        # A cancelled stream would tell watching clients to give up; one that ends like this they
        # resume, but not here any more: the server takes no more calls from now on.
        stopping = asyncio.create_task(self._server.stop(_FAREWELL))
        await asyncio.sleep(0)
        self._streams.end(Refused(grpc.StatusCode.UNAVAILABLE, "The service is going away."))
        await stopping
        self._journal.close()

    def documents(self, prefix: str = "") -> list[tuple[str, dict[str, Any], datetime]]:
        """(path, fields as plain data, update time in UTC) of the documents under `prefix`.

        Paths and `prefix` are relative to the documents root; sorted by path.
        """
        found = [
            (relative(version.name), version)
            for collection in self._documents.counts()
            if relative(f"{collection}/").startswith(prefix)
            or prefix.startswith(relative(collection))
            for version in self._documents.scan(collection)
        ]
        return [
            (
                path,
                {name: plain(value) for name, value in sorted(version.document.fields.items())},
                from_micros(version.time),
            )
            for path, version in sorted(found, key=lambda item: item[0])
            if path.startswith(prefix) and version.document is not None
        ]

    def describe(self) -> dict[str, Any]:
        counts: dict[str, int] = {}
        for collection, count in self._documents.counts().items():
            path = relative(collection)
            counts[path] = counts.get(path, 0) + count
        return {
            "collections": counts,
            "listeners": len(self._streams),
            "recent_writes": list(self._recent),
        }

    def _note(self, time: int, changes: list[Change]) -> None:
        for change in changes:
            kind = "update" if change.before else "create"
            self._recent.append(
                {
                    "time": from_micros(time).isoformat(),
                    "path": relative(change.version.name),
                    "kind": kind if change.after else "delete",
                }
            )
        self._ground.agenda.touch()

    def _handlers(self) -> grpc.GenericRpcHandler:
        reading = Reading(self._documents, self._transactions)
        writing = Writing(self._documents, self._transactions)
        unary: dict[str, Callable[[Message], Awaitable[Message]]] = {
            "GetDocument": reading.get_document,
            "ListDocuments": reading.list_documents,
            "ListCollectionIds": reading.list_collection_ids,
            "PartitionQuery": reading.partition_query,
            "CreateDocument": writing.create_document,
            "UpdateDocument": writing.update_document,
            "DeleteDocument": writing.delete_document,
            "Commit": writing.commit,
            "BatchWrite": writing.batch_write,
            "BeginTransaction": writing.begin_transaction,
            "Rollback": writing.rollback,
        }
        streaming: dict[str, Callable[[Message], AsyncIterator[Message]]] = {
            "BatchGetDocuments": reading.batch_get_documents,
            "RunQuery": reading.run_query,
            "RunAggregationQuery": reading.run_aggregation_query,
            "ExecutePipeline": reading.execute_pipeline,
        }
        both: dict[str, Callable[[AsyncIterator[Message]], AsyncIterator[Message]]] = {
            "Listen": self._streams.serve,
            "Write": writing.write,
        }
        handlers = {
            **{name: _unary(name, answer) for name, answer in unary.items()},
            **{name: _stream(name, answer, requests=False) for name, answer in streaming.items()},
            **{name: _stream(name, answer, requests=True) for name, answer in both.items()},
        }
        return grpc.method_handlers_generic_handler(_SERVICE, handlers)


def _request(method: str) -> Any:
    return getattr(types, f"{method}Request").pb()


def _serialized(message: Message) -> bytes:
    serialized: bytes = message.SerializeToString()
    return serialized


def _unary(method: str, answer: Callable[[Message], Awaitable[Message]]) -> _Handler:
    async def call(request: Message, context: _Context) -> Message:
        try:
            return await answer(request)
        except Exception as error:  # noqa: BLE001 -- the caller is told a status
            await end_call(error, method, context)

    return grpc.unary_unary_rpc_method_handler(call, _request(method).FromString, _serialized)


def _stream(
    method: str, answer: Callable[[Any], AsyncIterator[Message]], *, requests: bool
) -> _Handler:
    async def call(request: Any, context: _Context) -> AsyncIterator[Message]:
        try:
            async for response in answer(request):
                yield response
        except Exception as error:  # noqa: BLE001 -- the caller is told a status
            await end_call(error, method, context)

    factory: Any = grpc.unary_stream_rpc_method_handler
    if requests:
        factory = grpc.stream_stream_rpc_method_handler
    handler: _Handler = factory(call, _request(method).FromString, _serialized)
    return handler
