"""The local cloud: PostgreSQL, the engines, the functions' host and the console, composed."""

import asyncio
import fcntl
import importlib
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Collection, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import IO, Any

from emulators import instants
from emulators.agenda import Agenda
from emulators.clock import VirtualClock
from emulators.engine import Engine, Ground
from emulators.faults import Faults
from emulators.host_process import HostProcess
from emulators.journal import Journal
from emulators.postgres import Postgres
from emulators.tokens import TokenIssuer
from emulators.wiring import FILE, ROOT, load

ADDRESS = "127.0.0.1"
LOGIN = "clinicloop_app"
_ADDRESSES = {"host", "webhooks", "pubsub"}  # settings that are no credentials
_MIGRATIONS = "shared.platform.migrations"
_OFFICIAL = ("PUBSUB_EMULATOR_HOST", "FIRESTORE_EMULATOR_HOST")


@dataclass(frozen=True)
class Spec:
    """Where an engine's class is, and the variable that tells its clients the address."""

    where: str
    variable: str
    scheme: str = ""

    def load(self) -> type[Any]:
        module, name = self.where.split(":")
        kind: type[Any] = getattr(importlib.import_module(module), name)
        return kind


ENGINES = {
    "pubsub": Spec("emulators.pubsub:PubSub", "PUBSUB_EMULATOR_HOST"),
    "tasks": Spec("emulators.tasks:Tasks", "CLOUD_TASKS_EMULATOR_HOST"),
    "scheduler": Spec("emulators.scheduler:Scheduler", "CLOUD_SCHEDULER_EMULATOR_HOST"),
    "firestore": Spec("emulators.firestore:Firestore", "FIRESTORE_EMULATOR_HOST"),
    "identity": Spec("emulators.identity:Identity", "FIREBASE_AUTH_EMULATOR_HOST"),
    "chargebee": Spec("emulators.vendors.chargebee:Chargebee", "CHARGEBEE_URL", "http://"),
    "iterable": Spec("emulators.vendors.iterable:Iterable", "ITERABLE_URL", "http://"),
    "zendesk": Spec("emulators.vendors.zendesk:Zendesk", "ZENDESK_URL", "http://"),
    "twilio": Spec("emulators.vendors.twilio:Twilio", "TWILIO_URL", "http://"),
    "sendgrid": Spec("emulators.vendors.sendgrid:SendGrid", "SENDGRID_URL", "http://"),
    "fcm": Spec("emulators.vendors.fcm:Fcm", "FCM_URL", "http://"),
}
VENDORS = ("chargebee", "iterable", "zendesk", "twilio", "sendgrid", "fcm")
PARTS = ("postgres", *ENGINES, "host")

# The local accounts at the vendors. Each is the variable a function reads it from and, in lower
# case, the ground's setting that the vendor's fake checks against.
_CREDENTIALS = {
    "CHARGEBEE_API_KEY": "test_local",
    "CHARGEBEE_WEBHOOK_USER": "chargebee",
    "CHARGEBEE_WEBHOOK_PASSWORD": "local-webhook-password",
    "ITERABLE_API_KEY": "local-iterable-key",
    "ZENDESK_EMAIL": "support@clinicloop.test",
    "ZENDESK_TOKEN": "local-zendesk-token",
    "TWILIO_ACCOUNT_SID": "AC" + "1".zfill(32),
    "TWILIO_AUTH_TOKEN": "local-auth-token",
    "SENDGRID_API_KEY": "SG.local",
    "SENDGRID_FROM": "notice@clinicloop.test",
}


# The events the product's webhook is switched on for at Chargebee; the rest comes by reading.
_CHARGEBEE_EVENTS = """
    customer_changed invoice_updated payment_failed payment_succeeded
    subscription_cancellation_scheduled subscription_cancelled subscription_changed
    subscription_paused subscription_resumed subscription_scheduled_cancellation_removed
"""


class CloudError(Exception):
    """The local cloud could not start or do what was asked; the message says why."""


@dataclass(frozen=True)
class Options:
    """How to run a local cloud. Port 0 takes any free port.

    `folder` keeps everything that lasts: run again on it and the cloud goes on. A `throwaway`
    cloud trades PostgreSQL's crash safety for speed and deletes its database when it stops.
    With `in_memory` the engines keep nothing at all, so none can be restarted.
    `starts` is the virtual time of a new cloud; `frozen` lets only `advance` move it.
    """

    folder: Path
    console_port: int = 0
    host_port: int = 0
    seed: int = 7
    throwaway: bool = False
    in_memory: bool = False
    starts: datetime | None = None
    frozen: bool = False
    wiring: Path = FILE
    functions: Path = ROOT / "functions"
    project: str = "clinicloop-local"
    location: str = "us-central1"


class LocalCloud:
    """All parts on the running asyncio loop; PostgreSQL and the host are child processes.

    `environment` holds every variable a function needs, `admin_url` the superuser's database URL.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.wiring = load(options.wiring)
        self.environment: dict[str, str] = {}
        self.engines: dict[str, Engine] = {}
        self.ports: dict[str, int] = {}
        self.postgres: Postgres | None = None
        self.host: HostProcess | None = None
        self.admin_url: str | None = None
        self._lock: IO[bytes] | None = None
        self._console: Any = None
        self._agenda_runs: asyncio.Task[None] | None = None
        self._restarting = asyncio.Lock()
        options.folder.mkdir(parents=True, exist_ok=True)
        clock = VirtualClock(options.folder / "clock")
        journals = None if options.in_memory else options.folder / "engines"
        if journals is not None:
            journals.mkdir(mode=0o700, exist_ok=True)  # the key that signs tokens is in there
        kept = Journal(journals, "tokens")
        self.ground = Ground(
            clock=clock,
            agenda=Agenda(clock),
            faults=Faults(clock, Random(options.seed)),  # noqa: S311 -- repeatable, not secret
            tokens=TokenIssuer(clock, kept),
            random=Random(options.seed),  # noqa: S311 -- likewise
            folder=journals,
            project=options.project,
            settings={name.lower(): value for name, value in _CREDENTIALS.items()}
            | {"chargebee_webhook_events": " ".join(_CHARGEBEE_EVENTS.split())},
        )
        kept.close()

    @property
    def url(self) -> str:
        """The address of the console and its API."""
        return f"http://{ADDRESS}:{self.ports['console']}"

    async def start(self, only: Collection[str] | None = None) -> None:
        """Start all parts, or `only` the named ones (see `PARTS`), and the console.

        Raises `CloudError` for an unknown name or a folder in use; what had started is stopped.
        """
        wanted = set(PARTS if only is None else only)
        if unknown := wanted - set(PARTS):
            raise CloudError(f"unknown: {', '.join(sorted(unknown))}; there is {', '.join(PARTS)}")
        self._take_folder()
        try:
            await self._start(wanted)
        except BaseException:
            await self.stop()
            raise

    async def _start(self, wanted: set[str]) -> None:
        self._set_clock()
        host_port = self.options.host_port or _free_port()
        host = f"http://{ADDRESS}:{host_port}"
        self.ground.settings["host"] = host
        database = asyncio.create_task(self._start_database("postgres" in wanted))
        try:
            await self._start_engines(wanted)
        finally:
            await asyncio.wait([database])
        database.result()
        # Only now, so that nothing an engine does while it starts is sent to a host not yet there.
        self.ground.settings["webhooks"] = f"{host}/webhooks"
        if pubsub := self.environment.get(ENGINES["pubsub"].variable):
            self.ground.settings["pubsub"] = pubsub
        self.environment |= self._own_environment(host)
        work = [self._migrate()] if "postgres" in wanted else []
        if "host" in wanted:
            log_file = self.options.folder / "host.log"
            self.host = HostProcess(
                host_port, self.options.functions, self.options.wiring, log_file
            )
            work += [self.host.start(self._host_environment()), self._provision(host)]
        await _all(work)
        self._agenda_runs = asyncio.create_task(self.ground.agenda.run())
        await self._start_console()

    async def stop(self) -> None:
        """Stop every part; what lasts stays in the folder. Idempotent."""
        if self._console is not None:
            await self._console.stop()
        if self.host is not None and self.options.throwaway:
            self.host.kill()
        elif self.host is not None:
            await self.host.stop()
        if self._agenda_runs is not None:
            self._agenda_runs.cancel()
            await asyncio.gather(self._agenda_runs, return_exceptions=True)
        for engine in self.engines.values():
            await engine.stop()
        self.engines.clear()
        await self.ground.close()
        if self.postgres is not None:
            end = self.postgres.destroy if self.options.throwaway else self.postgres.stop
            await asyncio.to_thread(end)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    async def advance(self, to: str | datetime | timedelta) -> datetime:
        """Move virtual time on, everything due on the way done in order; the new instant.

        A text is a step (`+6mo`, `P6M`) or an instant, see `instants.target`.
        """
        now = self.ground.clock.now()
        if isinstance(to, str):
            to = instants.target(to, now)
        elif isinstance(to, timedelta):
            to = now + to
        if to < now:
            raise CloudError(f"{to.isoformat()} has passed; virtual time moves forward only")
        await self.ground.agenda.advance(to)
        return self.ground.clock.now()

    async def settle(self, timeout: float = 60) -> None:
        """Wait until nothing is under way and nothing is due; see `Agenda.settle`."""
        await self.ground.agenda.settle(timeout)

    async def restart(self, name: str) -> None:
        """End a part as abruptly as a crash and start it anew on the same port and state."""
        async with self._restarting:
            if name == "host" and self.host is not None:
                self.host.kill()
                await self.host.start(self._host_environment())
            elif name == "postgres" and self.postgres is not None:
                await asyncio.to_thread(self.postgres.kill)
                await asyncio.to_thread(self.postgres.start)
            elif name in self.engines:
                await self.engines[name].stop()
                await self._start_engine(name, self.ports[name])
            else:
                raise CloudError(f"{name} is not running here")

    def _take_folder(self) -> None:
        self._lock = (self.options.folder / "lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            self._lock = None
            raise CloudError(f"a local cloud is running on {self.options.folder}") from None

    def _set_clock(self) -> None:
        clock, starts = self.ground.clock, self.options.starts
        if starts is not None and not (self.options.folder / "postgres").exists():
            clock.begin(starts)
        if self.options.frozen:
            clock.freeze(starts)
            return
        clock.run()
        if starts is not None:
            clock.jump(starts)

    async def _start_database(self, wanted: bool) -> None:
        """Our PostgreSQL and the schema, or the database that DATABASE_URL names."""
        if url := os.environ.get("DATABASE_URL"):
            self.admin_url = os.environ.get("DATABASE_ADMIN_URL", url)
            self.environment["DATABASE_URL"] = url
        elif wanted:
            durable = not self.options.throwaway
            self.postgres = Postgres(self.options.folder / "postgres", durable=durable)
            await asyncio.to_thread(self.postgres.start)
            self.admin_url = self.postgres.url
            password = _kept_secret(self.options.folder / "postgres" / "app-password")
            self.environment["DATABASE_URL"] = self.postgres.login_url(LOGIN, password)

    async def _migrate(self) -> None:
        """Bring the schema up to date; makes the functions' login on a new database."""
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", _MIGRATIONS],
            capture_output=True,
            check=False,
            cwd=ROOT,
            env=os.environ
            | {
                "DATABASE_ADMIN_URL": self.admin_url or "",
                "DATABASE_URL": self.environment["DATABASE_URL"],
            },
        )
        if done.returncode != 0:
            raise CloudError(f"the migrations failed:\n{done.stderr.decode()[-4000:]}")

    async def _start_engines(self, wanted: set[str]) -> None:
        for name, spec in ENGINES.items():
            if spec.variable in _OFFICIAL and (address := os.environ.get(spec.variable)):
                self.environment[spec.variable] = address
            elif name in wanted:
                await self._start_engine(name, 0)
                address = f"{spec.scheme}{ADDRESS}:{self.ports[name]}"
                self.environment[spec.variable] = address

    async def _start_engine(self, name: str, port: int) -> None:
        engine: Engine = ENGINES[name].load()(self.ground)
        self.ports[name] = await engine.start(port)
        self.engines[name] = engine

    def _own_environment(self, host: str) -> dict[str, str]:
        settings = self.ground.settings
        own = {name.upper(): settings[name] for name in settings.keys() - _ADDRESSES}
        if "identity" in self.ports:
            certificates = f"http://{ADDRESS}:{self.ports['identity']}/certs"
            own |= {"OIDC_CERTS_URL": certificates, "IDENTITY_CERTS_URL": certificates}
        return own | {
            "GOOGLE_CLOUD_PROJECT": self.options.project,
            "GOOGLE_CLOUD_LOCATION": self.options.location,
            "CLINICLOOP_CLOCK": str(self.ground.clock.path.absolute()),
            "SERVE_OPENAPI": "true",
            "FUNCTIONS_URL": f"{host}/{{function}}",
        }

    def _host_environment(self) -> dict[str, str]:
        """What the functions see: never the superuser's database URL."""
        inherited = {k: v for k, v in os.environ.items() if k != "DATABASE_ADMIN_URL"}
        return inherited | self.environment

    async def _provision(self, host: str) -> None:
        from emulators.provision import Provisioner, provision

        variables = {name: ENGINES[name].variable for name in ("pubsub", "tasks", "scheduler")}
        addresses = {
            name: self.environment[variable]
            for name, variable in variables.items()
            if variable in self.environment
        }
        provisioner = Provisioner(self.options.project, self.options.location, host)
        await provision(provisioner, self.wiring, addresses)

    async def _start_console(self) -> None:
        from emulators.console import Console

        self._console = Console(self)
        self.ports["console"] = await self._console.start(self.options.console_port)


async def _all(work: list[Coroutine[Any, Any, None]]) -> None:
    """Do everything at once; when one part fails, the others have ended before that is raised."""
    tasks = [asyncio.create_task(part) for part in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _kept_secret(file: Path) -> str:
    if not file.exists():
        file.touch(0o600)
        file.write_text(secrets.token_urlsafe(24))
    return file.read_text()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port
