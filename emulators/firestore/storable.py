"""What may be stored: names of fields, ranges and sizes of values, the size of documents.

Limits: https://cloud.google.com/firestore/quotas
Sizes: https://cloud.google.com/firestore/docs/storage-size
"""

from collections.abc import Callable

from emulators.api.refusals import invalid
from emulators.firestore.messages import Message
from emulators.firestore.names import LONGEST_ID, check_document, is_reserved
from emulators.firestore.values import UNSET, is_vector

_MOST_DEPTH = 20
_LARGEST_DOCUMENT = 1_048_576
_LARGEST_VALUE = 1_048_487
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799


def make_storable(fields: Message, depth: int = 0) -> None:
    """Cut timestamps to microseconds, in place. Raises INVALID_ARGUMENT for what cannot be kept."""
    for name, value in fields.items():
        if not name:
            raise invalid("The property.name is the empty string.")
        if is_reserved(name) and not (name == "__type__" and is_vector(fields)):
            raise invalid(f"field name {name} is reserved")
        if len(name) * 4 > LONGEST_ID and len(name.encode()) > LONGEST_ID:
            raise invalid(f"The property.name is longer than {LONGEST_ID} bytes.")
        make_value_storable(value, depth)


def make_value_storable(value: Message, depth: int = 0, *, in_array: bool = False) -> None:
    """As `make_storable`, for a single value inside of so many maps and arrays."""
    kind = value.WhichOneof("value_type")
    if kind in _CHECKS:
        _CHECKS[kind](getattr(value, kind))
    elif kind in ("map_value", "array_value"):
        if depth >= _MOST_DEPTH:
            raise invalid("A property contains an invalid nested entity.")
        if kind == "map_value":
            make_storable(value.map_value.fields, depth + 1)
            return
        if in_array:
            raise invalid("Cannot convert an array value in an array value.")
        for item in value.array_value.values:
            make_value_storable(item, depth + 1, in_array=True)
    elif kind not in _PLAIN:
        raise invalid(UNSET)


def _check_timestamp(stamp: Message) -> None:
    if not (_FIRST_SECOND <= stamp.seconds <= _LAST_SECOND and 0 <= stamp.nanos < 1_000_000_000):
        raise invalid("A timestamp must lie between 0001-01-01 and 9999-12-31T23:59:59Z.")
    stamp.nanos -= stamp.nanos % 1000


def _check_point(point: Message) -> None:
    if not -90 <= point.latitude <= 90:
        raise invalid("Geo point latitude outside permitted range -90.0 to 90.0.")
    if not -180 <= point.longitude <= 180:
        raise invalid("Geo point longitude outside permitted range -180.0 to 180.0.")


def _check_length(text: str | bytes) -> None:
    if len(text) * 4 > _LARGEST_VALUE and _bytes(text) > _LARGEST_VALUE:
        raise invalid(f"The value of a property is longer than {_LARGEST_VALUE} bytes.")


_PLAIN = ("null_value", "boolean_value", "integer_value", "double_value")
_CHECKS: dict[str, Callable[[Message], object]] = {
    "timestamp_value": _check_timestamp,
    "geo_point_value": _check_point,
    "string_value": _check_length,
    "bytes_value": _check_length,
    "reference_value": check_document,
}


def check_size(name: str, document: Message) -> None:
    """Raises INVALID_ARGUMENT for a document that is too large to be stored under `name`."""
    if document.ByteSize() < _LARGEST_DOCUMENT // 3:  # counted otherwise, but never thrice that
        return
    if _name_size(name) + _fields_size(document.fields) + 32 > _LARGEST_DOCUMENT:
        raise invalid(
            f"Document '{name}' cannot be written because its size exceeds the maximum"
            f" allowed size of {_LARGEST_DOCUMENT:,} bytes."
        )


def _bytes(text: str | bytes) -> int:
    return len(text.encode() if isinstance(text, str) else text)


def _size(value: Message) -> int:
    kind = value.WhichOneof("value_type")
    if kind == "map_value":
        return _fields_size(value.map_value.fields)
    if kind == "array_value":
        return sum(_size(item) for item in value.array_value.values)
    if kind == "string_value":
        return _bytes(value.string_value) + 1
    if kind == "bytes_value":
        return len(value.bytes_value)
    if kind == "reference_value":
        return _name_size(value.reference_value)
    return {"null_value": 1, "boolean_value": 1, "geo_point_value": 16}.get(kind, 8)


def _fields_size(fields: Message) -> int:
    return sum(_bytes(name) + 1 + _size(value) for name, value in fields.items())


def _name_size(name: str) -> int:
    return 16 + sum(_bytes(part) + 1 for part in name.split("/")[5:])
