"""The control API and the page. Bound to 127.0.0.1; refuses what another site's page sends."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import aiohttp
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from emulators import instants
from emulators.agenda import Unsettled
from emulators.cloud import CloudError, LocalCloud
from emulators.console.state import State
from emulators.console.telemetry import Telemetry
from emulators.faults import Fault, checked
from emulators.host_process import HostFailed
from emulators.ports import ADDRESS
from emulators.postgres import PostgresError
from emulators.wiring import invoker

STATIC = Path(__file__).parent / "static"
CERTIFICATES = "/certs"
_LARGEST_BODY = 16 << 20
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Move(_Body):
    """Where virtual time goes: `by` a step (`P6M`, `+6mo`) or `to` an instant."""

    by: str | None = None
    to: str | None = None


class NewFault(_Body):
    """A fault to put in force; `for` is a step of virtual time, `share` a part of the calls.

    `late` is a step of real or virtual time, see `Fault`.
    """

    target: str
    kind: str
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    count: Annotated[int, Field(gt=0)] | None = None
    path: str = ""
    late: str | None = None
    lasts: Annotated[str | None, Field(alias="for")] = None


class Batch(_Body):
    """Dead letters of a function to replay: a handler's, those whose reason begins like this.

    At most a hundred; `after` goes on behind the last of the batch before.
    """

    function: str
    handler: str | None = None
    reason: str = ""
    after: UUID | None = None


class Console:
    """Serves the page at `/` and the API under `/api`, on the cloud's own loop."""

    def __init__(self, cloud: LocalCloud) -> None:
        self._cloud = cloud
        self._state = State(cloud)
        self._telemetry = Telemetry()
        self._runner: web.AppRunner | None = None
        self._port = 0

    async def start(self, port: int = 0) -> int:
        """Listen on 127.0.0.1 and return the port."""
        app = web.Application(middlewares=[self._guard, _problems], client_max_size=_LARGEST_BODY)
        app.add_routes(self._telemetry.routes)
        app.add_routes(
            [
                web.get("/", self._page),
                web.get(CERTIFICATES, self._certificates),
                web.static("/static", STATIC),
                web.get("/api/state", self._describe),
                web.post("/api/time", self._move),
                web.post("/api/settle", self._settle),
                web.get("/api/faults", self._list_faults),
                web.post("/api/faults", self._add_fault),
                web.delete("/api/faults", self._clear_faults),
                web.post("/api/engines/{name}/restart", self._restart),
                web.post("/api/dead-letters/{id}/replay", self._replay),
                web.post("/api/dead-letters/replay", self._replay_batch),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, ADDRESS, port).start()
        self._port = self._runner.addresses[0][1]
        return self._port

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        await self._state.close()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Only this machine's own names, and no requests that pages of other sites make."""
        own = {f"{ADDRESS}:{self._port}", f"localhost:{self._port}"}
        origin = request.headers.get("Origin")
        if request.host not in own or (origin and origin.removeprefix("http://") not in own):
            return _problem(403, "This address serves the local console only.")
        if not self._cloud.ready and request.path != CERTIFICATES:
            return _problem(503, "The local cloud is starting or stopping.")
        response = await handler(request)
        response.headers["Content-Security-Policy"] = "default-src 'self'; frame-ancestors 'none'"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
        return response

    async def _page(self, _: web.Request) -> web.StreamResponse:
        return web.FileResponse(STATIC / "console.html")

    async def _certificates(self, _: web.Request) -> web.Response:
        """What verifies every token signed here: key id -> PEM, as Google publishes its own."""
        return web.json_response(self._cloud.ground.tokens.certificates())

    async def _describe(self, _: web.Request) -> web.Response:
        return web.json_response(await self._state.collect())

    async def _move(self, request: web.Request) -> web.Response:
        move = Move.model_validate_json(await request.read())
        clock = self._cloud.ground.clock
        if (move.by is None) == (move.to is None):
            raise instants.BadInstant(str(move.by or move.to))
        before = clock.now()
        to = before + instants.step(move.by) if move.by else instants.instant(move.to or "")
        with self._state.moving():
            await self._cloud.advance(to)
        return web.json_response({"before": before.isoformat(), "now": clock.now().isoformat()})

    async def _settle(self, _: web.Request) -> web.Response:
        await self._cloud.settle()
        return web.json_response({"now": self._cloud.ground.clock.now().isoformat()})

    async def _list_faults(self, _: web.Request) -> web.Response:
        return web.json_response({"faults": self._state.faults()})

    async def _add_fault(self, request: web.Request) -> web.Response:
        new = NewFault.model_validate_json(await request.read())
        kind = checked(new.target, new.kind, self._cloud.targets)
        now = self._cloud.ground.clock.now()
        until = now + instants.step(new.lasts) if new.lasts else None
        fault = Fault(new.target, kind, new.share, until, new.count, new.path)
        if new.late:
            fault.late = (now + instants.step(new.late) - now).total_seconds()
        await self._cloud.fault(fault)
        return web.json_response({"faults": self._state.faults()}, status=201)

    async def _clear_faults(self, request: web.Request) -> web.Response:
        await self._cloud.heal(request.query.get("target"))
        return web.json_response({"faults": self._state.faults()})

    async def _restart(self, request: web.Request) -> web.Response:
        await self._cloud.restart(request.match_info["name"])
        return web.json_response({"restarted": request.match_info["name"]})

    async def _replay(self, request: web.Request) -> web.Response:
        """Ask the function that could not handle a message to try it again."""
        letter = UUID(request.match_info["id"])
        function = await self._state.dead_letter_function(letter)
        if function is None:
            return _problem(404, "there is no such dead letter")
        return await self._as_operator(function, str(letter), {})

    async def _replay_batch(self, request: web.Request) -> web.Response:
        batch = Batch.model_validate_json(await request.read())
        if batch.function not in self._cloud.wiring.functions:
            return _problem(404, "there is no such function")
        wanted = batch.model_dump(mode="json", exclude={"function"}, exclude_none=True)
        return await self._as_operator(batch.function, "replay", wanted)

    async def _as_operator(self, function: str, path: str, query: dict[str, str]) -> web.Response:
        """Post to a function's dead letters; its answer, a problem as the function states it."""
        ground = self._cloud.ground
        audience = f"{ground.settings['host']}/{function}"
        token = ground.tokens.oidc(invoker("operator", ground.project), audience)
        async with ground.session.post(
            f"{audience}/dead-letters/{path}",
            params=query,
            headers={"Authorization": f"Bearer {token}"},
            timeout=aiohttp.ClientTimeout(total=60),
        ) as answer:
            said = await answer.text()
        if answer.status >= 400:
            return _problem(answer.status, f"{function}: {_detail(said)}")
        return web.json_response(json.loads(said) if said else {"replayed": 1})


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return _problem(400, f"{place}: {first['msg']}" if place else first["msg"])
    except (CloudError, ValueError) as error:
        return _problem(400, str(error))
    except (Unsettled, HostFailed, PostgresError) as error:
        return _problem(503, str(error))
    except aiohttp.ClientError as error:
        return _problem(502, f"the functions' host cannot be reached: {error}")


def _detail(said: str) -> str:
    """What a function's problem document says; all of it where it is none."""
    try:
        return str(json.loads(said)["detail"])
    except (ValueError, KeyError, TypeError):
        return said[:300]


def _problem(status: int, detail: str) -> web.Response:
    body: dict[str, Any] = {"status": status, "detail": detail}
    return web.json_response(body, status=status, content_type="application/problem+json")
