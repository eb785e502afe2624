"""Pushes of one event, as Pub/Sub sends them, and the ground they have their effect on.

Every push adds one to a row of its own in `bench.counters`; a server that is measured must have
added exactly what was sent, and claimed each event in the inbox once.
"""

import base64
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from bench import peers
from bench.database import PROJECT, Database, database
from bench.driver import Call, Taken, driven, taken
from bench.kit import expect
from bench.served import FRAMEWORK, Served, program, served
from bench.trips import Start, round_trips
from emulators.clock import VirtualClock
from emulators.journal import Journal
from emulators.ports import free_port
from emulators.tokens import TokenIssuer
from emulators.wiring import invoker

COUNTERS = 500
"""A row for each push that is under way at the same time, and more: none waits for another's."""
_SENDER = invoker("pubsub", PROJECT)


@dataclass(frozen=True)
class Ground:
    """A database with counters, certificates, and the token of a sender that is believed."""

    db: Database
    issuer: TokenIssuer
    environment: Mapping[str, str]

    @property
    def token(self) -> str:
        return self.issuer.oidc(_SENDER, "http://127.0.0.1/reaction")

    def ours(
        self, more: Mapping[str, str] | None = None, target: str = "reaction"
    ) -> AbstractContextManager[Served]:
        """A function of bench/servers/reaction.py under functions-framework."""
        return self.framework("reaction", more, target)

    def framework(
        self, module: str, more: Mapping[str, str] | None = None, target: str = "reaction"
    ) -> AbstractContextManager[Served]:
        """A function of bench/servers under functions-framework."""
        names = {
            "FUNCTION_TARGET": target,
            "FUNCTION_SOURCE": f"bench/servers/{module}.py",
            "FUNCTION_SIGNATURE_TYPE": "http",
        }
        return served(FRAMEWORK, {**self.environment, **names, **(more or {})})

    def by_hand(self, more: Mapping[str, str] | None = None) -> AbstractContextManager[Served]:
        """The peer: Flask and pg8000 alone. Raises `peers.Absent`."""
        return served("handwritten:app", more, peers.interpreter())

    def handled(self, server: Served, pushes: int) -> Taken:
        """Have `server` handle that many, and check what became of them."""
        self.db.run("UPDATE bench.counters SET hits = 0")
        self.db.run("TRUNCATE platform.inbox, platform.outbox")
        bodies = [body(number % COUNTERS) for number in range(pushes)]
        found = taken(server, self._call, bodies)
        expect("effects", self.db.run("SELECT sum(hits) FROM bench.counters")[0][0], pushes)
        expect("claims", self.db.run("SELECT count(*) FROM platform.inbox")[0][0], pushes)
        return found

    def rate(self, server: Served, pushes: int) -> float:
        """Events a second."""
        return self.handled(server, pushes).rate

    def round_trips(self, start: Start) -> float:
        """Round trips to Postgres for one push, by a server of its own."""
        return round_trips(start, lambda server: driven(server.url, self._call, [body(1)]))

    @property
    def _call(self) -> Call:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        return Call("POST", "/events", headers, status=204)


def body(counter: int) -> bytes:
    """A wrapped push (https://cloud.google.com/pubsub/docs/push#receive_push) of a new event."""
    clinic, contract = str(uuid4()), str(uuid4())
    data = {"clinic_id": clinic, "contract_id": contract, "counter": counter}
    attributes = {
        "ce-id": str(uuid4()),
        "ce-type": "bench.happened",
        "ce-time": "2026-01-01T00:00:00+00:00",
        "clinicid": clinic,
        "traceparent": f"00-{uuid4().hex}-{uuid4().hex[:16]}-01",
    }
    message = {
        "data": base64.b64encode(json.dumps(data).encode()).decode(),
        "attributes": attributes,
        "messageId": "1",
    }
    return json.dumps({"message": message, "subscription": "s", "deliveryAttempt": 1}).encode()


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
