"""Firestore values: their order across types, and their place in documents.

Order: https://cloud.google.com/firestore/docs/concepts/data-types#value_type_ordering
"""

import math
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from emulators.api.refusals import invalid
from emulators.clock import from_micros
from emulators.firestore.messages import Message, Value, instant_of
from emulators.firestore.names import FieldPath

Key = tuple[Any, ...]
"""Sorts and compares as the value it stands for; its first item tells the type."""

NULL, BOOLEAN, NUMBER, TIMESTAMP, STRING, BYTES, REFERENCE, GEO_POINT, ARRAY, VECTOR, MAP = range(
    11
)
NULL_KEY: Key = (NULL,)
NAN_KEY: Key = (NUMBER, 0)
_NUMERIC_ID = re.compile(r"__id(-?\d+)__")
UNSET = "Cannot convert firestore.v1.Value with type unset."


def number_key(number: float) -> Key:
    """NaN comes before all numbers; integers and doubles compare by value."""
    return NAN_KEY if math.isnan(number) else (NUMBER, 1, number)


@lru_cache(16384)
def name_key(name: str) -> Key:
    """References order by segment; numeric ids (`__id7__`) come before others, by number."""
    parts = (
        (0, int(match[1])) if (match := _NUMERIC_ID.fullmatch(part)) else (1, part)
        for part in name.split("/")
    )
    return (REFERENCE, tuple(parts))


def key(value: Message) -> Key:
    """The sort key of a Value."""
    kind = value.WhichOneof("value_type")
    if kind is None:
        raise invalid(UNSET)
    if kind not in _KEYS:
        raise invalid(f"A value of the type {kind} cannot be compared.")
    return _KEYS[kind](getattr(value, kind))


def _map_key(fields: Message) -> Key:
    if is_vector(fields):
        numbers = tuple(key(item) for item in fields["value"].array_value.values)
        return (VECTOR, len(numbers), numbers)
    return (MAP, tuple((name, key(fields[name])) for name in sorted(fields)))


_KEYS: dict[str, Callable[[Any], Key]] = {
    "null_value": lambda _: NULL_KEY,
    "boolean_value": lambda flag: (BOOLEAN, flag),
    "integer_value": number_key,
    "double_value": number_key,
    "timestamp_value": lambda stamp: (TIMESTAMP, instant_of(stamp)),
    "string_value": lambda text: (STRING, text),
    "bytes_value": lambda data: (BYTES, data),
    "reference_value": name_key,
    "geo_point_value": lambda point: (GEO_POINT, point.latitude, point.longitude),
    "array_value": lambda array: (ARRAY, tuple(key(item) for item in array.values)),
    "map_value": lambda map_: _map_key(map_.fields),
}


def is_vector(fields: Message) -> bool:
    return (
        "__type__" in fields
        and fields["__type__"].string_value == "__vector__"
        and "value" in fields
    )


def is_number(value: Message) -> bool:
    return value.WhichOneof("value_type") in ("integer_value", "double_value")


def number_of(value: Message) -> int | float:
    """The number in an integer or double Value."""
    number: int | float = getattr(value, value.WhichOneof("value_type"))
    return number


def number_value(number: float) -> Message:
    """A Value of the Python type of `number`; an integer beyond 64 bits becomes a double."""
    if isinstance(number, int) and -(1 << 63) <= number < 1 << 63:
        return Value(integer_value=number)
    return Value(double_value=float(number))


def find(fields: Message, path: FieldPath) -> Message | None:
    """The Value at `path`, or None."""
    for part in path[:-1]:
        if part not in fields or fields[part].WhichOneof("value_type") != "map_value":
            return None
        fields = fields[part].map_value.fields
    return fields.get(path[-1])


def put(fields: Message, path: FieldPath, value: Message) -> None:
    """Set the Value at `path`; whatever stands in the way becomes a map."""
    for part in path[:-1]:
        inner = fields[part]
        if inner.WhichOneof("value_type") != "map_value":
            inner.map_value.SetInParent()
        fields = inner.map_value.fields
    fields[path[-1]].CopyFrom(value)


def drop(fields: Message, path: FieldPath) -> None:
    """Remove the Value at `path` if it is there."""
    for part in path[:-1]:
        if part not in fields or fields[part].WhichOneof("value_type") != "map_value":
            return
        fields = fields[part].map_value.fields
    fields.pop(path[-1], None)


def select(document: Message, paths: list[FieldPath]) -> Message:
    """A copy of `document` with the fields at `paths` alone."""
    chosen = type(document)(name=document.name)
    for time in ("create_time", "update_time"):
        if document.HasField(time):
            getattr(chosen, time).CopyFrom(getattr(document, time))
    for path in paths:
        value = find(document.fields, path)
        if value is not None:
            put(chosen.fields, path, value)
    return chosen


def plain(value: Message) -> Any:
    """The Value as plain data: aware UTC datetimes, references as relative paths."""
    kind = value.WhichOneof("value_type")
    match kind:
        case "null_value" | None:
            return None
        case "timestamp_value":
            return from_micros(instant_of(value.timestamp_value))
        case "geo_point_value":
            return {
                "latitude": value.geo_point_value.latitude,
                "longitude": value.geo_point_value.longitude,
            }
        case "reference_value":
            return value.reference_value.partition("/documents/")[2]
        case "array_value":
            return [plain(item) for item in value.array_value.values]
        case "map_value":
            return {name: plain(item) for name, item in sorted(value.map_value.fields.items())}
    return getattr(value, kind)
