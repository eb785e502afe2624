"""Schemas of Protocol Buffers: definitions in proto2 or proto3, and whether data conforms to them.

Rules: "Restrictions on Protocol Buffer schemas" in Google's Pub/Sub guide. A definition has one
message at its top and imports nothing.
"""

import json
import re
from typing import Any

from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.message import DecodeError

_TOKEN = re.compile(
    r"""\s+|//[^\n]*|/\*.*?\*/
      |(?P<token>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|\.?[A-Za-z_][\w.]*|-?[\d][\w.]*|[-{}()<>\[\]=;:,+])""",
    re.VERBOSE | re.DOTALL,
)
_IDENTIFIER = re.compile(r"\.?[A-Za-z_][\w.]*")
_LABELS = {"optional": 1, "required": 2, "repeated": 3}
_SCALARS = {
    name.removeprefix("TYPE_").lower(): number
    for name, number in FieldDescriptorProto.Type.items()
    if name not in ("TYPE_GROUP", "TYPE_MESSAGE", "TYPE_ENUM")
}
_DEEPEST = 32


class InvalidProtobuf(ValueError):
    """The text is no such definition, or the data does not conform to it."""


class Protobuf:
    """A compiled definition."""

    def __init__(self, definition: str) -> None:
        """Raises `InvalidProtobuf` for what cannot be compiled."""
        file = _Reader(definition).file()
        if len(file.message_type) != 1:
            raise InvalidProtobuf("a definition has one message at its top")
        pool = descriptor_pool.DescriptorPool()
        try:
            pool.Add(file)
            name = ".".join(filter(None, (file.package, file.message_type[0].name)))
            found = pool.FindMessageTypeByName(name)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidProtobuf(f"the definition cannot be compiled: {error}") from None
        self._message: Any = message_factory.GetMessageClass(found)

    def check_json(self, data: bytes) -> None:
        """Raises `InvalidProtobuf` unless `data` is the message in proto3's JSON mapping."""
        try:
            value = json.loads(data)
            if not isinstance(value, dict):
                raise ValueError("it is no object")
            json_format.ParseDict(value, self._message())
        except (json_format.ParseError, ValueError, RecursionError) as error:
            raise InvalidProtobuf(f"the message does not fit: {error}") from None

    def check_binary(self, data: bytes) -> None:
        """Raises `InvalidProtobuf` unless `data` is the message in the wire format."""
        try:
            whole = self._message.FromString(data).IsInitialized()
        except DecodeError:
            raise InvalidProtobuf("the message does not fit") from None
        if not whole:
            raise InvalidProtobuf("a required field is missing")


class _Reader:
    """Recursive descent over the tokens of a definition; options are read over."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._proto3 = False

    @property
    def _next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self, expected: str = "") -> str:
        token = self._next
        if not token or (expected and token != expected):
            raise InvalidProtobuf(f"unexpected {token or 'end'!r} for {expected or 'more'!r}")
        self._at += 1
        return token

    def _name(self) -> str:
        if not _IDENTIFIER.fullmatch(self._next):
            raise InvalidProtobuf(f"{self._next!r} is no name")
        return self._take()

    def _number(self) -> int:
        try:
            number = int(self._take(), 0)
        except ValueError:
            raise InvalidProtobuf("a number is missing") from None
        if not -(2**31) <= number < 2**31:
            raise InvalidProtobuf(f"{number} is too large")
        return number

    def _skip(self, end: str = ";") -> None:
        while self._take() != end:
            pass

    def file(self) -> FileDescriptorProto:
        file = FileDescriptorProto(name="schema.proto", syntax="proto2")
        while self._next:
            kind = self._take()
            if kind == "syntax":
                self._take("=")
                file.syntax = self._take().strip("\"'")
                self._proto3 = file.syntax == "proto3"
                self._take(";")
            elif kind == "package":
                file.package = self._name()
                self._take(";")
            elif kind == "message":
                self._message(file.message_type.add(), 0)
            elif kind == "enum":
                self._enum(file.enum_type.add())
            elif kind == "option":
                self._skip()
            elif kind != ";":
                raise InvalidProtobuf(f"{kind!r} is not supported")
        return file

    def _message(self, message: DescriptorProto, depth: int) -> None:
        if depth > _DEEPEST:
            raise InvalidProtobuf("the definition is nested too deeply")
        message.name = self._name()
        self._take("{")
        while self._next != "}":
            if self._next in ("option", "reserved", "extensions"):
                self._skip()
            elif self._next == "message":
                self._take()
                self._message(message.nested_type.add(), depth + 1)
            elif self._next == "enum":
                self._take()
                self._enum(message.enum_type.add())
            elif self._next == "oneof":
                self._oneof(message)
            elif self._next == ";":
                self._take()
            else:
                self._field(message)
        self._take("}")
        _name_oneofs_of_optionals(message)

    def _oneof(self, message: DescriptorProto) -> None:
        self._take("oneof")
        index = len(message.oneof_decl)
        message.oneof_decl.add(name=self._name())
        self._take("{")
        while self._next != "}":
            if self._next == "option":
                self._skip()
            else:
                self._field(message).oneof_index = index
        self._take("}")

    def _field(self, message: DescriptorProto) -> FieldDescriptorProto:
        field = message.field.add(label=FieldDescriptorProto.LABEL_OPTIONAL)
        if self._next in _LABELS:
            label = self._take()
            field.label = FieldDescriptorProto.Label.ValueType(_LABELS[label])
            field.proto3_optional = self._proto3 and label == "optional"
        kind = self._name()
        if kind == "map":
            self._map(message, field)
        else:
            _set_type(field, kind)
            field.name = self._name()
        self._take("=")
        field.number = self._number()
        if self._next == "[":
            self._skip("]")
        self._take(";")
        return field

    def _map(self, message: DescriptorProto, field: FieldDescriptorProto) -> None:
        """A map is a repeated message of keys and values."""
        self._take("<")
        kinds = [self._name()]
        self._take(",")
        kinds.append(self._name())
        self._take(">")
        field.name = self._name()
        entry = message.nested_type.add(name=field.name.title().replace("_", "") + "Entry")
        entry.options.map_entry = True
        for number, (name, kind) in enumerate(zip(("key", "value"), kinds, strict=True), 1):
            part = entry.field.add(name=name, number=number, label=1)
            _set_type(part, kind)
        field.label = FieldDescriptorProto.LABEL_REPEATED
        field.type_name = entry.name

    def _enum(self, enum: Any) -> None:
        enum.name = self._name()
        self._take("{")
        while self._next != "}":
            if self._next in ("option", "reserved"):
                self._skip()
                continue
            value = enum.value.add(name=self._name())
            self._take("=")
            value.number = self._number()
            if self._next == "[":
                self._skip("]")
            self._take(";")
        self._take("}")


def _tokens(text: str) -> list[str]:
    tokens = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise InvalidProtobuf(f"unexpected character at {at}")
        if found["token"]:
            tokens.append(found["token"])
        at = found.end()
    return tokens


def _set_type(field: FieldDescriptorProto, kind: str) -> None:
    """A scalar, or the name of a message or an enum that is found when all is compiled."""
    if kind in _SCALARS:
        field.type = FieldDescriptorProto.Type.ValueType(_SCALARS[kind])
    else:
        field.type_name = kind


def _name_oneofs_of_optionals(message: DescriptorProto) -> None:
    """An optional field of proto3 stands in a oneof of its own, after all others."""
    for field in message.field:
        if field.proto3_optional:
            field.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{field.name}")
