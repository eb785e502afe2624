"""The calls that read: documents, lists, queries, aggregations, partitions."""

import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
from google.cloud.firestore_v1 import types
from google.protobuf.message import DecodeError

from emulators.api.refusals import Refused, invalid
from emulators.firestore.documents import Documents, Version
from emulators.firestore.explain import analysis, plan
from emulators.firestore.messages import Cursor, Document, Message, StructuredQuery, timestamp
from emulators.firestore.names import (
    check_database,
    check_document,
    check_parent,
    check_within,
    field_path,
)
from emulators.firestore.queries import Query, aggregate, check_partitionable, partition
from emulators.firestore.transactions import Transaction, Transactions
from emulators.firestore.values import select

_PAGE = 300
_DESCENDING = StructuredQuery.DESCENDING
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
            check_within(name, root)
        consistency = self._consistency(request)
        if consistency.begun:
            yield _BatchGetDocumentsResponse(transaction=consistency.begun)
        found = {name: await self._get(consistency, name) for name in request.documents}
        read_time = self._read_time(consistency)
        # No order is promised, but Google's own tests rely on missing documents coming last.
        for version in filter(None, found.values()):
            yield _BatchGetDocumentsResponse(found=_masked(version, request), read_time=read_time)
        for name in [name for name, version in found.items() if version is None]:
            yield _BatchGetDocumentsResponse(missing=name, read_time=read_time)

    async def list_documents(self, request: Message) -> Message:
        """A page in the order asked for; `show_missing` adds documents that have only children."""
        if request.page_size < 0:
            raise invalid("Page size must be nonnegative.")
        if request.show_missing and request.order_by:
            raise invalid("cannot specify an order when show_missing is true")
        if request.show_missing and not request.collection_id:
            raise invalid("collection id must be set when show_missing is true")
        size = min(request.page_size or _PAGE, _PAGE)
        query = Query(request.parent, _listing(request, size + 1))
        consistency = self._consistency(request)
        rows = await self._run(consistency, query)
        if request.show_missing:
            at = None if consistency.transaction is None else consistency.transaction.snapshot
            missing = self._missing(query, consistency.at or at)
            rows = query.arrange([*rows, *missing])
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
        parent = check_parent(request.parent)
        if request.page_size < 0:
            raise invalid("page_size must be greater than or equal to zero.")
        consistency = self._consistency(request)
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
        query = _query(request)
        explain = request.HasField("explain_options")
        if explain and not request.explain_options.analyze:
            yield _RunQueryResponse(explain_metrics=plan(query))
            return
        consistency = self._consistency(request)
        if consistency.begun:
            yield _RunQueryResponse(transaction=consistency.begun)
        rows = await self._run(consistency, query)
        read_time = self._read_time(consistency)
        skipped = query.offset
        if query.offset and not rows:
            skipped = query.skipped(self._documents, consistency.at)
        for row in rows[:-1]:
            document = query.project(row)
            yield _RunQueryResponse(document=document, read_time=read_time, skipped_results=skipped)
            skipped = 0
        last = _RunQueryResponse(read_time=read_time, skipped_results=skipped)
        if rows:
            last.document.CopyFrom(query.project(rows[-1]))
        if explain:
            took = time.perf_counter() - began
            last.explain_metrics.CopyFrom(analysis(query, len(rows), len(rows), took))
        yield last

    async def run_aggregation_query(self, request: Message) -> AsyncIterator[Message]:
        began = time.perf_counter()
        structured = request.structured_aggregation_query
        if not structured.HasField("structured_query"):
            raise invalid("only structured queries are supported")
        aggregate([], structured.aggregations)  # refuses what cannot be answered
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
        """The cursors in pages; a page's token is the number of cursors before it."""
        if request.page_size < 0:
            raise invalid("Page size must be nonnegative.")
        query = _query(request)
        check_partitionable(request.structured_query)
        rows = await self._run(self._consistency(request), query)
        cuts = partition(query, rows, request.partition_count)
        token = request.page_token
        if token and not (token.isascii() and token.isdigit()):
            raise invalid("invalid page token")
        start = int(token or 0)
        end = start + (request.page_size or len(cuts))
        more = str(end) if end < len(cuts) else ""
        return _PartitionQueryResponse(partitions=cuts[start:end], next_page_token=more)


def _query(request: Message) -> Query:
    if not request.HasField("structured_query"):
        raise invalid("only structured queries are supported")
    return Query(request.parent, request.structured_query)


def _masked(version: Version, request: Message) -> Message:
    if not request.HasField("mask"):
        return version.document
    return select(version.document, [field_path(text) for text in request.mask.field_paths])


def _listing(request: Message, most: int) -> Message:
    """ListDocuments as a structured query."""
    query = StructuredQuery(limit={"value": most})
    query.from_.add(collection_id=request.collection_id)
    for part in request.order_by.split(",") if request.order_by else []:
        path, _, direction = part.strip().partition(" ")
        if direction.strip().lower() not in ("", "asc", "desc") or not path:
            raise invalid(f'Invalid order by clause "{request.order_by}".')
        descending = direction.strip().lower() == "desc"
        _order(query, path, descending)
    if not query.order_by or query.order_by[-1].field.field_path != "__name__":
        descending = bool(query.order_by) and query.order_by[-1].direction == _DESCENDING
        _order(query, "__name__", descending)
    if request.page_token:
        try:
            query.start_at.CopyFrom(Cursor.FromString(urlsafe_b64decode(request.page_token)))
        except (ValueError, DecodeError):
            raise invalid("invalid page token") from None
    return query


def _order(query: Message, path: str, descending: bool) -> None:
    direction = _DESCENDING if descending else StructuredQuery.ASCENDING
    query.order_by.add(field={"field_path": path}, direction=direction)
