"""An HTTP target in tests: keeps every request and answers as it is told."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from emulators.engine import HOST, Ground, HttpServer


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


async def accept(_: Request) -> web.Response:
    return web.Response()


class HttpReceiver:
    """Starts and stops like an engine. `answer` decides each response; 200 unless it is set."""

    name = "http-receiver"

    def __init__(self, ground: Ground) -> None:
        self._server = HttpServer(ground, self.name)
        self.requests: list[Request] = []
        self.answer: Callable[[Request], Awaitable[web.Response]] = accept
        self.url = ""

    async def start(self, port: int = 0) -> int:
        bound = await self._server.start([web.route("*", "/{path:.*}", self._take)], port)
        self.url = f"http://{HOST}:{bound}"
        return bound

    async def stop(self) -> None:
        await self._server.stop()

    def describe(self) -> dict[str, Any]:
        return {}

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    def answer_with(self, *statuses: int, **headers: str) -> None:
        """Answer with these statuses in turn, the last one for ever."""
        left = list(statuses)

        async def answer(_: Request) -> web.Response:
            status = left.pop(0) if len(left) > 1 else left[0]
            return web.Response(status=status, headers=headers)

        self.answer = answer

    async def _take(self, request: web.Request) -> web.Response:
        seen = Request(request.method, request.path_qs, dict(request.headers), await request.read())
        self.requests.append(seen)
        return await self.answer(seen)
