"""Filters of ListQueues: comparisons of a queue's fields, joined by AND, OR and NOT.

Source: ListQueuesRequest.filter, which refers to https://cloud.google.com/logging/docs/view/
logging-query-language. Comparisons side by side are joined by AND; OR binds closer than AND.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from emulators.api.refusals import invalid

Test = Callable[[Any], bool]
_TOKEN = re.compile(
    r"\s*(?:(?P<quoted>\"(?:[^\"\\]|\\.)*\")|(?P<sign><=|>=|!=|=~|!~|[<>=:()])|"
    r"(?P<minus>-(?=[A-Za-z_(]))|(?P<word>[^\s<>=!:()\"]+))"
)
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?s?")
_SIGNS = {"<", "<=", ">", ">=", "=", "!=", ":"}
_MOST_DEPTH = 50


def parse_filter(text: str, message: Any) -> Test:
    """A test of messages of the class `message`. Raises `Refused` for what is no filter."""
    tokens, at = [], 0
    while text[at:].strip():
        if (match := _TOKEN.match(text, at)) is None:
            raise _bad(text)
        tokens.append((str(match.lastgroup), match[0].strip()))
        at = match.end()
    return _Parser(text, tokens, message).whole()


def _bad(text: str) -> Exception:
    return invalid(f'The filter "{text}" is not valid.')


@dataclass
class _Parser:
    text: str
    tokens: list[tuple[str, str]]
    message: Any
    depth: int = 0

    def whole(self) -> Test:
        if not self.tokens:
            return lambda _: True
        test = self._all()
        if self.tokens:
            raise _bad(self.text)
        return test

    def _next(self, *words: str) -> bool:
        """Take the next token if it is one of `words`, outside quotes."""
        if self.tokens and self.tokens[0][0] != "quoted" and self.tokens[0][1] in words:
            self.tokens.pop(0)
            return True
        return False

    def _all(self) -> Test:
        tests = [self._any()]
        while self.tokens and self.tokens[0][1] != ")":
            self._next("AND")
            tests.append(self._any())
        return lambda item: all(test(item) for test in tests)

    def _any(self) -> Test:
        tests = [self._one()]
        while self._next("OR"):
            tests.append(self._one())
        return lambda item: any(test(item) for test in tests)

    def _one(self) -> Test:
        self.depth += 1
        if self.depth > _MOST_DEPTH:
            raise _bad(self.text)
        try:
            if self._next("NOT", "-"):
                inner = self._one()
                return lambda item: not inner(item)
            if self._next("("):
                inner = self._all()
                if not self._next(")"):
                    raise _bad(self.text)
                return inner
            return self._comparison()
        finally:
            self.depth -= 1

    def _comparison(self) -> Test:
        if len(self.tokens) < 3:
            raise _bad(self.text)
        (kind, path), (_, sign), (value_kind, value) = self.tokens[:3]
        del self.tokens[:3]
        if kind != "word" or sign not in _SIGNS or value_kind not in ("word", "quoted"):
            raise _bad(self.text)
        if value_kind == "quoted":
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        return _Comparison(_fields(path, self.message), sign, value).holds


def _fields(path: str, message: Any) -> list[FieldDescriptor]:
    fields: list[FieldDescriptor] = []
    descriptor = message.DESCRIPTOR
    for name in path.split("."):
        field = _named(descriptor, name)
        if field is None:
            raise invalid(f'Unknown field "{path}" in the filter.')
        fields.append(field)
        descriptor = field.message_type
    return fields


def _named(descriptor: Any, name: str) -> FieldDescriptor | None:
    """A field by its name or its JSON name (`max_attempts`, `maxAttempts`)."""
    for field in descriptor.fields if descriptor is not None else ():
        if name in (field.name, field.json_name):
            found: FieldDescriptor = field
            return found
    return None


@dataclass
class _Comparison:
    fields: list[FieldDescriptor]
    sign: str
    value: str

    def holds(self, message: Any) -> bool:
        for field in self.fields[:-1]:
            message = getattr(message, field.name)
        last = self.fields[-1]
        if self.sign == ":" and self.value == "*":
            return bool(message.HasField(last.name) if last.has_presence else True)
        held = getattr(message, last.name)
        if last.enum_type is not None:
            return self._text(last.enum_type.values_by_number[held].name, is_whole=True)
        if last.message_type is not None:
            return self._of_message(held)
        if isinstance(held, int | float):
            return self._number(float(held))
        return self._text(str(held))

    def _of_message(self, held: Any) -> bool:
        name = held.DESCRIPTOR.full_name
        if name == "google.protobuf.Duration":
            return self._number(held.ToTimedelta().total_seconds())
        if name == "google.protobuf.Timestamp":
            return self._ordered(held.ToJsonString(), self.value)
        raise invalid("A filter compares single values.")

    def _number(self, held: float) -> bool:
        if not _NUMBER.fullmatch(self.value):
            raise invalid(f'"{self.value}" is no number.')
        return self._ordered(held, float(self.value.removesuffix("s")))

    def _text(self, held: str, *, is_whole: bool = False) -> bool:
        if self.sign == ":" and not is_whole:
            return self.value.casefold() in held.casefold()
        return self._ordered(held.casefold(), self.value.casefold())

    def _ordered(self, held: Any, value: Any) -> bool:
        tests: dict[str, bool] = {
            "=": held == value,
            ":": held == value,
            "!=": held != value,
            "<": held < value,
            "<=": held <= value,
            ">": held > value,
            ">=": held >= value,
        }
        return tests[self.sign]
