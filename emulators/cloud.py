"""The local cloud: PostgreSQL, the engines, the functions' host and the console, composed."""

import asyncio
import logging
import os
from collections.abc import Collection, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from emulators import database, instants, parts
from emulators.agenda import Agenda
from emulators.clock import VirtualClock
from emulators.engine import Engine, Ground
from emulators.fail_points import VARIABLE, FailPoints
from emulators.faults import Fault, Faults, check_target, checked
from emulators.folder import Folder, FolderInUse
from emulators.host_process import HostProcess
from emulators.journal import Journal
from emulators.parts import CREDENTIALS, ENGINES, PARTS, SERVICES, VENDORS, check_parts, credentials
from emulators.ports import ADDRESS, check_free, free_port
from emulators.postgres import Postgres
from emulators.tokens import TokenIssuer
from emulators.wiring import FILE, ROOT, load

log = logging.getLogger(__name__)
_STOP_WITHIN = 5.0
"""Real seconds an engine may take to stop."""
_ENDING_SECONDS = 10.0
"""How long the children of a killed cloud may keep its ports."""

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
    """How to run a local cloud. A part without an entry in `ports`, or with 0, takes a free port.

    `folder` keeps everything that lasts: run again on it and the cloud goes on. A `throwaway`
    cloud trades PostgreSQL's crash safety for speed and deletes its database when it stops.
    With `in_memory` the engines keep nothing at all, so none can be restarted.
    `starts` is the virtual time of a new cloud; `frozen` lets only `advance` move it.
    With `product` the database has Clinicloop's schema, the environment is complete for its
    functions, and what DATABASE_URL and the official emulators' variables name is used instead of
    ours; without, the cloud is nobody's in particular. `webhooks` is where vendors send theirs,
    the functions' host unless given. With `fail_points` the host's processes can be ended at any
    of the product's steps, see `emulators.fail_points`; when `traced`, the functions send the
    console their traces and metrics, which costs them some time.
    """

    folder: Path
    ports: Mapping[str, int] = field(default_factory=dict)
    seed: int = 7
    product: bool = True
    throwaway: bool = False
    in_memory: bool = False
    webhooks: str | None = None
    starts: datetime | None = None
    frozen: bool = False
    fail_points: bool = False
    traced: bool = False
    wiring: Path = FILE
    functions: Path = ROOT / "functions"
    project: str = "clinicloop-local"
    location: str = "us-central1"


class LocalCloud:
    """All parts on the running asyncio loop; PostgreSQL and the host are child processes.

    `environment` holds the variables of what has started and, for the product, all that a function
    needs; `admin_url` is the superuser's database URL. `ready` is set once all has started.
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
        self.ready = False
        watched = options.folder.absolute() / "fail-points"
        self.fail_points = FailPoints(watched) if options.fail_points else None
        self._database_faults: database.DatabaseFaults | None = None
        self._console: Any = None
        self._agenda_runs: asyncio.Task[None] | None = None
        self._restarting = asyncio.Lock()
        self._folder = Folder(options.folder)
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
            settings={name.lower(): value for name, value in CREDENTIALS.items()},
        )
        if options.product:
            self.ground.settings["chargebee_webhook_events"] = " ".join(_CHARGEBEE_EVENTS.split())
        kept.close()

    @property
    def url(self) -> str:
        """The address of the console and its API."""
        return f"http://{ADDRESS}:{self.ports['console']}"

    @property
    def targets(self) -> tuple[str, ...]:
        """What can have faults here."""
        own = ("postgres",) if self.postgres is not None else ()
        hooks = (f"{name}-webhooks" for name in self.engines if name in VENDORS)
        return (*own, *self.engines, *hooks)

    async def start(self, only: Collection[str] | None = None) -> None:
        """Start all parts, or `only` the named ones (see `PARTS`), and the console.

        Raises `UnknownPart`, `PortTaken`, and `CloudError` for a folder in use; what had started is
        stopped.
        """
        wanted = set(PARTS if only is None else only)
        check_parts(wanted)
        check_parts(self.options.ports.keys() - {"console"})
        try:
            self._folder.take()
        except FolderInUse as error:
            raise CloudError(str(error)) from None
        try:
            await self._start(wanted)
        except BaseException:
            await self.stop()
            raise
        self.ready = True

    async def _start(self, wanted: set[str]) -> None:
        patience = _ENDING_SECONDS if self._folder.was_left else 0
        for name in wanted | {"console"}:
            await check_free(name, self.options.ports.get(name, 0), patience)
        self._set_clock()
        await self._start_console()
        self.environment |= self._common_environment()
        host = f"http://{ADDRESS}:{self.options.ports.get('host') or free_port()}"
        if self.options.product:
            self.ground.settings["host"] = host
        with_database = asyncio.create_task(self._start_database("postgres" in wanted))
        try:
            await self._start_engines(wanted)
        finally:
            await asyncio.wait([with_database])
        with_database.result()
        # Only now, so that nothing an engine does while it starts is sent to a host not yet there.
        webhooks = self.options.webhooks or (f"{host}/webhooks" if self.options.product else "")
        if webhooks:
            self.ground.settings["webhooks"] = webhooks.rstrip("/")
        if self.options.product:
            await self._start_product(wanted, host)
        self._agenda_runs = asyncio.create_task(self.ground.agenda.run())

    async def _start_product(self, wanted: set[str], host: str) -> None:
        """The schema, and the functions with the resources that their wiring names."""
        self.environment |= self._product_environment(host)
        url = self.environment.get("DATABASE_URL", "")
        work = [database.migrate(self.admin_url or "", url)] if "postgres" in wanted else []
        if "host" in wanted:
            log_file = self.options.folder / "host.log"
            port = int(host.rpartition(":")[2])
            self.host = HostProcess(port, self.options.functions, self.options.wiring, log_file)
            work += [self.host.start(self._host_environment()), self._provision(host)]
        await _all(work)

    async def start_part(self, name: str) -> None:
        """Start one more engine or `postgres` on a cloud that runs. Idempotent."""
        check_parts({name}, SERVICES)
        if name == "postgres" and self.postgres is None:
            await self._start_database(True)
        elif name in ENGINES and name not in self.engines:
            await self._start_engines({name})

    async def stop(self) -> None:
        """Stop every part; what lasts stays in the folder. Idempotent."""
        self.ready = False
        for step in (self._stop_product, self._stop_engines, self._stop_database):
            try:
                await step()
            except Exception:
                log.exception("a part of the local cloud did not stop as it should")
        self._folder.leave()

    async def _stop_product(self) -> None:
        if self._console is not None:
            await self._console.stop()
        if self.host is not None and self.options.throwaway:
            self.host.kill()
        elif self.host is not None:
            await self.host.stop()

    async def _stop_engines(self) -> None:
        if self._agenda_runs is not None:
            self._agenda_runs.cancel()
            await asyncio.gather(self._agenda_runs, return_exceptions=True)
        for name, engine in self.engines.items():
            try:
                await asyncio.wait_for(engine.stop(), _STOP_WITHIN)
            except Exception:
                log.exception("%s did not stop as it should", name)
        self.engines.clear()
        await self.ground.close()

    async def _stop_database(self) -> None:
        if self._database_faults is not None:
            await self._database_faults.close()
        if self.postgres is not None:
            end = self.postgres.destroy if self.options.throwaway else self.postgres.stop
            await asyncio.to_thread(end)

    async def fault(self, fault: Fault) -> None:
        """Put a fault in force; raises `NoSuchFault` for one that nothing here can act out."""
        checked(fault.target, fault.kind, self.targets)
        if fault.target == "postgres" and (fault.share, fault.count, fault.path) != (1, None, ""):
            raise CloudError("a fault of postgres is the whole server's: no share, count or path")
        self.ground.faults.add(fault)
        if fault.until is not None:
            name = f"end of the fault of {fault.target}"
            self.ground.agenda.at(fault.until, self.ground.faults.forget, name)
        await self.faults_acted_out()

    async def heal(self, target: str | None = None) -> None:
        """Clear the faults of `target`, or all; raises `NoSuchFault` for what is not here."""
        if target is not None:
            check_target(target, self.targets)
        self.ground.faults.clear(target)
        await self.faults_acted_out()

    async def faults_acted_out(self) -> None:
        """Wait until the database is in the state that its faults ask for."""
        if self._database_faults is not None:
            await self._database_faults.acted_out()

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
            elif name == database.NAME and self.postgres is not None:
                await asyncio.to_thread(self.postgres.kill)
                await asyncio.to_thread(self.postgres.start)
            elif name in self.engines:
                if self.options.in_memory:
                    raise CloudError(f"{name} would start empty: this cloud runs in memory")
                await self.engines[name].stop()
                await self._start_engine(name, self.ports[name])
            else:
                raise CloudError(f"{name} is not running here")

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
        """Our PostgreSQL, or for the product the database that DATABASE_URL names."""
        product = self.options.product
        if product and (url := os.environ.get("DATABASE_URL")):
            self.admin_url = os.environ.get("DATABASE_ADMIN_URL", url)
            self.environment["DATABASE_URL"] = url
        elif wanted:
            postgres = Postgres(
                self.options.folder / "postgres",
                self.options.ports.get("postgres", 0),
                durable=not self.options.throwaway,
            )
            self.postgres = postgres
            await asyncio.to_thread(postgres.start)
            ground = self.ground
            self._database_faults = database.DatabaseFaults(postgres, ground.faults, ground.agenda)
            self.admin_url = postgres.url
            url = database.login_url(postgres) if product else postgres.plain_url
            self.environment["DATABASE_URL"] = url

    async def _start_engines(self, wanted: Collection[str]) -> None:
        for name, spec in ENGINES.items():
            official = os.environ.get(spec.variable) if spec.official else None
            if official and self.options.product:
                self.environment[spec.variable] = official
            elif name in wanted:
                await self._start_engine(name, self.options.ports.get(name, 0))
                address = f"{spec.scheme}{ADDRESS}:{self.ports[name]}"
                self.environment |= {spec.variable: address}
                self.environment |= credentials(name, self.ground.settings)
        if pubsub := self.environment.get(ENGINES["pubsub"].variable):
            self.ground.settings["pubsub"] = pubsub

    async def _start_engine(self, name: str, port: int) -> None:
        engine: Engine = ENGINES[name].load()(self.ground)
        self.ports[name] = await engine.start(port)
        self.engines[name] = engine

    def _common_environment(self) -> dict[str, str]:
        """What every program on this cloud may want to know, whatever has started."""
        return {
            "GOOGLE_CLOUD_PROJECT": self.options.project,
            "OIDC_CERTS_URL": f"{self.url}/certs",
            "CLINICLOOP_CLOUD": self.url,
        }

    def _product_environment(self, host: str) -> dict[str, str]:
        """What Clinicloop's functions need besides; the accounts at all vendors among it."""
        traced = parts.telemetry(self.url) if self.options.traced else {}
        return (CREDENTIALS | traced) | {
            "GOOGLE_CLOUD_LOCATION": self.options.location,
            "IDENTITY_CERTS_URL": f"{self.url}/certs",
            "CLINICLOOP_CLOCK": str(self.ground.clock.path.absolute()),
            "SERVE_OPENAPI": "true",
            "FUNCTIONS_URL": f"{host}/{{function}}",
        }

    def _host_environment(self) -> dict[str, str]:
        """What the functions see: never the superuser's database URL."""
        inherited = {k: v for k, v in os.environ.items() if k != "DATABASE_ADMIN_URL"}
        watched = {VARIABLE: str(self.fail_points.folder)} if self.fail_points else {}
        return inherited | self.environment | watched

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
        self.ports["console"] = await self._console.start(self.options.ports.get("console", 0))


async def _all(work: list[Coroutine[Any, Any, None]]) -> None:
    """Do everything at once; when one part fails, the others have ended before that is raised."""
    tasks = [asyncio.create_task(part) for part in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
