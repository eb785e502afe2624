"""Structured queries and aggregations over the stored documents."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice

from emulators.api.refusals import invalid
from emulators.firestore.documents import Documents, Version
from emulators.firestore.filters import equality_fields, inequality_fields, predicate
from emulators.firestore.messages import Cursor, Document, Message, StructuredQuery, Value
from emulators.firestore.names import (
    NAME,
    FieldPath,
    check_collection_id,
    check_parent,
    collection_of,
    field_path,
    is_reserved,
    root_of,
)
from emulators.firestore.nearest import Nearest
from emulators.firestore.values import (
    Key,
    find,
    is_number,
    key,
    number_of,
    number_value,
)
from emulators.firestore.values import select as select_fields

_DESCENDING = StructuredQuery.DESCENDING
_MOST_AGGREGATIONS = 5


class Query:
    """A StructuredQuery below one parent, checked. Raises INVALID_ARGUMENT when made.

    Orders the proto leaves implicit are added: inequality fields, then the name, in the direction
    of the last order given. A document without one of the ordered fields is not in the result.
    Fields under `aggregations` count as ordered too, since their index is what Firestore reads.
    """

    def __init__(self, parent: str, query: Message, aggregations: Iterable[Message] = ()) -> None:
        self.parent = check_parent(parent)
        if len(query.from_) > 1:
            raise invalid("StructuredQuery.from cannot have more than one collection selector.")
        selector = query.from_[0] if query.from_ else StructuredQuery.CollectionSelector()
        self.descends = selector.all_descendants
        self.collection_id = selector.collection_id
        if self.collection_id:
            check_collection_id(self.collection_id)
        root = root_of(parent)
        self._holds = predicate(query.where, root) if query.HasField("where") else None
        self.orders = _orders(query, aggregations)
        self.equalities = equality_fields(query.where) if query.HasField("where") else []
        self.nearest = Nearest(query.find_nearest) if query.HasField("find_nearest") else None
        self._start = self._position(query, "start_at")
        self._end = self._position(query, "end_at")
        if query.offset < 0:
            raise invalid("offset is negative")
        if query.limit.value < 0:
            raise invalid("limit is negative")
        self.offset = query.offset
        self.limit = query.limit.value if query.HasField("limit") else None
        self._fields = (
            [field_path(item.field_path) for item in query.select.fields]
            if query.HasField("select")
            else None
        )

    def _position(self, query: Message, end: str) -> tuple[list[Key], bool] | None:
        """The cursor's values as keys, and whether it stands before them."""
        if not query.HasField(end):
            return None
        cursor = getattr(query, end)
        if len(cursor.values) > len(query.order_by):
            raise invalid("Cursor has too many values.")
        for (path, _), value in zip(self.orders, cursor.values, strict=False):
            if path == NAME and value.WhichOneof("value_type") != "reference_value":
                raise invalid("Cursor on __name__ must be a reference.")
        return [key(value) for value in cursor.values], cursor.before

    @property
    def windowed(self) -> bool:
        """Whether one document's change can move others in or out of the result."""
        return self.limit is not None or self.offset > 0 or self.nearest is not None

    def covers(self, name: str) -> bool:
        """Whether the document `name` lies in what the query selects from."""
        collection = collection_of(name)
        if not self.descends:
            if not self.collection_id:
                return collection.rpartition("/")[0] == self.parent
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
        if not self.descends and self.collection_id:
            yield from documents.scan(f"{self.parent}/{self.collection_id}", at)
            return
        for path in documents.collections(self.parent):
            parent, _, collection_id = path.rpartition("/")
            if not self.descends and parent != self.parent:
                continue
            if not self.collection_id or collection_id == self.collection_id:
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

    def skipped(self, documents: Documents, at: int | None = None) -> int:
        """How many results the offset of a query leaves out, if it leaves out all of them."""
        matching = sum(self.matches(version) for version in self.candidates(documents, at))
        offset: int = self.offset
        return min(offset, matching)

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
        if orders and orders[-1][0] == NAME:
            raise invalid("order by clause cannot contain more fields after the key")
        orders.append((path, order.direction == _DESCENDING))
    named = {path for path, _ in orders}
    if len(named) < len(orders):
        raise invalid("order by clause cannot contain duplicate fields")
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
    path = field_path(getattr(aggregation, operator).field.field_path)
    if path == NAME:
        raise invalid("Aggregations are not supported for the property: __key__")
    return path


def aggregate(rows: list[Version], aggregations: Sequence[Message]) -> dict[str, Message]:
    """Alias -> Value for each count, sum or average over a query's result.

    Raises INVALID_ARGUMENT for an aggregation without a type, or two with one alias.
    """
    if not aggregations:
        raise invalid("Aggregations can not be empty.")
    if len(aggregations) > _MOST_AGGREGATIONS:
        raise invalid(f"A query must not have more than {_MOST_AGGREGATIONS} aggregations.")
    aliases = _aliases(aggregations)
    results = [_result(rows, aggregation) for aggregation in aggregations]
    return dict(zip(aliases, results, strict=True))


def _aliases(aggregations: Sequence[Message]) -> list[str]:
    """The given aliases; what has none is numbered, as the proto says: `field_1`, `field_2`."""
    given = [aggregation.alias for aggregation in aggregations if aggregation.alias]
    for alias in given:
        if given.count(alias) > 1:
            raise invalid(f"Aggregation aliases contain duplicate alias: {alias}.")
        if is_reserved(alias):
            raise invalid(f'The property.name "{alias}" is reserved.')
    numbered = (name for n in count(1) if (name := f"field_{n}") not in given)
    return [aggregation.alias or next(numbered) for aggregation in aggregations]


def _result(rows: list[Version], aggregation: Message) -> Message:
    operator = aggregation.WhichOneof("operator")
    if operator == "count":
        most = aggregation.count.up_to.value if aggregation.count.HasField("up_to") else None
        if most is not None and most < 0:
            raise invalid(
                "The `up_to` value in a COUNT aggregation must be greater than or equal to zero."
            )
        return Value(integer_value=len(rows[:most]))
    if operator == "sum":
        return _sum(_numbers(rows, aggregation.sum.field.field_path))
    if operator == "avg":
        return _average(_numbers(rows, aggregation.avg.field.field_path))
    raise invalid("Operator field in Aggregation is not set.")


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


def check_partitionable(query: Message) -> None:
    """Raises INVALID_ARGUMENT for more than a collection group ordered by name, ascending."""
    if len(query.from_) != 1 or not query.from_[0].all_descendants:
        raise invalid("A partitioned query must select all descendants of one collection.")
    if any(query.HasField(field) for field in ("where", "limit", "start_at", "end_at")):
        raise invalid("A partitioned query must have no filters, limits and cursors.")
    by_name = [("__name__", False)] if query.order_by else []
    orders = [(o.field.field_path, o.direction == _DESCENDING) for o in query.order_by]
    if query.offset or orders != by_name:
        raise invalid("A partitioned query must be ordered by __name__ ascending, without offset.")


def partition(query: Query, rows: list[Version], most: int) -> list[Message]:
    """At most `most` cursors that cut a result into parts of about equal size."""
    if most <= 0:
        raise invalid("partition_count must be positive.")
    step = max(math.ceil(len(rows) / (most + 1)), 1)
    cuts = islice(rows, step, None, step)
    return [
        Cursor(values=query.cursor(version).values, before=True) for version in islice(cuts, most)
    ]
