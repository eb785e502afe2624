"""The far end of webhooks in tests: keeps what was posted and answers as told."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from emulators.engine import Ground, HttpServer


@dataclass(frozen=True)
class Posted:
    url: str
    headers: dict[str, str]
    body: str

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body, keep_blank_values=True))


class Receiver:
    """Starts and stops like an engine. `answers` are the next statuses; after them it is 204."""

    name = "receiver"

    def __init__(self, ground: Ground) -> None:
        self._server = HttpServer(ground, self.name)
        self.posted: list[Posted] = []
        self.answers: list[int] = []

    async def start(self, port: int = 0) -> int:
        return await self._server.start([web.post("/{path:.*}", self._take)], port)

    async def stop(self) -> None:
        await self._server.stop()

    def describe(self) -> dict[str, Any]:
        return {}

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.text()
        self.posted.append(Posted(str(request.url), dict(request.headers), body))
        return web.Response(status=self.answers.pop(0) if self.answers else 204)
