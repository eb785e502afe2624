"""What the product stands on here: a Postgres of its own, settings, and functions in process."""

import base64
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import sqlalchemy
import structlog
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flask import Request
from flask.testing import FlaskClient
from twilio.request_validator import RequestValidator

from bench.database import Database, database
from emulators.clock import VirtualClock
from emulators.journal import Journal
from emulators.tokens import TokenIssuer
from emulators.wiring import invoker
from shared.platform import postgres, settings
from shared.platform.postgres import DatabaseSettings
from shared.platform.telemetry import log
from shared.runtime import wiring
from shared.runtime.agent import Agent
from tests.reliability.simulation import task as tasks
from tests.reliability.simulation.witness import witness

PROJECT = "clinicloop-simulation"
OPENS = datetime(2026, 1, 5, 4, tzinfo=UTC)
"""When every simulation begins: a Monday, before business."""
_SESSIONS = 32
_USER, _PASSWORD, _TWILIO = "chargebee", "local-secret", "twilio-token"

_EMPTY = """
    DO $$ DECLARE name text; BEGIN
      SET LOCAL session_replication_role = replica;
      FOR name IN SELECT schemaname || '.' || tablename FROM pg_tables
        WHERE schemaname NOT IN ('pg_catalog', 'information_schema', 'public')
      LOOP EXECUTE 'DELETE FROM ' || name; END LOOP;
    END $$"""


@dataclass
class Answer:
    """What a function answered; `ok` acknowledges."""

    status: int
    headers: dict[str, str]

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


@dataclass
class Ground:
    """The functions and their database. Agents are called through their function-framework target
    with real tokens; only the HTTP server in front of it is left out.
    """

    database: Database
    agents: dict[str, Agent]
    issuer: TokenIssuer
    webhook_key: ec.EllipticCurvePrivateKey
    _tokens: dict[tuple[str, str], str] = field(default_factory=dict)

    def empty(self) -> None:
        self.database.run(_EMPTY)

    def post(self, function: str, path: str, kind: str, body: bytes = b"") -> Answer:
        """What Google's `kind` (pubsub, tasks, scheduler) sends to an agent."""
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": path,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(body),
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": "application/json",
            "HTTP_AUTHORIZATION": f"Bearer {self._token(function, kind)}",
        }
        response = self.agents[function].function(Request(environ))
        response.close()
        return Answer(response.status_code, dict(response.headers))

    def _token(self, function: str, kind: str) -> str:
        key = (function, kind)
        if key not in self._tokens:
            claims = {
                "iss": "https://accounts.google.com",
                "aud": f"http://127.0.0.1:9/{function}",
                "email": invoker(kind, PROJECT),
                "email_verified": True,
                "iat": int(OPENS.timestamp()),
                "exp": int((OPENS + timedelta(days=4000)).timestamp()),
            }
            self._tokens[key] = self.issuer.sign(claims)
        return self._tokens[key]

    @cached_property
    def _webhooks(self) -> FlaskClient:
        from functions.webhooks.main import app

        return app.test_client()

    def webhook(self, vendor: str, path: str, body: bytes) -> int:
        """What a vendor posts, signed as it signs; answers the status."""
        headers = {
            "chargebee": self._basic,
            "twilio": self._twilio_signed,
            "sendgrid": self._sendgrid_signed,
        }[vendor](path, body)
        form = "application/x-www-form-urlencoded" if vendor == "twilio" else "application/json"
        return self._webhooks.post(path, data=body, headers=headers, content_type=form).status_code

    def _basic(self, _: str, __: bytes) -> dict[str, str]:
        known = base64.b64encode(f"{_USER}:{_PASSWORD}".encode()).decode()
        return {"Authorization": f"Basic {known}"}

    def _twilio_signed(self, path: str, body: bytes) -> dict[str, str]:
        from urllib.parse import parse_qsl

        url = f"http://127.0.0.1:9/webhooks{path}"
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        return {"X-Twilio-Signature": RequestValidator(_TWILIO).compute_signature(url, form)}

    def _sendgrid_signed(self, _: str, body: bytes) -> dict[str, str]:
        time = "1767585600"
        signature = self.webhook_key.sign(time.encode() + body, ec.ECDSA(hashes.SHA256()))
        return {
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": time,
        }

    def waiting(self) -> set[int]:
        """The backends that wait for a lock.

        Whoever releases a lock notes there and then who has it now; `pg_stat_activity` says that a
        session waits until it has come to run again.
        """
        rows = self.database.run("SELECT pid FROM pg_locks WHERE NOT granted")
        return {int(row[0]) for row in rows}

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.database.run(query)]


@contextmanager
def ground() -> Iterator[Ground]:
    """A migrated database, an environment and the functions, for the length of the block."""
    webhook_key = ec.generate_private_key(ec.SECP256R1())
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="simulation-")))
        opened = stack.enter_context(database())
        issuer = TokenIssuer(VirtualClock(folder / "clock"), Journal(None, "tokens"))
        certificates = folder / "certificates.json"
        certificates.write_text(json.dumps(issuer.certificates()))
        os.environ |= _environment(certificates, webhook_key)
        settings.load.cache_clear()
        stack.callback(settings.load.cache_clear)
        engine = _engine(os.environ["DATABASE_URL"])
        stack.callback(engine.dispose)
        stack.enter_context(patch.object(postgres, "engine", lambda: engine))
        stack.enter_context(_silent())
        agents = wiring.agents(wiring.modules()) | {"witness": witness()}
        yield Ground(opened, agents, issuer, webhook_key)


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing is logged: faults by the thousand are what is wanted here."""
    assert log.bind  # configured with first use
    kept = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**kept)


def _environment(certificates: Path, key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return {
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "OIDC_CERTS_URL": certificates.as_uri(),
        "FUNCTIONS_URL": "http://127.0.0.1:9/{function}",
        "CHARGEBEE_WEBHOOK_USER": _USER,
        "CHARGEBEE_WEBHOOK_PASSWORD": _PASSWORD,
        "TWILIO_AUTH_TOKEN": _TWILIO,
        "SENDGRID_VERIFICATION_KEY": base64.b64encode(public).decode(),
    }


def _engine(url: str) -> sqlalchemy.Engine:
    """As many sessions as threads; a thread is known by its backend, and every statement is a
    point as the steps have them.
    """
    made = postgres.make_engine(DatabaseSettings(database_url=url, pool_size=_SESSIONS))

    def connected(connection: Any, record: Any) -> None:
        ((record.info["backend"],),) = connection.execute_simple("SELECT pg_backend_pid()").rows

    def taken(_: Any, record: Any, __: Any) -> None:
        tasks.uses(record.info["backend"])

    def speaking(*_: Any) -> None:
        tasks.reached(tasks.STATEMENT)

    sqlalchemy.event.listen(made, "before_cursor_execute", speaking)
    sqlalchemy.event.listen(made, "connect", connected)
    sqlalchemy.event.listen(made, "checkout", taken)
    return made
