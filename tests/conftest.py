"""The house under test: real Postgres, the local cloud's engines and vendors, functions in process.

`house` starts once per test process, without the functions' host: tests send what Pub/Sub, Tasks
and Scheduler would send, when they would, and see the answer.
"""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pg8000.native
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.engine import make_url
from werkzeug.test import TestResponse

from emulators.cloud import Options
from emulators.parts import PARTS
from emulators.pytest_plugin import RunningCloud, running
from shared.kernel import clock
from shared.kernel.event import Event, Occurrence
from shared.kernel.ids import ClinicId, EventId
from shared.kernel.tenancy import Role
from shared.platform import outbox, settings
from shared.runtime.agent import Agent

BERLIN = ClinicId("0198c0de-0000-7000-8000-000000000001")
KOLKATA = ClinicId("0198c0de-0000-7000-8000-000000000002")


_EMPTY = """
    DO $$ DECLARE name text; BEGIN
      SET LOCAL session_replication_role = replica;  -- in any order
      FOR name IN SELECT schemaname || '.' || tablename FROM pg_tables
        WHERE schemaname NOT IN ('pg_catalog', 'information_schema', 'public')
      LOOP EXECUTE 'DELETE FROM ' || name; END LOOP;
    END $$"""
"""Deleting a few rows is many times faster than truncating the files of all tables."""


@dataclass
class House:
    """The product's functions with everything they need around them."""

    cloud: RunningCloud
    _apps: dict[str, Flask] = field(default_factory=dict)
    _owning: threading.Lock = field(default_factory=threading.Lock)

    def rows(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        """Rows seen by the database's owner, past row-level security."""
        with self._owning:
            found = self._owner.run(query, **parameters) or []
            names = [column["name"] for column in self._owner.columns or []]
            return [dict(zip(names, row, strict=True)) for row in found]

    @cached_property
    def _owner(self) -> pg8000.native.Connection:
        url = make_url(self.cloud.admin_url)
        return pg8000.native.Connection(
            url.username or "", password=url.password, host=url.host or "", port=url.port or 0,
            database=url.database,
        )  # fmt: skip

    def close(self) -> None:
        self._owner.close()

    def client(self, function: str) -> FlaskClient:
        """The function's HTTP surface, in process; each thread takes a client of its own."""
        if function not in self._apps:
            import importlib

            main = importlib.import_module(f"functions.{function}.main")
            self._apps[function] = _served(main, function)
        return self._apps[function].test_client()

    def serve(self, agent: Agent) -> None:
        """Serve an agent that a test declares, under its own name."""
        self._apps[agent.name] = _served(
            SimpleNamespace(**{agent.name: agent.function}), agent.name
        )

    def trigger(
        self, function: str, path: str, kind: str, body: bytes = b"", **headers: str
    ) -> TestResponse:
        """Send an authentic request to one of the function's triggers."""
        token = {"Authorization": f"Bearer {self.cloud.service_token(function, kind)}"}
        return self.client(function).post(path, data=body, headers=token | headers)

    def deliver(
        self,
        function: str,
        event: Event,
        clinic_id: ClinicId | None = BERLIN,
        event_id: EventId | None = None,
        attempt: int = 1,
    ) -> TestResponse:
        """Push an event as Pub/Sub would; the same `event_id` makes it a redelivery."""
        occurrence = Occurrence(
            id=event_id or EventId.new(),
            event=event,
            source="/test",
            time=clock.now(),
            clinic_id=clinic_id,
            correlation_id="test",
            causation_id=None,
        )
        attributes = outbox.attributes(occurrence)
        return self.push(function, event.model_dump_json().encode(), attributes, attempt)

    def push(
        self, function: str, data: bytes, attributes: dict[str, str], attempt: int = 1
    ) -> TestResponse:
        """Push raw data with attributes as Pub/Sub would."""
        message = {"data": base64.b64encode(data).decode(), "attributes": attributes}
        body = {"message": message, "subscription": "test", "deliveryAttempt": attempt}
        return self.trigger(function, "/events", "pubsub", json.dumps(body).encode())

    def emitted(self, kind: str) -> list[dict[str, Any]]:
        """The payloads of all events of a type in the outbox, in order."""
        found = self.rows(
            "SELECT payload FROM platform.outbox WHERE type = :kind ORDER BY seq", kind=kind
        )
        return [json.loads(row["payload"]) for row in found]

    def deliver_emitted(self, function: str, kind: str) -> list[TestResponse]:
        """Push every event of a type that is in the outbox, with its own id, to a function."""
        found = self.rows(
            "SELECT payload, attributes FROM platform.outbox WHERE type = :kind ORDER BY seq",
            kind=kind,
        )
        return [self.push(function, r["payload"].encode(), r["attributes"]) for r in found]

    def cron(self, function: str, name: str) -> TestResponse:
        return self.trigger(function, f"/crons/{name}", "scheduler")

    def timer(self, kind: str, subject: UUID) -> dict[str, Any]:
        """The timer row of a kind and subject."""
        found = self.rows(
            "SELECT * FROM platform.timers WHERE kind = :kind AND subject = :subject",
            kind=kind,
            subject=subject,
        )
        return found[0]

    def fire(self, function: str, timer: dict[str, Any]) -> TestResponse:
        """Send the wake-up of a timer row as Cloud Tasks would."""
        body = {"timer_id": str(timer["id"]), "version": timer["version"]}
        return self.trigger(function, "/timers", "tasks", json.dumps(body).encode())

    def move(self, to: datetime) -> None:
        """Set the frozen clock ahead, without letting anything happen on the way."""
        self.cloud.cloud.ground.clock.freeze(to)

    def id_token(
        self, uid: str, role: Role | None = None, clinic_id: ClinicId | None = None, **claims: Any
    ) -> str:
        """An ID token as Identity Platform would sign it for `uid`."""
        project = self.cloud.env["GOOGLE_CLOUD_PROJECT"]
        own: dict[str, Any] = {
            "iss": f"https://securetoken.google.com/{project}",
            "aud": project,
            "sub": uid,
            "user_id": uid,
        }
        if role is not None:
            own["role"] = role.value
        if clinic_id is not None:
            own["clinicId"] = str(clinic_id)
        return self.cloud.cloud.ground.tokens.sign(own | claims)

    def portal(
        self, method: str, path: str, token: str | None, body: Any = None, **headers: str
    ) -> TestResponse:
        """A request to portal_api; `path` is below the Berlin clinic unless it starts with /v1."""
        if not path.startswith("/v1"):
            path = f"/v1/clinics/{BERLIN}{path}"
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return self.client("portal_api").open(path, method=method, json=body, headers=headers)


def _served(main: Any, function: str) -> Flask:
    """An API's own app; an agent behind a bare route, as functions-framework gives it requests."""
    if hasattr(main, "app"):
        app: Flask = main.app
        return app
    app = Flask(function)
    target: Callable[..., Any] = getattr(main, function)

    def serve(path: str = "") -> Any:
        from flask import request

        return target(request)

    for rule in ("/", "/<path:path>"):
        app.add_url_rule(rule, rule, serve, methods=["GET", "POST"])
    return app


@pytest.fixture(scope="session")
def _house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("house")
    options = Options(folder=folder, throwaway=True, frozen=True)
    with running(options, frozenset(PARTS) - {"host", "scheduler"}) as cloud:
        cloud.env["FUNCTIONS_URL"] = "http://127.0.0.1:9/{function}"
        made = House(cloud)
        yield made
        made.close()


@pytest.fixture
def house(_house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """The house with empty tables, two clinics, no faults, and a clock that stands still.

    Its environment is the process's for the length of the test alone: other tests start clouds.
    """
    for name, value in _house.cloud.env.items():
        monkeypatch.setenv(name, value)
    settings.load.cache_clear()  # a test without the house may have read them before
    clock.use(_house.cloud.cloud.ground.clock.now)
    _house.cloud.heal()
    _house.rows(_EMPTY)
    _house.rows(
        f"INSERT INTO platform.clinics (id, name, time_zone) VALUES "
        f"('{BERLIN}', 'Berlin', 'Europe/Berlin'), ('{KOLKATA}', 'Kolkata', 'Asia/Kolkata')"
    )
    yield _house
    clock.use(None)
