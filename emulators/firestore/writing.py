"""The calls that write, and those that open and close transactions."""

import secrets
import string
from collections.abc import AsyncIterator

import grpc
from google.cloud.firestore_v1 import types
from google.protobuf.empty_pb2 import Empty
from google.rpc.status_pb2 import Status

from emulators.firestore.documents import Documents
from emulators.firestore.messages import (
    Message,
    Refused,
    Write,
    WriteResult,
    invalid,
    timestamp,
)
from emulators.firestore.names import (
    check_collection_id,
    check_database,
    check_document,
    check_parent,
    field_path,
)
from emulators.firestore.transactions import Transaction, Transactions
from emulators.firestore.values import select
from emulators.firestore.writes import Batch

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
        for write in request.writes:
            if not _name(write).startswith(f"{root}/"):
                raise invalid(f'Document "{_name(write)}" is not in the database of the request.')
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
        check_database(request.database)
        names = [_name(write) for write in request.writes]
        if len(set(names)) < len(names):
            raise invalid("A document must not be written twice in one BatchWrite.")
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
        document_id = request.document_id or "".join(secrets.choice(_LETTERS) for _ in range(20))
        write = Write(
            update={"name": f"{collection}/{document_id}", "fields": request.document.fields},
            current_document={"exists": False},
        )
        await self._commit([write])
        return self._written(write.update.name, request)

    async def update_document(self, request: Message) -> Message:
        write = Write(update=request.document)
        if request.HasField("update_mask"):
            write.update_mask.CopyFrom(request.update_mask)
        if request.HasField("current_document"):
            write.current_document.CopyFrom(request.current_document)
        await self._commit([write])
        return self._written(request.document.name, request)

    def _written(self, name: str, request: Message) -> Message:
        version = self._documents.get(name)
        if version is None:
            raise Refused(grpc.StatusCode.NOT_FOUND, f'Document "{name}" not found.')
        if request.HasField("mask"):
            return select(version.document, [field_path(p) for p in request.mask.field_paths])
        return version.document

    async def delete_document(self, request: Message) -> Message:
        write = Write(delete=request.name)
        if request.HasField("current_document"):
            write.current_document.CopyFrom(request.current_document)
        await self._commit([write])
        return Empty()

    async def write(self, requests: AsyncIterator[Message]) -> AsyncIterator[Message]:
        """The Write stream of mobile and web clients: a handshake, then commits in order."""
        stream_id, count = "", 0
        async for request in requests:
            count += 1
            response = _WriteResponse(stream_token=str(count).encode())
            if not stream_id:
                check_database(request.database)
                stream_id = request.stream_id or secrets.token_hex(8)
                response.stream_id = stream_id
            if request.writes:
                results, time = await self._commit(list(request.writes))
                response.write_results.extend(results)
                response.commit_time.CopyFrom(timestamp(time))
            yield response


def _name(write: Message) -> str:
    match write.WhichOneof("operation"):
        case "update":
            return check_document(write.update.name)
        case "delete":
            return check_document(write.delete)
        case "transform":
            return check_document(write.transform.document)
    raise invalid("A write must have an operation.")
