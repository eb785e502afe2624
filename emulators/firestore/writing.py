"""The calls that write, and those that open and close transactions."""

import secrets
import string
from collections.abc import AsyncIterator, Iterable

import grpc
from google.cloud.firestore_v1 import types
from google.protobuf.empty_pb2 import Empty
from google.rpc.status_pb2 import Status

from emulators.api.refusals import Refused, invalid
from emulators.firestore.documents import Documents
from emulators.firestore.messages import Message, Write, WriteResult, timestamp
from emulators.firestore.names import (
    FieldPath,
    check_collection_id,
    check_database,
    check_document_id,
    check_parent,
    check_within,
    field_path,
)
from emulators.firestore.transactions import Transaction, Transactions
from emulators.firestore.values import select
from emulators.firestore.writes import Batch, check_write, target

_LETTERS = string.ascii_letters + string.digits

_BatchWriteResponse = types.BatchWriteResponse.pb()
_BeginTransactionResponse = types.BeginTransactionResponse.pb()
_CommitResponse = types.CommitResponse.pb()
_WriteResponse = types.WriteResponse.pb()


class Writing:
    """Answers to writing calls. Every method raises Refused with the status to answer."""

    def __init__(self, documents: Documents, transactions: Transactions) -> None:
        self._documents = documents
        self._transactions = transactions

    async def _commit(
        self, writes: list[Message], transaction: Transaction | None = None
    ) -> tuple[list[Message], int]:
        """Make all writes or none; their results and the commit time in microseconds."""
        deadline = self._transactions.deadline()
        while True:
            if transaction is not None and not transaction.read_only:
                self._transactions.validate(transaction)
            batch = Batch(self._documents, self._documents.next_time())
            results = [batch.write(write) for write in writes]
            if await self._transactions.make_way(batch.effects(), deadline, transaction):
                break
        # Nothing was awaited since the writes were tried: that makes the commit atomic.
        if batch.changes:
            self._documents.commit(batch.time, batch.changes)
        return results, batch.time

    async def commit(self, request: Message) -> Message:
        root = check_database(request.database)
        _check(request.writes, root)
        if not request.transaction:
            results, time = await self._commit(list(request.writes))
            return _CommitResponse(write_results=results, commit_time=timestamp(time))
        transaction = self._transactions.find(request.transaction)
        try:
            if transaction.read_only and request.writes:
                raise invalid("Cannot modify entities in a read-only transaction.")
            results, time = await self._commit(list(request.writes), transaction)
        finally:
            self._transactions.finish(transaction)
        return _CommitResponse(write_results=results, commit_time=timestamp(time))

    async def begin_transaction(self, request: Message) -> Message:
        check_database(request.database)
        return _BeginTransactionResponse(transaction=self._transactions.begin(request.options))

    async def rollback(self, request: Message) -> Message:
        check_database(request.database)
        self._transactions.roll_back(request.transaction)
        return Empty()

    async def batch_write(self, request: Message) -> Message:
        """Every write on its own; one document may occur once (INVALID_ARGUMENT otherwise)."""
        _check(request.writes, check_database(request.database))
        names = [target(write) for write in request.writes]
        if len(set(names)) < len(names):
            raise invalid("the same document cannot be written more than once in a single request")
        response = _BatchWriteResponse()
        for write in request.writes:
            try:
                (result,), _ = await self._commit([write])
                status = Status()
            except Refused as refusal:
                result = WriteResult()
                status = Status(code=refusal.code.value[0], message=refusal.message)
            response.write_results.append(result)
            response.status.append(status)
        return response

    async def create_document(self, request: Message) -> Message:
        parent = check_parent(request.parent)
        collection = f"{parent}/{check_collection_id(request.collection_id)}"
        if request.document.name:
            raise invalid("document.name must not be set")
        document_id = request.document_id or "".join(secrets.choice(_LETTERS) for _ in range(20))
        check_document_id(document_id)
        write = Write(
            update={"name": f"{collection}/{document_id}", "fields": request.document.fields},
            current_document={"exists": False},
        )
        check_write(write)
        paths = _mask(request)
        await self._commit([write])
        return self._written(write.update.name, paths)

    async def update_document(self, request: Message) -> Message:
        write = Write(update=request.document)
        if request.HasField("update_mask"):
            write.update_mask.CopyFrom(request.update_mask)
        if request.HasField("current_document"):
            write.current_document.CopyFrom(request.current_document)
        check_write(write)
        paths = _mask(request)
        await self._commit([write])
        return self._written(request.document.name, paths)

    def _written(self, name: str, paths: list[FieldPath] | None) -> Message:
        version = self._documents.get(name)
        if version is None:
            raise Refused(grpc.StatusCode.NOT_FOUND, f'Document "{name}" not found.')
        return version.document if paths is None else select(version.document, paths)

    async def delete_document(self, request: Message) -> Message:
        write = Write(delete=request.name)
        if request.HasField("current_document"):
            write.current_document.CopyFrom(request.current_document)
        check_write(write)
        await self._commit([write])
        return Empty()

    async def write(self, requests: AsyncIterator[Message]) -> AsyncIterator[Message]:
        """The Write stream of mobile and web clients: a handshake, then commits in order.

        The first request names the database; every later one holds writes, only the last may be
        empty. A write that fails ends the stream with its status. Streams are not resumed.
        """
        root, count = "", 0
        async for request in requests:
            count += 1
            response = _WriteResponse(stream_token=str(count).encode())
            if count == 1:
                root = _opened(request)
                response.stream_id = secrets.token_hex(8)
            else:
                _check_acknowledged(request.stream_token, count)
            if request.writes:
                _check(request.writes, root)
                results, time = await self._commit(list(request.writes))
                response.write_results.extend(results)
                response.commit_time.CopyFrom(timestamp(time))
            yield response
            if count > 1 and not request.writes:
                return


def _opened(request: Message) -> str:
    """The documents root that the first request of a Write stream asks for."""
    root = check_database(request.database)
    if request.writes:
        raise invalid("'writes' must not be set on an initial write request.")
    if request.stream_id or request.stream_token:
        raise invalid("Resuming streams is not supported, do not set stream ID and token.")
    return root


def _check_acknowledged(token: bytes, count: int) -> None:
    """A token tells the last response that arrived; it cannot be one that is still to come."""
    if token and not (token.isdigit() and 0 < int(token) < count):
        raise invalid("Invalid stream token.")


def _mask(request: Message) -> list[FieldPath] | None:
    if not request.HasField("mask"):
        return None
    return [field_path(text) for text in request.mask.field_paths]


def _check(writes: Iterable[Message], root: str) -> None:
    for write in writes:
        check_write(write)
        check_within(target(write), root)
