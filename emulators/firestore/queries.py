"""Structured queries and aggregations over the stored documents."""

import math
from collections.abc import Iterable, Iterator
from itertools import islice

from emulators.firestore.documents import Documents, Version
from emulators.firestore.filters import equality_fields, inequality_fields, predicate
from emulators.firestore.messages import Cursor, Document, Message, StructuredQuery, Value, invalid
from emulators.firestore.names import (
    NAME,
    FieldPath,
    check_collection_id,
    check_parent,
    collection_of,
    field_path,
)
from emulators.firestore.nearest import Nearest
from emulators.firestore.values import (
    REFERENCE,
    Key,
    find,
    is_number,
    key,
    number_of,
    number_value,
)
from emulators.firestore.values import select as select_fields


class Query:
    """A StructuredQuery below one parent, checked. Raises INVALID_ARGUMENT when made.

    Orders the proto leaves implicit are added: inequality fields, then the name, in the direction
    of the last order given. A document without one of the ordered fields is not in the result.
    Fields under `aggregations` count as ordered too, since their index is what Firestore reads.
    """

    def __init__(self, parent: str, query: Message, aggregations: Iterable[Message] = ()) -> None:
        self.parent = check_parent(parent)
        selectors = query.from_
        if len(selectors) != 1:
            raise invalid("A query must select from exactly one collection.")
        (selector,) = selectors
        self.descends = selector.all_descendants
        self.collection_id = selector.collection_id
        if self.collection_id:
            check_collection_id(self.collection_id)
        elif not self.descends:
            raise invalid("A query without a collection id must select all descendants.")
        self._holds = predicate(query.where) if query.HasField("where") else None
        self.orders = _orders(query, aggregations)
        self.equalities = equality_fields(query.where) if query.HasField("where") else []
        self.nearest = Nearest(query.find_nearest) if query.HasField("find_nearest") else None
        self._start = self._position(query.start_at) if query.HasField("start_at") else None
        self._end = self._position(query.end_at) if query.HasField("end_at") else None
        if query.offset < 0 or query.limit.value < 0:
            raise invalid("Offset and limit must not be negative.")
        self.offset = query.offset
        self.limit = query.limit.value if query.HasField("limit") else None
        self._fields = (
            [field_path(item.field_path) for item in query.select.fields]
            if query.HasField("select")
            else None
        )

    def _position(self, cursor: Message) -> tuple[list[Key], bool]:
        """The cursor's values as keys, and whether it stands before them."""
        if len(cursor.values) > len(self.orders):
            raise invalid("Cursor has too many values.")
        keys = [key(value) for value in cursor.values]
        for (path, _), value in zip(self.orders, keys, strict=False):
            if path == NAME and value[0] != REFERENCE:
                raise invalid("Cursor on __name__ must be a reference.")
        return keys, cursor.before

    @property
    def windowed(self) -> bool:
        """Whether one document's change can move others in or out of the result."""
        return self.limit is not None or self.offset > 0 or self.nearest is not None

    def covers(self, name: str) -> bool:
        """Whether the document `name` lies in what the query selects from."""
        collection = collection_of(name)
        if not self.descends:
            return collection == f"{self.parent}/{self.collection_id}"
        if not collection.startswith(f"{self.parent}/"):
            return False
        return not self.collection_id or collection.endswith(f"/{self.collection_id}")

    def matches(self, version: Version) -> bool:
        """Whether a covered document is in the result before offset and limit."""
        if self._holds is not None and not self._holds(version):
            return False
        if any(version.key(path) is None for path, _ in self.orders):
            return False
        return self._is_between(version)

    def _is_between(self, version: Version) -> bool:
        """Whether the document lies between the cursors."""
        if self._start is not None:
            side = self._compare(version, self._start[0])
            if side < 0 or (side == 0 and not self._start[1]):
                return False
        if self._end is not None:
            side = self._compare(version, self._end[0])
            if side > 0 or (side == 0 and self._end[1]):
                return False
        return True

    def _compare(self, version: Version, keys: list[Key]) -> int:
        """-1, 0 or 1 as the document comes before, at or after the cursor's values."""
        for (path, descending), theirs in zip(self.orders, keys, strict=False):
            ours = version.key(path)
            if ours is not None and ours != theirs:
                return -1 if (ours < theirs) != descending else 1
        return 0

    def candidates(self, documents: Documents, at: int | None) -> Iterator[Version]:
        if not self.descends:
            yield from documents.scan(f"{self.parent}/{self.collection_id}", at)
            return
        for path in documents.collections(self.parent):
            if not self.collection_id or path.endswith(f"/{self.collection_id}"):
                yield from documents.scan(path, at)

    def run(self, documents: Documents, at: int | None = None) -> list[Version]:
        """The result in order, now or as of `at`."""
        return self.arrange(self.candidates(documents, at))

    def arrange(self, candidates: Iterable[Version]) -> list[Version]:
        """Those of the covered `candidates` that make up the result, in order."""
        rows = [version for version in candidates if self.matches(version)]
        for path, descending in reversed(self.orders):
            rows.sort(key=lambda version: version.key(path) or (), reverse=descending)
        end = None if self.limit is None else self.offset + self.limit
        rows = rows[self.offset : end]
        return rows if self.nearest is None else self.nearest.pick(rows)

    def cursor(self, version: Version) -> Message:
        """The position right after `version` in this query's order."""
        values = []
        for path, _ in self.orders:
            if path == NAME:
                values.append(Value(reference_value=version.name))
            elif version.document is not None:
                values.append(find(version.document.fields, path))
        return Cursor(values=values, before=False)

    def project(self, version: Version) -> Message:
        """The Document to send: whole, or the selected fields."""
        if version.document is None or (self._fields is None and self.nearest is None):
            return version.document
        document = Document()
        if self._fields is None:
            document.CopyFrom(version.document)
        else:
            document = select_fields(version.document, self._fields)
        if self.nearest is not None:
            self.nearest.annotate(document, version)
        return document


def _orders(query: Message, aggregations: Iterable[Message]) -> list[tuple[FieldPath, bool]]:
    """(field, descending) for every explicit and implicit order."""
    orders: list[tuple[FieldPath, bool]] = []
    for order in query.order_by:
        path = field_path(order.field.field_path)
        orders.append((path, order.direction == StructuredQuery.DESCENDING))
    named = {path for path, _ in orders}
    if len(named) < len(orders):
        raise invalid("A query must not be ordered by a field twice.")
    descending = orders[-1][1] if orders else False
    implicit = inequality_fields(query.where) if query.HasField("where") else []
    implicit += [path for path in map(_aggregated, aggregations) if path is not None]
    for path in dict.fromkeys([*(path for path in implicit if path != NAME), NAME]):
        if path not in named:
            orders.append((path, descending))
    return orders


def _aggregated(aggregation: Message) -> FieldPath | None:
    operator = aggregation.WhichOneof("operator")
    if operator not in ("sum", "avg"):
        return None
    return field_path(getattr(aggregation, operator).field.field_path)


def aggregate(rows: list[Version], aggregations: Iterable[Message]) -> dict[str, Message]:
    """Alias -> Value for each count, sum or average over a query's result.

    Raises INVALID_ARGUMENT for an aggregation without a type, or two with one alias.
    """
    results: dict[str, Message] = {}
    for number, aggregation in enumerate(aggregations, 1):
        alias = aggregation.alias or f"field_{number}"
        if alias in results:
            raise invalid(f"Aggregation aliases contain duplicate alias: {alias}")
        operator = aggregation.WhichOneof("operator")
        if operator == "count":
            count = aggregation.count
            limit = count.up_to.value if count.HasField("up_to") else None
            if limit is not None and limit <= 0:
                raise invalid("up_to must be positive.")
            results[alias] = Value(integer_value=len(rows[:limit]))
        elif operator == "sum":
            results[alias] = _sum(_numbers(rows, aggregation.sum.field.field_path))
        elif operator == "avg":
            results[alias] = _average(_numbers(rows, aggregation.avg.field.field_path))
        else:
            raise invalid("An aggregation must have an operator.")
    if not results:
        raise invalid("Aggregations can not be empty.")
    return results


def _numbers(rows: list[Version], path: str) -> list[int | float]:
    found = (
        find(row.document.fields, field_path(path)) for row in rows if row.document is not None
    )
    return [number_of(value) for value in found if value is not None and is_number(value)]


def _sum(numbers: list[int | float]) -> Message:
    """An integer while it is one and fits 64 bits, else a double."""
    if all(isinstance(number, int) for number in numbers):
        return number_value(sum(numbers))
    return Value(double_value=_total(numbers))


def _average(numbers: list[int | float]) -> Message:
    if not numbers:
        return Value(null_value=0)
    return Value(double_value=_total(numbers) / len(numbers))


def _total(numbers: list[int | float]) -> float:
    try:
        return math.fsum(numbers)
    except (OverflowError, ValueError):  # beyond a double's range, or infinities of both signs
        return sum(float(number) for number in numbers)


def partition(query: Query, rows: list[Version], most: int) -> list[Message]:
    """At most `most` cursors that cut a result into parts of about equal size."""
    if most <= 0:
        raise invalid("partition_count must be positive.")
    step = max(math.ceil(len(rows) / (most + 1)), 1)
    cuts = islice(rows, step, None, step)
    return [
        Cursor(values=query.cursor(version).values, before=True) for version in islice(cuts, most)
    ]
