"""The calls that read: documents, lists, queries, aggregations, partitions."""

import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
from google.cloud.firestore_v1 import types
from google.protobuf.message import DecodeError

from emulators.firestore.documents import Documents, Version
from emulators.firestore.explain import analysis, plan
from emulators.firestore.messages import (
    Cursor,
    Document,
    Message,
    Refused,
    StructuredQuery,
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
from emulators.firestore.queries import Query, aggregate, partition
from emulators.firestore.transactions import Transaction, Transactions
from emulators.firestore.values import select

_PAGE = 300
_MOST = 10_000

_BatchGetDocumentsResponse = types.BatchGetDocumentsResponse.pb()
_ListCollectionIdsResponse = types.ListCollectionIdsResponse.pb()
_ListDocumentsResponse = types.ListDocumentsResponse.pb()
_PartitionQueryResponse = types.PartitionQueryResponse.pb()
_RunAggregationQueryResponse = types.RunAggregationQueryResponse.pb()
_RunQueryResponse = types.RunQueryResponse.pb()


@dataclass
class _Consistency:
    """What a call's reads are consistent with: a transaction, an instant, or nothing."""

    transaction: Transaction | None = None
    begun: bytes = b""
    at: int | None = None


class Reading:
    """Answers to reading calls. Every method raises Refused with the status to answer."""

    def __init__(self, documents: Documents, transactions: Transactions) -> None:
        self._documents = documents
        self._transactions = transactions

    def _consistency(self, request: Message) -> _Consistency:
        selector = request.WhichOneof("consistency_selector")
        if selector == "transaction" and request.transaction:
            return _Consistency(self._transactions.find(request.transaction))
        if selector == "new_transaction":
            begun = self._transactions.begin(request.new_transaction)
            return _Consistency(self._transactions.find(begun), begun)
        if selector == "read_time":
            return _Consistency(at=self._documents.readable(request.read_time))
        return _Consistency()

    async def _get(self, consistency: _Consistency, name: str) -> Version | None:
        if consistency.transaction is not None:
            return await self._transactions.read(consistency.transaction, name)
        return self._documents.get(name, consistency.at)

    async def _run(self, consistency: _Consistency, query: Query) -> list[Version]:
        if consistency.transaction is not None:
            return await self._transactions.ask(consistency.transaction, query)
        return query.run(self._documents, consistency.at)

    def _read_time(self, consistency: _Consistency) -> Message:
        if consistency.transaction is not None:
            return timestamp(self._transactions.read_time(consistency.transaction))
        return timestamp(self._documents.now() if consistency.at is None else consistency.at)

    async def get_document(self, request: Message) -> Message:
        check_document(request.name)
        version = await self._get(self._consistency(request), request.name)
        if version is None:
            raise Refused(grpc.StatusCode.NOT_FOUND, f'Document "{request.name}" not found.')
        return _masked(version, request)

    async def batch_get_documents(self, request: Message) -> AsyncIterator[Message]:
        root = check_database(request.database)
        for name in request.documents:
            if not check_document(name).startswith(f"{root}/"):
                raise invalid(f'Document "{name}" is not in the database of the request.')
        consistency = self._consistency(request)
        if consistency.begun:
            yield _BatchGetDocumentsResponse(transaction=consistency.begun)
        found = {name: await self._get(consistency, name) for name in request.documents}
        read_time = self._read_time(consistency)
        # Firestore promises no order, and answers what it found first.
        for version in filter(None, found.values()):
            yield _BatchGetDocumentsResponse(found=_masked(version, request), read_time=read_time)
        for name in [name for name, version in found.items() if version is None]:
            yield _BatchGetDocumentsResponse(missing=name, read_time=read_time)

    async def list_documents(self, request: Message) -> Message:
        """A page in the order asked for; `show_missing` adds documents that have only children."""
        if request.page_size < 0:
            raise invalid("page_size must not be negative.")
        if request.show_missing and request.order_by:
            raise invalid("show_missing cannot be combined with order_by.")
        consistency = self._consistency(request)
        size = min(request.page_size or _PAGE, _MOST)
        query = Query(request.parent, _listing(request, size + 1))
        if consistency.transaction is not None:
            rows = await self._transactions.ask(consistency.transaction, query)
        else:
            rows = list(query.candidates(self._documents, consistency.at))
            if request.show_missing:
                rows += self._missing(query, consistency.at)
            rows = query.arrange(rows)
        page = rows[:size]
        response = _ListDocumentsResponse(documents=[_masked(row, request) for row in page])
        if len(rows) > size:
            last = query.cursor(page[-1]).SerializeToString()
            response.next_page_token = urlsafe_b64encode(last).decode()
        return response

    def _missing(self, query: Query, at: int | None) -> list[Version]:
        """The documents of a collection that do not exist but have documents below them."""
        collection = f"{query.parent}/{query.collection_id}"
        names = set()
        for path in self._documents.collections(collection):
            name = f"{collection}/{path[len(collection) + 1 :].partition('/')[0]}"
            if name not in names and self._documents.get(name, at) is None and self._any(path, at):
                names.add(name)
        return [Version(name, 0, Document(name=name)) for name in names]

    def _any(self, collection: str, at: int | None) -> bool:
        return next(self._documents.scan(collection, at), None) is not None

    async def list_collection_ids(self, request: Message) -> Message:
        consistency = self._consistency(request)
        parent = check_parent(request.parent)
        found = set()
        for path in self._documents.collections(parent):
            collection_id = path[len(parent) + 1 :].partition("/")[0]
            if collection_id not in found and self._any(path, consistency.at):
                found.add(collection_id)
        ids = sorted(i for i in found if i > request.page_token)
        size = min(request.page_size or _PAGE, _MOST)
        more = ids[size - 1] if len(ids) > size else ""
        return _ListCollectionIdsResponse(collection_ids=ids[:size], next_page_token=more)

    async def run_query(self, request: Message) -> AsyncIterator[Message]:
        began = time.perf_counter()
        query = Query(request.parent, request.structured_query)
        explain = request.HasField("explain_options")
        if explain and not request.explain_options.analyze:
            yield _RunQueryResponse(explain_metrics=plan(query))
            return
        consistency = self._consistency(request)
        if consistency.begun:
            yield _RunQueryResponse(transaction=consistency.begun)
        rows = await self._run(consistency, query)
        read_time = self._read_time(consistency)
        for row in rows:
            yield _RunQueryResponse(document=query.project(row), read_time=read_time)
        if explain:
            took = time.perf_counter() - began
            metrics = analysis(query, len(rows), len(rows), took)
            yield _RunQueryResponse(explain_metrics=metrics, read_time=read_time)
        elif not rows:
            yield _RunQueryResponse(read_time=read_time)

    async def run_aggregation_query(self, request: Message) -> AsyncIterator[Message]:
        began = time.perf_counter()
        structured = request.structured_aggregation_query
        query = Query(request.parent, structured.structured_query, structured.aggregations)
        explain = request.HasField("explain_options")
        if explain and not request.explain_options.analyze:
            yield _RunAggregationQueryResponse(explain_metrics=plan(query))
            return
        consistency = self._consistency(request)
        if consistency.begun:
            yield _RunAggregationQueryResponse(transaction=consistency.begun)
        rows = await self._run(consistency, query)
        response = _RunAggregationQueryResponse(
            result={"aggregate_fields": aggregate(rows, structured.aggregations)},
            read_time=self._read_time(consistency),
        )
        if explain:
            took = time.perf_counter() - began
            response.explain_metrics.CopyFrom(analysis(query, len(rows), 1, took))
        yield response

    async def execute_pipeline(self, request: Message) -> AsyncIterator[Message]:
        """Refused with FAILED_PRECONDITION, as by any database of the Standard edition."""
        check_database(request.database)
        raise Refused(
            grpc.StatusCode.FAILED_PRECONDITION,
            "Pipelines are only allowed on ENTERPRISE mode databases.",
        )
        yield  # makes this a stream

    async def partition_query(self, request: Message) -> Message:
        """All cursors in one answer, whatever `page_size` says is enough for fewer."""
        query = Query(request.parent, request.structured_query)
        if not query.descends:
            raise invalid("A partitioned query must select all descendants.")
        rows = await self._run(self._consistency(request), query)
        most = min(request.partition_count, request.page_size or request.partition_count)
        return _PartitionQueryResponse(partitions=partition(query, rows, most))


def _masked(version: Version, request: Message) -> Message:
    if not request.HasField("mask"):
        return version.document
    return select(version.document, [field_path(text) for text in request.mask.field_paths])


def _listing(request: Message, most: int) -> Message:
    """ListDocuments as a structured query."""
    check_collection_id(request.collection_id)
    query = StructuredQuery(limit={"value": most})
    query.from_.add(collection_id=request.collection_id)
    for part in filter(None, (part.strip() for part in request.order_by.split(","))):
        path, _, direction = part.partition(" ")
        if direction.strip().lower() not in ("", "asc", "desc"):
            raise invalid(f"Invalid order: {part}")
        descending = direction.strip().lower() == "desc"
        query.order_by.add(
            field={"field_path": path},
            direction=StructuredQuery.DESCENDING if descending else StructuredQuery.ASCENDING,
        )
    if request.page_token:
        try:
            query.start_at.CopyFrom(Cursor.FromString(urlsafe_b64decode(request.page_token)))
        except (ValueError, DecodeError):
            raise invalid("Invalid page_token.") from None
    return query
