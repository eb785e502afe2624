"""Pushes a second through `runtime.agent` against a hand-written Flask handler.

Both run under gunicorn with one worker and the same threads, each with 16 pushes under way, and
have the same effect: the event claimed in the inbox and a row changed, in one transaction. Ours
verifies the sender's token on top; the peer trusts everybody. Ours runs with telemetry exported,
unless OTEL_SDK_DISABLED is true.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from bench import peers
from bench.kit import Result, compare
from bench.pushes import ground
from bench.servers.otlp import receiver, telemetry_wanted
from bench.telemetry_overhead import traced

PUSHES = 1500
MOST_ROUND_TRIPS = 3
"""To open the transaction and claim, to change the row, to commit."""


def run() -> Iterator[Result]:
    with ground() as field, receiver() as spans, ExitStack() as servers:
        trips = {"ours": field.round_trips(field.ours)}
        if trips["ours"] > MOST_ROUND_TRIPS:
            raise AssertionError(f"a push takes {trips['ours']} round trips to Postgres")
        ours = servers.enter_context(field.ours(spans.environment))
        handle, peer = partial(field.handled, ours, PUSHES), None
        if peers.present():
            trips["by hand"] = field.round_trips(field.by_hand)
            by_hand = servers.enter_context(field.by_hand())
            peer = partial(field.rate, by_hand, PUSHES)

        yield compare(
            "push_handling",
            ("runtime.agent", lambda: traced(ours, spans, PUSHES, handle).rate),
            ("hand-written Flask", peer),
            unit="events/s",
            limit=0.8,
            at_least=True,
            notes={"round trips to Postgres for a push": trips, "telemetry on": telemetry_wanted()},
        )
