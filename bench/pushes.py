"""Pushes of one event, as Pub/Sub sends them, and the ground they have their effect on.

Every push adds one to a row of its own in `bench.counters`; a server that is measured must have
added exactly what was sent, and claimed each event in the inbox once.
"""

import asyncio
import base64
import json
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import aiohttp
from sqlalchemy.engine import make_url

from bench import peers
from bench.database import Database, database
from bench.kit import expect
from bench.served import FRAMEWORK, Served, program, served
from bench.trips import counted
from emulators.clock import VirtualClock
from emulators.journal import Journal
from emulators.ports import free_port
from emulators.tokens import TokenIssuer

UNDER_WAY = 16
COUNTERS = 500
"""A row for each push that is under way at the same time, and more: none waits for another's."""
_COUNTED = 100
Start = Callable[[Mapping[str, str]], AbstractContextManager[Served]]
"""Starts a server with variables on top of its own."""

_SENDER = "pubsub-invoker@clinicloop-bench.iam.gserviceaccount.com"


@dataclass(frozen=True)
class Handled:
    """What handling took: events a second, and microseconds of the server's CPU for each."""

    rate: float
    cpu_us: float


@dataclass(frozen=True)
class Ground:
    """A database with counters, certificates, and the token of a sender that is believed."""

    db: Database
    issuer: TokenIssuer
    environment: Mapping[str, str]

    @property
    def token(self) -> str:
        return self.issuer.oidc(_SENDER, "http://127.0.0.1/reaction")

    def ours(self, more: Mapping[str, str] | None = None) -> AbstractContextManager[Served]:
        """The function of bench/servers/reaction.py under functions-framework."""
        return served(FRAMEWORK, {**self.environment, **function("reaction.py"), **(more or {})})

    def by_hand(self, more: Mapping[str, str] | None = None) -> AbstractContextManager[Served]:
        """The peer: Flask and pg8000 alone. Raises `peers.Absent`."""
        return served("handwritten:app", more, peers.interpreter())

    def handled(self, server: Served, pushes: int) -> Handled:
        """Have `server` handle that many, and check what became of them."""
        self.db.run("UPDATE bench.counters SET hits = 0")
        self.db.run("TRUNCATE platform.inbox, platform.outbox")
        bodies = [body(number % COUNTERS) for number in range(pushes)]
        before = server.cpu_seconds()
        seconds = asyncio.run(_drive(server.url, self.token, bodies))
        spent = server.cpu_seconds() - before
        expect("effects", self.db.run("SELECT sum(hits) FROM bench.counters")[0][0], pushes)
        expect("claims", self.db.run("SELECT count(*) FROM platform.inbox")[0][0], pushes)
        return Handled(pushes / seconds, spent / pushes * 1e6)

    def rate(self, server: Served, pushes: int) -> float:
        """Events a second."""
        return self.handled(server, pushes).rate

    def round_trips(self, start: Start) -> float:
        """Round trips to Postgres for one push, by a server of its own."""
        url = make_url(os.environ["DATABASE_URL"])
        with counted(url.host or "", url.port or 0) as trips:
            through = url.set(host="127.0.0.1", port=trips.port)
            variables = {"DATABASE_URL": through.render_as_string(hide_password=False)}
            with start(variables) as server:
                return trips.each(lambda: self._push(server), _COUNTED)

    def _push(self, server: Served) -> None:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{server.url}/events", body(1), headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            expect("status", answer.status, 204)


def function(source: str) -> dict[str, str]:
    """What names the target `reaction` of a file in bench/servers to functions-framework."""
    return {
        "FUNCTION_TARGET": "reaction",
        "FUNCTION_SOURCE": f"bench/servers/{source}",
        "FUNCTION_SIGNATURE_TYPE": "http",
    }


def body(counter: int) -> bytes:
    """A wrapped push (https://cloud.google.com/pubsub/docs/push#receive_push) of a new event."""
    clinic, contract = str(uuid4()), str(uuid4())
    data = {"clinic_id": clinic, "contract_id": contract, "counter": counter}
    attributes = {
        "ce-id": str(uuid4()),
        "ce-type": "bench.happened",
        "ce-time": "2026-01-01T00:00:00+00:00",
        "clinicid": clinic,
    }
    message = {
        "data": base64.b64encode(json.dumps(data).encode()).decode(),
        "attributes": attributes,
        "messageId": "1",
    }
    return json.dumps({"message": message, "subscription": "s", "deliveryAttempt": 1}).encode()


async def _drive(url: str, token: str, bodies: Sequence[bytes]) -> float:
    """Seconds until all are acknowledged, `UNDER_WAY` at a time."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    waiting = list(bodies)
    async with aiohttp.ClientSession(headers=headers) as session:

        async def worker() -> None:
            while waiting:
                async with session.post(f"{url}/events", data=waiting.pop()) as answer:
                    expect(f"the answer of {url}", answer.status, 204)

        start = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(UNDER_WAY)))
        return time.perf_counter() - start


@contextmanager
def ground() -> Iterator[Ground]:
    """Everything a server of pushes needs, until the block ends."""
    with database() as db, tempfile.TemporaryDirectory(prefix="clinicloop-bench-") as folder:
        db.run("CREATE SCHEMA bench")
        db.run("CREATE TABLE bench.counters (id int PRIMARY KEY, hits int NOT NULL)")
        db.run(f"INSERT INTO bench.counters SELECT n, 0 FROM generate_series(0, {COUNTERS}) n")
        db.run("GRANT USAGE ON SCHEMA bench TO clinicloop_app")
        db.run("GRANT SELECT, UPDATE ON bench.counters TO clinicloop_app")
        with _certificates(Path(folder)) as (issuer, certificates):
            environment = {
                "OIDC_CERTS_URL": certificates,
                "IDENTITY_CERTS_URL": certificates,
                "FUNCTIONS_URL": "http://127.0.0.1/{function}",
            }
            yield Ground(db, issuer, environment)


@contextmanager
def _certificates(folder: Path) -> Iterator[tuple[TokenIssuer, str]]:
    """An issuer of OIDC tokens and the address its certificates are published at."""
    issuer = TokenIssuer(VirtualClock(folder / "clock"), Journal(None, "tokens"))
    (folder / "certs").write_text(json.dumps(issuer.certificates()))
    port = free_port()
    command = [
        sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1",
        "--directory", str(folder),
    ]  # fmt: skip
    url = f"http://127.0.0.1:{port}/certs"
    with program(command, url, quiet=True):
        yield issuer, url
