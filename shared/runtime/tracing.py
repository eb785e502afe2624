"""The span of each request, and what every edge says of it.

Names and attributes follow OpenTelemetry's semantic conventions: routes as templates, never the
path that was asked for. https://opentelemetry.io/docs/specs/semconv/http/http-spans/.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from time import time_ns
from typing import TypeVar

from flask import Flask, Request, Response, g, request

from shared.kernel.work import Timer
from shared.platform.telemetry import export, metrics, traces
from shared.platform.telemetry.traces import Kind, Span, Value
from shared.runtime.messages import Push

R = TypeVar("R", bound=Response)
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ID = re.compile(rf"{_UUID}|\d+")
_CORRELATION = re.compile(rf"{_UUID}|\w+:[\w.:-]{{1,150}}|\w+@[\dT:.+-]+", re.ASCII)
"""A request's id, a vendor's event, a run of a cron."""
_UNTRACED = {"/healthz"}
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_TRIGGERS = {"events", "timers", "crons", "parked", "dead-letters"}


def install(app: Flask, function: str) -> None:
    """Let every request to `app` be a span. Call it before anything else looks at requests."""

    def begin() -> None:
        if request.path not in _UNTRACED:
            g.span = arrived(function, request).__enter__()

    def answer(response: Response) -> Response:
        if "span" in g:
            route = request.url_rule.rule if request.url_rule else ""
            answered(g.span, request.method, route, response.status_code)
        return response

    def end(_: BaseException | None) -> None:
        span: Span | None = g.pop("span", None)
        if span is not None:
            span.__exit__(None, None, None)
            export.follow_up()

    app.before_request(begin)
    app.after_request(answer)
    app.teardown_request(end)


def serving(function: str, serve: Callable[[Request], R], request: Request) -> R:
    """Serve a request to an agent in its span: of a push a consumer's, see `consuming`."""
    trigger = request.path.strip("/").partition("/")[0]
    if trigger in ("", "healthz"):
        return serve(request)
    kind = Kind.CONSUMER if trigger == "events" else Kind.SERVER
    with arrived(function, request, kind) as span:
        response = serve(request)
        route = f"/{trigger}" if trigger in _TRIGGERS else ""
        answered(span, request.method, route, response.status_code)
    export.follow_up()
    return response


def arrived(function: str, request: Request, kind: Kind = Kind.SERVER) -> Span:
    """The span of a request, on its caller's trace."""
    return traces.request(function, kind, request.headers.get("traceparent"))


def answered(span: Span, method: str, route: str, status: int) -> None:
    """Note what became of a request; one that failed on our side is an error."""
    method = method if method in _METHODS else "_OTHER"
    seconds = (time_ns() - span.start) / 1e9
    metrics.REQUESTS.record(seconds, span.request.function, method, route, status)
    if status >= 500:
        span.fail(str(status))
    if not span.recorded:
        return
    span.name = span.name or f"{method} {route}".strip()
    known: dict[str, Value] = {
        "http.request.method": method,
        "http.response.status_code": status,
    }
    if route:
        known["http.route"] = route
    span.note(known)


def named(name: str) -> None:
    """Name the span of the request under way by what it turned out to be for."""
    span = traces.current()
    if span is not None:
        span.name = name


@contextmanager
def consuming(push: Push, handlers: Sequence[str]) -> Iterator[Span]:
    """The span in which a push is handled, on the trace of the request that emitted its event.

    It is the request's own, unless an operator's request replays the push: that one is linked.
    Source: https://opentelemetry.io/docs/specs/semconv/messaging/gcp-pubsub/.
    """
    outer = traces.current()
    if outer is not None and outer.kind is Kind.CONSUMER:
        _describe(outer, push, handlers)
        metrics.DELIVERY_ATTEMPTS.record(push.attempt, outer.request.function)
        yield outer
        return
    function = "" if outer is None else outer.request.function
    with Span(traces.Request(function), "", Kind.CONSUMER, {}) as span:
        _describe(span, push, handlers)
        if outer is not None:
            span.links = [traces.Context(outer.trace_id, outer.span_id, outer.sampled)]
        yield span


def _describe(span: Span, push: Push, handlers: Sequence[str]) -> None:
    attributes = push.attributes
    span.follow(traces.read(attributes.get("traceparent")))
    span.request.correlation_id = _like(_CORRELATION, attributes.get("correlationid", ""))
    if not span.recorded:
        return
    # Only a declared type is a name: nobody knows what else a message may call itself.
    known = attributes.get("ce-type", "") if handlers else "unknown"
    span.name = " ".join([known, *handlers[: len(handlers) == 1]])
    span.note(
        {
            "messaging.system": "gcp_pubsub",
            "messaging.operation.type": "process",
            "messaging.message.id": _like(_ID, push.message_id),
            "cloudevents.event_id": _like(_ID, attributes.get("ce-id", "")),
            "clinicloop.attempt": push.attempt,
        }
    )


def _like(pattern: re.Pattern[str], text: str) -> str:
    """An id that came with a message, if it looks like one."""
    return text if pattern.fullmatch(text) else ""


def handling(handler: str, handlers: int) -> AbstractContextManager[object]:
    """The span of one handler of a push that has several."""
    return traces.child(handler) if handlers > 1 else nullcontext()


def duplicate(handler: str) -> None:
    """Note that `handler` was given what had taken effect before."""
    metrics.INBOX_DUPLICATES.add(1, handler)
    span = traces.current()
    if span is not None:
        span.note({"clinicloop.duplicate": True})


def timer_fired(timer: Timer, handler: str, now: datetime) -> None:
    """Name the request by the timer it was for, and measure how late that was."""
    named(f"{timer.kind} {handler}")
    metrics.TIMER_LAG.record((now - timer.due_at).total_seconds(), timer.kind)
