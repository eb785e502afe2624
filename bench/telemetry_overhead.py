"""Push handling with telemetry exported to a receiver against the same without.

Every push that is handled with telemetry on has to arrive there as a span of a request.
"""

from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

from bench.driver import Taken
from bench.kit import Result, compare, expect
from bench.pushes import ground
from bench.served import Served
from bench.servers.otlp import Receiver, receiver, telemetry_wanted

PUSHES = 1500
LIMIT = 0.9
OFF = {"OTEL_SDK_DISABLED": "true"}


def traced(server: Served, spans: Receiver, requests: int, take: Callable[[], Taken]) -> Taken:
    """Have `server` answer that many requests by `take`, and wait until all have their spans."""
    if not telemetry_wanted():
        return take()
    spans.forget()
    before = server.cpu_seconds()
    found = take()
    expect("requests with a span", spans.awaited(requests)["requests"], requests)
    # What is exported after the last answer belongs to the cost, too.
    return Taken(found.rate, (server.cpu_seconds() - before) / requests * 1e6)


def run() -> Iterator[Result]:
    if not telemetry_wanted():
        raise RuntimeError("OTEL_SDK_DISABLED is set: there is nothing to compare")
    on_cpu: list[float] = []
    off_cpu: list[float] = []
    with (
        ground() as field,
        receiver() as spans,
        field.ours(spans.environment) as on,
        field.ours(OFF) as off,
    ):

        def with_telemetry() -> float:
            found = traced(on, spans, PUSHES, partial(field.handled, on, PUSHES))
            on_cpu.append(found.cpu_us)
            return found.rate

        def without() -> float:
            found = field.handled(off, PUSHES)
            off_cpu.append(found.cpu_us)
            return found.rate

        notes: dict[str, object] = {}
        result = compare(
            "telemetry_overhead",
            ("telemetry on", with_telemetry),
            ("telemetry off", without),
            unit="events/s",
            limit=LIMIT,
            at_least=True,
            notes=notes,
        )
        notes["spans for a push"] = spans.counts()["spans"] / PUSHES
        notes["CPU of the server for an event, us"] = (
            f"{median(on_cpu):,.0f} on, {median(off_cpu):,.0f} off"
        )
        yield result
