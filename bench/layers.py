"""What each layer of ours costs, on a push and on a portal call.

A ladder of servers, from Flask and pg8000 by hand to ours with telemetry, each with one layer more.
All take turns in the same rounds; a layer's cost is the median of its rounds' differences to the
server before. CPU time of the server's processes is less disturbed by others than time that passes
(wall time, here the time per event of a server that is kept busy).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from statistics import median
from uuid import uuid4

from bench import peers
from bench.driver import Call, Taken, driven, taken
from bench.emulated import local_engine, topic
from bench.kit import Result, Row, expect, interleaved
from bench.pushes import Ground, ground
from bench.served import Served, served
from bench.servers.otlp import Receiver, receiver
from bench.telemetry_overhead import OFF, traced
from bench.trips import round_trips

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
            rungs.append(Rung(layer, _handling(field, stack.enter_context(starting))))
        traced_one = stack.enter_context(field.ours(spans.environment))
        emitting = stack.enter_context(field.ours(publishing, "emitting"))

        def emitted() -> Taken:
            found = traced(field, emitting, spans, PUSHES)
            sent = field.db.run("SELECT count(*) FROM platform.outbox WHERE sent_at IS NOT NULL")
            expect("events published", sent[0][0], PUSHES)
            return found

        rungs.append(Rung(TELEMETRY, lambda: traced(field, traced_one, spans, PUSHES)))
        rungs.append(Rung(EMITTING, emitted))
        return ladder("layers_of_a_push", TELEMETRY, rungs, {})


def _handling(field: Ground, server: Served) -> Callable[[], Taken]:
    return lambda: field.handled(server, PUSHES)


def _portal_calls(field: Ground, spans: Receiver) -> Result:
    clinic, uid = str(uuid4()), "bench-patient"
    call = _registered(field, clinic, uid)

    def rung(name: str) -> AbstractContextManager[Served]:
        return served("bench.servers.portal_ladder:app", {**field.environment, "RUNG": name, **OFF})

    def ours(more: Mapping[str, str]) -> AbstractContextManager[Served]:
        return served("functions.portal_api.main:app", {**field.environment, **more})

    bodies = [b""] * CALLS
    trips = {"ours": round_trips(ours, lambda server: driven(server.url, call, [b""]))}
    with ExitStack() as stack:
        servers = [
            *([(BY_HAND, _by_hand())] if peers.present() else []),
            (CONNECTIONS, rung("connections")),
            ("SQLAlchemy Core", rung("core")),
            ("the caller's token, permission", rung("verified")),
            ("unit of work, domain's view", rung("worked")),
            (API, ours(OFF)),
        ]
        rungs = []
        for layer, starting in servers:
            server = stack.enter_context(starting)
            rungs.append(Rung(layer, _calling(server, call, bodies)))
        on = stack.enter_context(ours(spans.environment))

        def with_telemetry() -> Taken:
            spans.forget()
            before = on.cpu_seconds()
            found = taken(on, call, bodies)
            expect("requests with a span", spans.awaited(CALLS)["requests"], CALLS)
            return Taken(found.rate, (on.cpu_seconds() - before) / CALLS * 1e6)

        rungs.append(Rung(TELEMETRY, with_telemetry))
        notes: dict[str, object] = {"round trips to Postgres for a call": trips}
        return ladder("layers_of_a_portal_call", TELEMETRY, rungs, notes)


def _calling(server: Served, call: Call, bodies: list[bytes]) -> Callable[[], Taken]:
    return lambda: taken(server, call, bodies)


def _by_hand() -> AbstractContextManager[Served]:
    return served("handwritten:app", {}, peers.interpreter())


def _registered(field: Ground, clinic: str, uid: str) -> Call:
    """Somebody with a lifetime value, and the call that reads their record as themselves."""
    customer = str(uuid4())
    field.db.run(
        "INSERT INTO customers.customers (clinic_id, id, uid, given_name, family_name, email, "
        "locale, time_zone, version, created_at, updated_at) VALUES (CAST(:clinic AS uuid), "
        "CAST(:id AS uuid), :uid, 'Ada', 'Byron', 'ada@example.com', 'en', 'UTC', 1, now(), now())",
        clinic=clinic, id=customer, uid=uid,
    )  # fmt: skip
    field.db.run(
        "INSERT INTO customers.lifetime_values (clinic_id, customer_id, currency, amount) "
        "VALUES (CAST(:clinic AS uuid), CAST(:id AS uuid), 'USD', 12500)",
        clinic=clinic, id=customer,
    )  # fmt: skip
    project = "clinicloop-bench"
    claims = {"iss": f"https://securetoken.google.com/{project}", "aud": project, "sub": uid}
    headers = {"Authorization": f"Bearer {field.issuer.sign(claims)}", "X-Uid": uid}
    return Call("GET", f"/v1/clinics/{clinic}/customers/me", headers, said=customer.encode())
