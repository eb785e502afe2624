"""Traces: one span for each request and each step in it, in OpenTelemetry's model.

A span is recorded by a few assignments and becomes an OTLP message when it is exported. Where
nothing is exported, a request still has ids, for its log lines and for the events it emits.
"""

import re
from collections.abc import Mapping, Sequence
from contextvars import ContextVar, Token
from enum import IntEnum
from random import getrandbits
from time import time_ns
from types import TracebackType
from typing import NamedTuple, Self

from shared.platform.telemetry import export

Value = str | int | float | bool
_NONE: Mapping[str, Value] = {}
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class Kind(IntEnum):
    """Who is on the other side, with OTLP's numbers."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


class Request:
    """What every span and log line of a request shares."""

    __slots__ = ("correlation_id", "function")

    def __init__(self, function: str) -> None:
        self.function = function
        self.correlation_id = ""


class Context(NamedTuple):
    """A span as others know it."""

    trace_id: int
    span_id: int
    sampled: bool


class Span:
    """Something that takes time, while it is the block of a `with`. Instants are in nanoseconds."""

    __slots__ = (
        *("attributes", "end", "error", "kind", "links", "name", "parent_id", "recorded"),
        *("request", "sampled", "span_id", "start", "trace_id", "_token"),
    )  # fmt: skip

    def __init__(
        self, request: Request, name: str, kind: Kind, attributes: Mapping[str, Value]
    ) -> None:
        self.request = request
        self.name = name
        self.kind = kind
        self.attributes = attributes
        self.span_id = getrandbits(64) or 1
        self.links: Sequence[Context] = ()
        self.error = ""
        self.end = 0
        self.start = time_ns()

    def __enter__(self) -> Self:
        self._token: Token[Span | None] = _current.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _current.reset(self._token)
        del self._token  # it holds on to more than a span that waits for its export should
        self.end = time_ns()
        if kind is not None:
            self.fail(kind.__name__)
        if self.recorded:
            export.keep(self)

    def note(self, attributes: Mapping[str, Value]) -> None:
        """Say more of it. What it was made with may be shared, and stays as it is."""
        self.attributes = {**self.attributes, **attributes}

    def fail(self, kind: str) -> None:
        """Say that it failed, and by which type of error; the first reason stays."""
        self.error = self.error or kind

    def follow(self, parent: Context | None) -> None:
        """Become a child of `parent`, or the root of a new trace; before it has children."""
        if parent is None:
            self.trace_id, self.parent_id = getrandbits(128) or 1, 0
        else:
            self.trace_id, self.parent_id = parent.trace_id, parent.span_id
        self.sampled = export.sampled(self.trace_id, None if parent is None else parent.sampled)
        self.recorded = self.sampled and export.on()

    def within(self, parent: "Span") -> Self:
        """Become a child of `parent` in the same request."""
        self.trace_id, self.parent_id = parent.trace_id, parent.span_id
        self.sampled, self.recorded = parent.sampled, parent.recorded
        return self


class _Nothing:
    """A span where nothing is recorded."""

    recorded = False
    links: Sequence[Context] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def note(self, attributes: Mapping[str, Value]) -> None:
        pass

    def fail(self, kind: str) -> None:
        pass


Child = Span | _Nothing
_current: ContextVar[Span | None] = ContextVar("span", default=None)


def request(function: str, kind: Kind, traceparent: str | None) -> Span:
    """The span of a request to `function`; it goes on the caller's trace if that makes sense."""
    span = Span(Request(function), "", kind, _NONE)
    span.follow(read(traceparent))
    return span


def child(name: str, kind: Kind = Kind.INTERNAL, attributes: Mapping[str, Value] = _NONE) -> Child:
    """A span of something that the current request does."""
    parent = _current.get()
    if parent is None or not parent.recorded:
        return _Nothing()
    return Span(parent.request, name, kind, attributes).within(parent)


def current() -> Span | None:
    """The innermost open span of this thread's request."""
    return _current.get()


def correlate(correlation_id: str) -> None:
    """Note what the current request is part of, for its spans and log lines."""
    span = _current.get()
    if span is not None:
        span.request.correlation_id = correlation_id


def traceparent() -> str | None:
    """Where the current span is, as others go on from it (W3C Trace Context)."""
    span = _current.get()
    if span is None:
        return None
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.sampled:02x}"


def read(traceparent: str | None) -> Context | None:
    """Read a `traceparent`; None when there is none or it is malformed.

    Source: https://www.w3.org/TR/trace-context/#traceparent-header.
    """
    found = _TRACEPARENT.fullmatch(traceparent) if isinstance(traceparent, str) else None
    if found is None or (found[0].startswith("00") and found[4]):
        return None
    trace_id, span_id = int(found[1], 16), int(found[2], 16)
    return Context(trace_id, span_id, bool(int(found[3], 16) & 1)) if trace_id and span_id else None
