"""Handlers of one push, each with one layer more than the one before: `RUNG` names which is served.

All take the same effect in Postgres in the same three round trips, and answer 204. The highest is
bench/servers/reaction.py, the lowest the peer's; what is between belongs to neither.
"""

import base64
import json
import os
from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Flask, Request, Response, request
from sqlalchemy import text

from bench.servers.reaction import BenchHappened, bench_counts
from shared.platform import inbox, postgres
from shared.platform.unit_of_work import Cause
from shared.runtime import auth, messages
from shared.runtime.delivery import committed

_COUNT = "UPDATE bench.counters SET hits = hits + 1 WHERE id = "
_COUNT_BY_HAND = f"{_COUNT}%s"
_COUNT_BY_CORE = text(f"{_COUNT}:id")


def _opening(event_id: str, clinic: str) -> str:
    claim = inbox.claim("ladder", UUID(event_id)).sql
    return f"BEGIN; {postgres.tenant_statement(UUID(clinic))}; {claim}"


def _by_connection(event_id: str, clinic: str, counter: int) -> None:
    """Our way to speak with Postgres, by a pooled connection of the driver itself."""
    pooled = postgres.engine().raw_connection()
    try:
        driver: Any = pooled.driver_connection
        if driver.execute_simple(_opening(event_id, clinic)).rows:
            driver.cursor().execute(_COUNT_BY_HAND, (counter,))
        driver.commit()
    finally:
        pooled.close()


def _by_core(event_id: str, clinic: str, counter: int) -> None:
    with postgres.engine().connect() as connection:
        if postgres.run_simple(connection, _opening(event_id, clinic)):
            connection.execute(_COUNT_BY_CORE, {"id": counter})
        connection.commit()


def _read_by_hand(served: Request) -> tuple[str, str, int]:
    message = json.loads(served.get_data())["message"]
    attributes = message["attributes"]
    data = json.loads(base64.b64decode(message["data"]))
    return attributes["ce-id"], attributes["clinicid"], data["counter"]


def connections(served: Request) -> Response:
    _by_connection(*_read_by_hand(served))
    return Response(status=204)


def core(served: Request) -> Response:
    _by_core(*_read_by_hand(served))
    return Response(status=204)


def verified(served: Request) -> Response:
    auth.require_service(served.headers, "reaction", "pubsub")
    return core(served)


def typed(served: Request) -> Response:
    auth.require_service(served.headers, "reaction", "pubsub")
    push = messages.read_push(served.get_data())
    read = messages.read_event(push, BenchHappened)
    event: Any = read.event
    _by_core(str(read.id), str(read.clinic_id), event.counter)
    return Response(status=204)


def worked(served: Request) -> Response:
    auth.require_service(served.headers, "reaction", "pubsub")
    push = messages.read_push(served.get_data())
    read = messages.read_event(push, BenchHappened)
    cause = Cause(read.correlation_id, str(read.id))
    with committed(read.clinic_id, "reaction", cause, inbox.claim("ladder", read.id)) as work:
        if work.opened:
            bench_counts(read.event, work)
    return Response(status=204)


RUNGS: dict[str, Callable[[Request], Response]] = {
    each.__name__: each for each in (connections, core, verified, typed, worked)
}
app = Flask(__name__)
"""For the rungs below functions-framework."""


@app.post("/events")
def events() -> Response:
    return reaction(request)


def reaction(served: Request) -> Response:
    if served.method == "GET":
        return Response(status=200)
    return RUNGS[os.environ["RUNG"]](served)
