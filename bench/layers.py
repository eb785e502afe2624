"""What each layer of ours costs, on a push and on a portal call.

A ladder of servers, from Flask and pg8000 by hand to ours with telemetry, each with one layer more.
All take turns in the same rounds; a layer's cost is the median of its rounds' differences to the
server before. CPU time of the server's processes is less disturbed by others than time that passes
(wall time, here the time per event of a server that is kept busy).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from statistics import median

from bench import peers
from bench.driver import Taken
from bench.emulated import local_engine, topic
from bench.kit import Result, Row, expect, interleaved
from bench.portal_calls import registered
from bench.pushes import Ground, ground
from bench.served import Served, served
from bench.servers.otlp import Receiver, receiver
from bench.telemetry_overhead import OFF, traced

PUSHES = 500
CALLS = 500
ROUNDS = 7
BY_HAND = "Flask and pg8000 by hand"
CONNECTIONS = "our connections: prepared, few trips"
AGENT = "runtime.agent: triggers, errors, answers"
API = "runtime.api: routes, OpenAPI, headers"
TELEMETRY = "telemetry, exported"
EMITTING = "besides: an event emitted, published, marked"

_ADDS = "adds, CPU us"


@dataclass(frozen=True)
class Rung:
    """A server that has one `layer` more than the one before."""

    layer: str
    measure: Callable[[], Taken]


def ladder(name: str, whole: str, rungs: list[Rung], notes: dict[str, object]) -> Result:
    """Climb it in every round. `whole` is the rung that does what the peer does, and is ours."""
    found = interleaved([rung.measure for rung in rungs], ROUNDS)
    by_layer = {rung.layer: values for rung, values in zip(rungs, found, strict=True)}
    ours = by_layer[whole]
    for lower in (BY_HAND, CONNECTIONS):
        if lower in by_layer:
            notes[f"share of {whole} over {lower}"] = _share(ours, by_layer[lower])
    cpu = [one.cpu_us for one in ours]
    peer = [one.cpu_us for one in by_layer.get(BY_HAND, [])]
    ratios = [a / b for a, b in zip(cpu, peer, strict=True)] if peer else []
    return Result(
        name, whole, "us of CPU", cpu, None, at_least=False, peer=BY_HAND, peer_values=peer,
        ratios=ratios, notes=notes, table=_table(by_layer, ours), bars=_ADDS,
    )  # fmt: skip


def _table(by_layer: Mapping[str, list[Taken]], whole: list[Taken]) -> list[Row]:
    """A row for each layer; what comes on top of the whole has no share of it."""
    table: list[Row] = []
    before, beyond = [0.0] * len(whole), False
    for layer, values in by_layer.items():
        cpu = [one.cpu_us for one in values]
        adds = [mine - lower for mine, lower in zip(cpu, before, strict=True)]
        shares = [part / of.cpu_us * 100 for part, of in zip(adds, whole, strict=True)]
        row: Row = {
            "layer": layer,
            "a second": median(one.rate for one in values),
            "wall us": median(1e6 / one.rate for one in values),
            "CPU us": median(cpu),
            _ADDS: median(adds),
            "share %": "" if beyond else median(shares),
        }
        table.append(row)
        before, beyond = cpu, beyond or values is whole
    return table


def _share(ours: list[Taken], lower: list[Taken]) -> str:
    """Which part of our time the other does without; less than nothing where we are faster."""
    pairs = list(zip(ours, lower, strict=True))
    cpu = median(1 - b.cpu_us / a.cpu_us for a, b in pairs) * 100
    wall = median(1 - a.rate / b.rate for a, b in pairs) * 100
    return f"{cpu:.0f} % of the CPU time, {wall:.0f} % of the time that passes"


def run() -> Iterator[Result]:
    with ground() as field, receiver() as spans:
        yield _pushes(field, spans)
        yield _portal_calls(field, spans)


def _pushes(field: Ground, spans: Receiver) -> Result:
    def flask(rung: str) -> AbstractContextManager[Served]:
        return served("bench.servers.ladder:app", {**field.environment, "RUNG": rung, **OFF})

    def framework(rung: str) -> AbstractContextManager[Served]:
        return field.framework("ladder", {"RUNG": rung, **OFF})

    with ExitStack() as stack:
        pubsub = stack.enter_context(local_engine("pubsub"))
        topic(pubsub, "bench-events")
        publishing = {"PUBSUB_EMULATOR_HOST": pubsub, **spans.environment}
        servers = [
            *([(BY_HAND, field.by_hand())] if peers.present() else []),
            (CONNECTIONS, flask("connections")),
            ("SQLAlchemy Core", flask("core")),
            ("functions-framework", framework("core")),
            ("the sender's token", framework("verified")),
            ("push and event read into types", framework("typed")),
            ("unit of work, inbox", framework("worked")),
            (AGENT, field.ours(OFF)),
        ]
        rungs = []
        for layer, starting in servers:
            rungs.append(Rung(layer, partial(field.handled, stack.enter_context(starting), PUSHES)))
        on = stack.enter_context(field.ours(spans.environment))
        emitting = stack.enter_context(field.ours(publishing, "emitting"))

        def emitted() -> Taken:
            found = traced(emitting, spans, PUSHES, partial(field.handled, emitting, PUSHES))
            sent = field.db.run("SELECT count(*) FROM platform.outbox WHERE sent_at IS NOT NULL")
            expect("events published", sent[0][0], PUSHES)
            return found

        handling = partial(field.handled, on, PUSHES)
        rungs.append(Rung(TELEMETRY, partial(traced, on, spans, PUSHES, handling)))
        rungs.append(Rung(EMITTING, emitted))
        return ladder("layers_of_a_push", TELEMETRY, rungs, {})


def _portal_calls(field: Ground, spans: Receiver) -> Result:
    calls = registered(field)
    trips = {"ours": calls.round_trips(calls.ours)}
    if peers.present():
        trips["by hand"] = calls.round_trips(calls.by_hand)
    with ExitStack() as stack:
        servers = [
            *([(BY_HAND, calls.by_hand())] if peers.present() else []),
            (CONNECTIONS, calls.rung("connections")),
            ("SQLAlchemy Core", calls.rung("core")),
            ("the caller's token, permission", calls.rung("verified")),
            ("unit of work, domain's view", calls.rung("worked")),
            (API, calls.ours(OFF)),
        ]
        rungs = []
        for layer, starting in servers:
            rungs.append(Rung(layer, partial(calls.taken, stack.enter_context(starting), CALLS)))
        on = stack.enter_context(calls.ours(spans.environment))
        answering = partial(calls.taken, on, CALLS)
        rungs.append(Rung(TELEMETRY, partial(traced, on, spans, CALLS, answering)))
        notes: dict[str, object] = {"round trips to Postgres for a call": trips}
        return ladder("layers_of_a_portal_call", TELEMETRY, rungs, notes)
