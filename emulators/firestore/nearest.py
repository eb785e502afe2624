"""Vector search: StructuredQuery.FindNearest over a query's result, by exact distances."""

import math

from emulators.api.refusals import invalid
from emulators.firestore.documents import Version
from emulators.firestore.messages import Message, StructuredQuery
from emulators.firestore.names import field_path
from emulators.firestore.values import find, is_number, is_vector, number_of, number_value, put

_Measure = StructuredQuery.FindNearest
_MOST = 1000
_MOST_DIMENSIONS = 2048


class Nearest:
    """The nearest neighbours of one vector. Raises INVALID_ARGUMENT when made of nonsense.

    Documents without a vector of the same dimension at the field are never found.
    """

    def __init__(self, search: Message) -> None:
        self.path = field_path(search.vector_field.field_path)
        vector = _vector(search.query_vector)
        if not vector or len(vector) > _MOST_DIMENSIONS:
            raise invalid("The query vector must be a vector of 1 to 2048 numbers.")
        self.vector = vector
        self._measure = search.distance_measure
        if self._measure not in (_Measure.EUCLIDEAN, _Measure.COSINE, _Measure.DOT_PRODUCT):
            raise invalid("A distance measure is required.")
        self._limit = search.limit.value
        if not 0 < self._limit <= _MOST:
            raise invalid(f"The limit of a vector search must be from 1 to {_MOST}.")
        self._field = (
            field_path(search.distance_result_field) if search.distance_result_field else None
        )
        self._threshold = (
            search.distance_threshold.value if search.HasField("distance_threshold") else None
        )

    def pick(self, rows: list[Version]) -> list[Version]:
        """The nearest of `rows`, the most similar first."""
        sign = -1 if self._measure == _Measure.DOT_PRODUCT else 1  # dot products grow when similar
        found = [(sign * d, row) for row in rows if (d := self.distance(row)) is not None]
        if self._threshold is not None:
            found = [(d, row) for d, row in found if d <= sign * self._threshold]
        found.sort(key=lambda pair: pair[0])
        return [row for _, row in found[: self._limit]]

    def distance(self, version: Version) -> float | None:
        value = None if version.document is None else find(version.document.fields, self.path)
        theirs = _vector(value) if value is not None else None
        if theirs is None or len(theirs) != len(self.vector):
            return None
        if self._measure == _Measure.EUCLIDEAN:
            return math.dist(self.vector, theirs)
        product = _dot(self.vector, theirs)
        if self._measure == _Measure.DOT_PRODUCT:
            return product
        lengths = math.sqrt(_dot(self.vector, self.vector) * _dot(theirs, theirs))
        return 1 - product / lengths if lengths else None

    def annotate(self, document: Message, version: Version) -> None:
        """Put the distance into `document` where the search asks for it."""
        distance = self.distance(version)
        if self._field is not None and distance is not None:
            put(document.fields, self._field, number_value(distance))


def _dot(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


def _vector(value: Message) -> list[float] | None:
    fields = value.map_value.fields
    if not is_vector(fields):
        return None
    items = fields["value"].array_value.values
    return [float(number_of(item)) for item in items if is_number(item)]
