"""What the cloud does with its PostgreSQL: Clinicloop's schema, and faults of the whole server."""

import asyncio
import os
import secrets
import subprocess
import sys
from pathlib import Path

from emulators.agenda import Agenda
from emulators.faults import FaultKind, Faults
from emulators.postgres import Postgres
from emulators.wiring import ROOT

NAME = "postgres"
_LOGIN = "clinicloop_app"
_MIGRATIONS = "shared.platform.migrations"


class MigrationsFailed(Exception):
    """The schema could not be brought up to date; the message holds what the migrations said."""


def login_url(postgres: Postgres) -> str:
    """SQLAlchemy URL of the functions' login, which the migrations make."""
    return postgres.login_url(_LOGIN, _kept_secret(postgres.folder / "app-password"))


async def migrate(admin_url: str, url: str) -> None:
    """Bring Clinicloop's schema up to date; makes the functions' login on a new database."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", _MIGRATIONS],
        capture_output=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"DATABASE_ADMIN_URL": admin_url, "DATABASE_URL": url},
    )
    if done.returncode != 0:
        raise MigrationsFailed(f"the migrations failed:\n{done.stderr.decode()[-4000:]}")


class DatabaseFaults:
    """Acts the faults of `postgres` out on the whole server.

    DOWN: it is stopped. HANG: its processes stand still. DROP_CONNECTION: all clients are
    disconnected once, and the fault is over.
    """

    def __init__(self, postgres: Postgres, faults: Faults, agenda: Agenda) -> None:
        self._postgres = postgres
        self._faults = faults
        self._agenda = agenda
        self._alone = asyncio.Lock()
        self._newest: asyncio.Task[None] | None = None
        self._closed = False
        faults.watch(self._look)

    async def close(self) -> None:
        """Let the server be from now on; it stands still no longer."""
        self._closed = True
        async with self._alone:
            await asyncio.to_thread(self._postgres.resume)

    async def acted_out(self) -> None:
        """Wait until the server is in the state that the faults ask for."""
        if self._newest is not None:
            await asyncio.wait([self._newest])

    def _look(self, target: str) -> None:
        if target == NAME and not self._closed:
            self._newest = self._agenda.start(self._follow())

    async def _follow(self) -> None:
        async with self._alone:
            if self._closed:
                return
            faults = [fault for fault in self._faults.in_force() if fault.target == NAME]
            await asyncio.to_thread(self._act, {fault.kind for fault in faults})
            for fault in faults:
                if fault.kind is FaultKind.DROP_CONNECTION:
                    self._faults.end(fault)

    def _act(self, kinds: set[FaultKind]) -> None:
        if FaultKind.DOWN in kinds:
            self._postgres.stop()
        elif FaultKind.HANG in kinds:
            self._postgres.pause()
        else:
            self._postgres.resume()
            self._postgres.start()
            if FaultKind.DROP_CONNECTION in kinds:
                self._postgres.disconnect_all()


def _kept_secret(file: Path) -> str:
    if not file.exists():
        file.touch(0o600)
        file.write_text(secrets.token_urlsafe(24))
    return file.read_text()
