"""Where the functions send their traces and metrics, and what the page and reports read of them."""

from aiohttp import web

from emulators.console.metrics import Metrics
from emulators.console.traces import Traces


class Telemetry:
    """The OTLP receiver and its read API, as routes of the console."""

    def __init__(self) -> None:
        self.traces = Traces()
        self.metrics = Metrics()

    @property
    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/traces", self._take_traces),
            web.post("/v1/metrics", self._take_metrics),
            web.get("/api/traces", self._list),
            web.delete("/api/traces", self._clear),
            web.get("/api/traces/{id}", self._show),
            web.get("/api/spans/slowest", self._slowest),
            web.get("/api/metrics", self._measured),
        ]

    async def _take_traces(self, request: web.Request) -> web.Response:
        self.traces.take(await request.read())
        return web.Response(content_type="application/x-protobuf")

    async def _take_metrics(self, request: web.Request) -> web.Response:
        self.metrics.take(await request.read())
        return web.Response(content_type="application/x-protobuf")

    async def _list(self, request: web.Request) -> web.Response:
        """Newest first; `correlation`, `name`, `min_ms` and `limit` narrow it down."""
        query = request.query
        found = self.traces.newest(
            int(query.get("limit", 100)),
            query.get("correlation", ""),
            query.get("name", ""),
            float(query.get("min_ms", 0)),
        )
        return web.json_response({"traces": found})

    async def _clear(self, _: web.Request) -> web.Response:
        self.traces.clear()
        return web.json_response({"traces": []})

    async def _show(self, request: web.Request) -> web.Response:
        found = self.traces.find(request.match_info["id"])
        if found is None:
            detail = {"status": 404, "detail": "No span of such a trace is on record."}
            return web.json_response(detail, status=404, content_type="application/problem+json")
        return web.json_response(found)

    async def _slowest(self, request: web.Request) -> web.Response:
        limit = int(request.query.get("limit", 30))
        return web.json_response({"spans": self.traces.slowest(limit)})

    async def _measured(self, _: web.Request) -> web.Response:
        return web.json_response({"metrics": self.metrics.rows()})
