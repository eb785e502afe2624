"""Pushes a second through `runtime.agent` against a hand-written Flask handler with the same SQL.

Both run under gunicorn with one worker and the same threads, each with 16 pushes under way. Ours
verifies the sender's token on top; the peer trusts everybody.
"""

import asyncio
import base64
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import aiohttp

from bench.database import Database, database
from bench.kit import Result, compare
from emulators.clock import VirtualClock
from emulators.journal import Journal
from emulators.tokens import TokenIssuer

PUSHES = 1500
UNDER_WAY = 16
THREADS = 8


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def served(app: str, environment: dict[str, str]) -> Iterator[str]:
    """An app under gunicorn on a free port; answers its address once it accepts connections."""
    port = free_port()
    command = [
        sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "1",
        "--threads", str(THREADS), "--keep-alive", "30", "--log-level", "warning", app,
    ]  # fmt: skip
    process = subprocess.Popen(command, env=os.environ | environment)
    try:
        _wait(f"http://127.0.0.1:{port}/")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def _wait(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _body() -> bytes:
    clinic, contract = str(uuid4()), str(uuid4())
    data = {"clinic_id": clinic, "contract_id": contract, "counter": 1}
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


async def _drive(url: str, token: str) -> float:
    bodies = [_body() for _ in range(PUSHES)]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def worker() -> None:
            while bodies:
                async with session.post(f"{url}/events", data=bodies.pop()) as answer:
                    if answer.status != 204:
                        raise AssertionError(f"{url} answered {answer.status}")

        start = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(UNDER_WAY)))
        return PUSHES / (time.perf_counter() - start)


def _measured(db: Database, url: str, token: str) -> float:
    db.run("UPDATE bench.counters SET hits = 0")
    db.run("TRUNCATE platform.inbox")
    found = asyncio.run(_drive(url, token))
    hits = db.run("SELECT hits FROM bench.counters")[0][0]
    if hits != PUSHES:
        raise AssertionError(f"{hits} effects of {PUSHES} pushes")
    return found


@contextmanager
def _certificates(folder: Path) -> Iterator[tuple[TokenIssuer, str]]:
    """An issuer of OIDC tokens and the address its certificates are published at."""
    issuer = TokenIssuer(VirtualClock(folder / "clock"), Journal(None, "tokens"))
    (folder / "certs").write_text(json.dumps(issuer.certificates()))
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, cwd=folder, **quiet)  # type: ignore[call-overload]
    try:
        _wait(f"http://127.0.0.1:{port}/certs")
        yield issuer, f"http://127.0.0.1:{port}/certs"
    finally:
        process.terminate()
        process.wait(10)


def run() -> Iterator[Result]:
    with database() as db, tempfile.TemporaryDirectory() as folder:
        db.run("CREATE SCHEMA bench")
        db.run("CREATE TABLE bench.counters (id int PRIMARY KEY, hits int NOT NULL)")
        db.run("INSERT INTO bench.counters VALUES (1, 0)")
        db.run("GRANT USAGE ON SCHEMA bench TO clinicloop_app")
        db.run("GRANT SELECT, UPDATE ON bench.counters TO clinicloop_app")
        with _certificates(Path(folder)) as (issuer, certificates):
            audience = "http://127.0.0.1/reaction"
            sender = "pubsub-invoker@clinicloop-bench.iam.gserviceaccount.com"
            token = issuer.oidc(sender, audience)
            ours = {
                "OIDC_CERTS_URL": certificates,
                "FUNCTIONS_URL": "http://127.0.0.1/{function}",
                "FUNCTION_TARGET": "reaction",
                "FUNCTION_SOURCE": "bench/servers/reaction.py",
                "FUNCTION_SIGNATURE_TYPE": "http",
            }
            with (
                served("functions_framework:create_app()", ours) as our_url,
                served("bench.servers.handwritten:app", {}) as peer_url,
            ):
                yield compare(
                    "push_handling",
                    ("runtime.agent", lambda: _measured(db, our_url, token)),
                    ("hand-written Flask", lambda: _measured(db, peer_url, token)),
                    unit="events/s",
                    limit=0.8,
                    at_least=True,
                )
