"""What an engine of the local cloud is, and what every engine is given."""

from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Protocol

import aiohttp
import grpc
from aiohttp import web

from emulators.agenda import Agenda
from emulators.api.decoding import Decoding
from emulators.clock import VirtualClock
from emulators.faults import Faults
from emulators.faulty_calls import FaultInterceptor, http_middleware
from emulators.journal import Journal
from emulators.tokens import TokenIssuer

HOST = "127.0.0.1"


@dataclass
class Ground:
    """What the engines of one local cloud stand on; all of them share one asyncio loop."""

    clock: VirtualClock
    agenda: Agenda
    faults: Faults
    tokens: TokenIssuer
    random: Random
    folder: Path | None = None
    project: str = "clinicloop-local"
    settings: dict[str, str] = field(default_factory=dict)
    """Addresses engines need of one another, e.g. `host` -> `http://127.0.0.1:8080`."""
    silent: set[str] = field(default_factory=set)
    """Targets of tasks and jobs, `http://127.0.0.1:8080`, that last held up virtual time."""
    _session: aiohttp.ClientSession | None = None

    def journal(self, engine: str) -> Journal:
        return Journal(self.folder, engine)

    @property
    def session(self) -> aiohttp.ClientSession:
        """The one HTTP client of the engines (pushes, task dispatch, webhooks)."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=64), auto_decompress=True
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


class Engine(Protocol):
    """One emulated service. A new one on the same ground takes up from the journal."""

    name: str

    async def start(self, port: int = 0) -> int:
        """Listen on 127.0.0.1 (any free port for 0), return the port. Ready when it returns."""
        ...

    async def stop(self) -> None:
        """Stop listening and cancel what is under way, as abruptly as a crash would."""
        ...

    def describe(self) -> dict[str, Any]:
        """What the console shows of it, as JSON-ready data."""
        ...


class GrpcServer:
    """The listening half of a gRPC engine: faults acted out, plain text, 127.0.0.1."""

    def __init__(self, ground: Ground, name: str) -> None:
        self._ground = ground
        self._name = name
        self._server: grpc.aio.Server | None = None

    async def start(self, handlers: list[grpc.GenericRpcHandler], port: int) -> int:
        self._server = grpc.aio.server(
            interceptors=[FaultInterceptor(self._ground.faults, self._name)],
            options=[
                ("grpc.max_receive_message_length", 32 << 20),
                ("grpc.max_send_message_length", 32 << 20),
                ("grpc.so_reuseport", 0),
            ],
        )
        self._server.add_generic_rpc_handlers(tuple(Decoding(each) for each in handlers))
        bound = self._server.add_insecure_port(f"{HOST}:{port}")
        await self._server.start()
        return bound

    async def stop(self, grace: float = 0) -> None:
        """Take no more calls; what is under way is cancelled after `grace` real seconds."""
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop(grace=grace)


class HttpServer:
    """The listening half of an HTTP engine: faults acted out, 127.0.0.1."""

    def __init__(self, ground: Ground, name: str) -> None:
        self._ground = ground
        self._name = name
        self._runner: web.AppRunner | None = None

    async def start(self, routes: list[web.RouteDef], port: int) -> int:
        app = web.Application(
            middlewares=[http_middleware(self._ground.faults, self._name)],
            client_max_size=32 << 20,
        )
        app.add_routes(routes)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, port)
        await site.start()
        bound: int = self._runner.addresses[0][1]
        return bound

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
