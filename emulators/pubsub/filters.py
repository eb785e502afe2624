"""The filter language of subscriptions.

Rules as documented under "Filter messages from a subscription" in Google's Pub/Sub guide: a filter
has at most 256 bytes, sees attributes only, and is case-sensitive throughout. `AND` and `OR` may
not stand side by side without parentheses; `NOT` and `-` negate what follows.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Matches = Callable[[Mapping[str, str]], bool]
MOST_BYTES = 256

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>"(?:[^"\\\n]|\\.)*")
      | (?P<not_equal>!=)
      | (?P<mark>[():.,=-])
      | (?P<word>[A-Za-z0-9_][A-Za-z0-9_-]*)
    )""",
    re.VERBOSE,
)
_ESCAPE = re.compile(
    r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-7]{3})|(.))", re.DOTALL
)
_NAMED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_PLAIN = frozenset("\\\"'`?")


class InvalidFilter(ValueError):
    """The expression is not of the documented grammar."""


@dataclass(frozen=True)
class _Token:
    kind: str
    value: str
    at: int


def compile_filter(expression: str) -> Matches:
    """A predicate over a message's attributes; an empty expression matches everything.

    Raises `InvalidFilter`, saying at which character.
    """
    if len(expression.encode()) > MOST_BYTES:
        raise InvalidFilter(f"the filter is longer than {MOST_BYTES} bytes")
    if not expression.strip():
        return lambda _: True
    return _Parser(_tokens(expression)).whole()


def _tokens(expression: str) -> list[_Token]:
    tokens = []
    at = 0
    end = len(expression.rstrip())
    while at < end:
        found = _TOKEN.match(expression, at)
        if found is None or found.lastgroup is None:
            raise InvalidFilter(f"unexpected character at {at}")
        kind = found.lastgroup
        value = found[kind]
        if kind == "text":
            value = _ESCAPE.sub(_unescape, value[1:-1])
        tokens.append(_Token(kind, value, found.start(kind)))
        at = found.end()
    tokens.append(_Token("end", "", end))
    return tokens


def _unescape(found: re.Match[str]) -> str:
    for digits, base in ((found[1] or found[2] or found[3], 16), (found[4], 8)):
        if digits:
            try:
                return chr(int(digits, base))
            except (ValueError, OverflowError):
                raise InvalidFilter(f"no such character: {found[0]}") from None
    if found[5] in _NAMED:
        return _NAMED[found[5]]
    if found[5] in _PLAIN:
        return found[5]
    raise InvalidFilter(f"unknown escape sequence {found[0]}")


class _Parser:
    """Recursive descent; each method reads one construct and answers its predicate."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def whole(self) -> Matches:
        matches = self._expression()
        if self._next.kind != "end":
            raise self._unexpected()
        return matches

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _unexpected(self) -> InvalidFilter:
        token = self._next
        what = "end of the filter" if token.kind == "end" else repr(token.value)
        return InvalidFilter(f"unexpected {what} at {token.at}")

    def _take(self, kind: str, *values: str) -> str:
        token = self._next
        if token.kind != kind or (values and token.value not in values):
            raise self._unexpected()
        self._at += 1
        return token.value

    def _is(self, kind: str, value: str) -> bool:
        return self._next.kind == kind and self._next.value == value

    def _expression(self) -> Matches:
        terms = [self._term()]
        joined_by = ""
        while self._is("word", "AND") or self._is("word", "OR"):
            word = self._next.value
            if joined_by not in ("", word):
                raise InvalidFilter(f"AND and OR need parentheses at {self._next.at}")
            joined_by = self._take("word", word)
            terms.append(self._term())
        if len(terms) == 1:
            return terms[0]
        if joined_by == "AND":
            return lambda attributes: all(term(attributes) for term in terms)
        return lambda attributes: any(term(attributes) for term in terms)

    def _term(self) -> Matches:
        if self._is("word", "NOT") or self._is("mark", "-"):
            self._at += 1
            negated = self._term()
            return lambda attributes: not negated(attributes)
        if self._is("mark", "("):
            self._take("mark", "(")
            inner = self._expression()
            self._take("mark", ")")
            return inner
        if self._is("word", "hasPrefix"):
            return self._has_prefix()
        return self._comparison()

    def _has_prefix(self) -> Matches:
        self._take("word", "hasPrefix")
        self._take("mark", "(")
        self._take("word", "attributes")
        self._take("mark", ".")
        key = self._key()
        self._take("mark", ",")
        prefix = self._take("text")
        self._take("mark", ")")
        return lambda attributes: key in attributes and attributes[key].startswith(prefix)

    def _comparison(self) -> Matches:
        self._take("word", "attributes")
        if self._take("mark", ":", ".") == ":":
            present = self._key()
            return lambda attributes: present in attributes
        key = self._key()
        if self._next.kind == "not_equal":
            self._take("not_equal")
            unwanted = self._take("text")
            return lambda attributes: attributes.get(key) != unwanted
        self._take("mark", "=")
        wanted = self._take("text")
        return lambda attributes: attributes.get(key) == wanted

    def _key(self) -> str:
        return self._take("text" if self._next.kind == "text" else "word")
