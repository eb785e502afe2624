"""Avro schemas: what a definition may say, and whether data conforms to it.

Rules: the Apache Avro 1.11 specification, of which Pub/Sub takes schemas whose top is a record.
"""

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_INT = range(-(2**31), 2**31)
_LONG = range(-(2**63), 2**63)
_PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
_NAMED = frozenset({"record", "enum", "fixed"})
_DEEPEST = 64


class InvalidAvro(ValueError):
    """The definition is no Avro schema, or the data does not conform to it."""


@dataclass(frozen=True)
class Avro:
    """A parsed definition: its top and the named types in it."""

    top: Any
    names: Mapping[str, Any]

    def check_json(self, data: bytes) -> None:
        """Raises `InvalidAvro` unless `data` is one value in Avro's JSON encoding."""
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            raise InvalidAvro("the message is not JSON") from None
        _JsonCheck(self.names).check(self.top, value)

    def check_binary(self, data: bytes) -> None:
        """Raises `InvalidAvro` unless `data` is one value in Avro's binary encoding."""
        reader = _BinaryCheck(self.names, data)
        reader.check(self.top)
        if reader.left:
            raise InvalidAvro("bytes are left over after the value")


def parse(definition: str) -> Avro:
    """Raises `InvalidAvro` for what is no schema with a record at its top."""
    try:
        top = json.loads(definition)
    except (ValueError, RecursionError):
        raise InvalidAvro("the definition is not JSON") from None
    if not isinstance(top, dict) or top.get("type") != "record":
        raise InvalidAvro("the top of the definition must be a record")
    names: dict[str, Any] = {}
    _Definition(names).read(top, "", 0)
    return Avro(top, names)


class _Definition:
    """Walks a definition, collecting named types and refusing what is none."""

    def __init__(self, names: dict[str, Any]) -> None:
        self._names = names

    def read(self, schema: Any, space: str, depth: int) -> Any:
        """The type with its references by full name."""
        if depth > _DEEPEST:
            raise InvalidAvro("the definition is nested too deeply")
        if isinstance(schema, str):
            return self._reference(schema, space)
        if isinstance(schema, dict):
            return self._read_object(schema, space, depth)
        if not isinstance(schema, list) or any(isinstance(each, list) for each in schema):
            raise InvalidAvro("a type is a name, an object or a list of such")
        return [self.read(branch, space, depth + 1) for branch in schema]

    def _reference(self, name: str, space: str) -> str:
        if name in _PRIMITIVES:
            return name
        for known in (_full(name, space), name):
            if known in self._names:
                return known
        raise InvalidAvro(f"unknown type {name!r}")

    def _read_object(self, schema: dict[str, Any], space: str, depth: int) -> Any:
        kind = schema.get("type")
        if isinstance(kind, str) and kind in _NAMED:
            space = self._name(schema, space)
        if kind == "record":
            self._read_fields(schema.get("fields"), space, depth)
        elif kind == "enum":
            symbols = schema.get("symbols")
            if not isinstance(symbols, list) or not all(isinstance(each, str) for each in symbols):
                raise InvalidAvro("an enum needs symbols")
        elif kind == "fixed":
            if not isinstance(schema.get("size"), int) or schema["size"] < 0:
                raise InvalidAvro("a fixed needs a size")
        elif kind in ("array", "map"):
            part = "items" if kind == "array" else "values"
            schema[part] = self.read(schema.get(part), space, depth + 1)
        else:
            return self.read(kind, space, depth + 1)
        return schema

    def _read_fields(self, fields: Any, space: str, depth: int) -> None:
        if not isinstance(fields, list):
            raise InvalidAvro("a record needs fields")
        for field in fields:
            if not isinstance(field, dict) or not isinstance(field.get("name"), str):
                raise InvalidAvro("a field needs a name")
            field["type"] = self.read(field.get("type"), space, depth + 1)

    def _name(self, schema: dict[str, Any], space: str) -> str:
        """Note a named type; answers the namespace inside it."""
        name = schema.get("name")
        if not isinstance(name, str) or not name:
            raise InvalidAvro(f"a {schema['type']} needs a name")
        own = schema.get("namespace", space)
        full = _full(name, own if isinstance(own, str) else space)
        if full in self._names:
            raise InvalidAvro(f"{full} is defined twice")
        self._names[full] = schema
        schema["full name"] = full
        return full.rpartition(".")[0]


def _full(name: str, space: str) -> str:
    return name if "." in name or not space else f"{space}.{name}"


def _resolve(names: Mapping[str, Any], schema: Any) -> tuple[str, Any]:
    """The kind of a parsed type and its definition."""
    if isinstance(schema, list):
        return "union", schema
    definition = names.get(schema, schema) if isinstance(schema, str) else schema
    kind: str = definition if isinstance(definition, str) else definition["type"]
    return kind, definition


class _JsonCheck:
    """Avro's JSON encoding: a union's value stands in an object under the name of its branch."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self._names = names

    def check(self, schema: Any, value: Any) -> None:
        kind, definition = _resolve(self._names, schema)
        if kind == "union":
            self._check_union(definition, value)
        elif kind == "record":
            self._check_record(definition, value)
        elif kind == "array":
            _demand(isinstance(value, list), kind)
            for each in value:
                self.check(definition["items"], each)
        elif kind == "map":
            _demand(isinstance(value, dict), kind)
            for each in value.values():
                self.check(definition["values"], each)
        elif kind == "enum":
            _demand(isinstance(value, str) and value in definition["symbols"], kind)
        elif kind == "fixed":
            _demand(isinstance(value, str) and len(value) == definition["size"], kind)
        else:
            _demand(_PLAIN[kind](value), kind)

    def _check_record(self, definition: Any, value: Any) -> None:
        _demand(isinstance(value, dict), "record")
        fields = {field["name"]: field for field in definition["fields"]}
        if set(value) != set(fields):
            raise InvalidAvro("the fields are not those of the record")
        for name, field in fields.items():
            self.check(field["type"], value[name])

    def _check_union(self, branches: list[Any], value: Any) -> None:
        if value is None:
            _demand(any(_branch(self._names, each) == "null" for each in branches), "union")
            return
        _demand(isinstance(value, dict) and len(value) == 1, "union")
        ((name, inner),) = value.items()
        for branch in branches:
            if _branch(self._names, branch) == name:
                self.check(branch, inner)
                return
        raise InvalidAvro(f"the union has no branch {name!r}")


def _branch(names: Mapping[str, Any], schema: Any) -> str:
    """The name under which a union's branch stands."""
    kind, definition = _resolve(names, schema)
    return str(definition["full name"]) if kind in _NAMED else kind


def _demand(holds: bool, kind: str) -> None:
    if not holds:
        raise InvalidAvro(f"a value is no {kind}")


def _whole(value: Any, within: range) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in within


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_PLAIN: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "int": lambda value: _whole(value, _INT),
    "long": lambda value: _whole(value, _LONG),
    "float": _number,
    "double": _number,
    "bytes": lambda value: isinstance(value, str) and all(ord(each) < 256 for each in value),
    "string": lambda value: isinstance(value, str),
}


class _BinaryCheck:
    """Reads one value of Avro's binary encoding."""

    def __init__(self, names: Mapping[str, Any], data: bytes) -> None:
        self._names = names
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def _take(self, count: int) -> bytes:
        if not 0 <= count <= self.left:
            raise InvalidAvro("the message ends too early")
        self._at += count
        return self._data[self._at - count : self._at]

    def _long(self) -> int:
        value = shift = 0
        while True:
            byte = self._take(1)[0]
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return (value >> 1) ^ -(value & 1)
            shift += 7
            _demand(shift < 70, "long")

    def check(self, schema: Any, depth: int = 0) -> None:
        _demand(depth <= 4 * _DEEPEST, "value of such depth")
        kind, definition = _resolve(self._names, schema)
        if kind == "union":
            branch = self._long()
            _demand(0 <= branch < len(definition), "union")
            self.check(definition[branch], depth + 1)
        elif kind == "record":
            for field in definition["fields"]:
                self.check(field["type"], depth + 1)
        elif kind in ("array", "map"):
            self._check_blocks(kind, definition, depth)
        elif kind == "enum":
            _demand(0 <= self._long() < len(definition["symbols"]), kind)
        elif kind == "fixed":
            self._take(definition["size"])
        else:
            self._check_plain(kind)

    def _check_blocks(self, kind: str, definition: Any, depth: int) -> None:
        while count := self._long():
            if count < 0:
                self._long()
            before = self._at
            for _ in range(abs(count)):
                if kind == "map":
                    self._check_plain("string")
                self.check(definition["items" if kind == "array" else "values"], depth + 1)
                if self._at == before:
                    break  # values of no length are not worth counting

    def _check_plain(self, kind: str) -> None:
        if kind == "boolean":
            _demand(self._take(1) in (b"\x00", b"\x01"), kind)
        elif kind == "int":
            _demand(self._long() in _INT, kind)
        elif kind == "long":
            _demand(self._long() in _LONG, kind)
        elif kind in ("float", "double"):
            self._take(struct.calcsize("<f" if kind == "float" else "<d"))
        elif kind in ("bytes", "string"):
            text = self._take(self._long())
            if kind == "string":
                try:
                    text.decode()
                except ValueError:
                    raise InvalidAvro("a string is not UTF-8") from None
