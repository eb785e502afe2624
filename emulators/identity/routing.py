"""How a request finds its operation: routes, who may call them, and whose accounts they concern.

Each module of the engine offers `routes(directory) -> list[Route]`; the engine mounts them all.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from aiohttp import web

from emulators.identity.directory import Directory
from emulators.identity.silo import Silo
from emulators.identity.wire import Body, Refused

V1 = "/identitytoolkit.googleapis.com/v1"
V2 = "/identitytoolkit.googleapis.com/v2"
EMULATOR = "/emulator/v1"
_TYPES = {"POST", "PATCH", "PUT"}


class Access(Enum):
    """What a route asks of its caller."""

    KEY = auto()  # an API key (any), or the credentials of an administrator
    OWNER = auto()  # the credentials of an administrator
    OPEN = auto()  # nothing


@dataclass(frozen=True)
class Call:
    """One request. `owner` says that an administrator makes it; `origin` is our own address as the
    caller sees it (`http://127.0.0.1:9099`); `accepts` is the media types it asks for.
    """

    silo: Silo
    body: Body
    query: Body
    path: Mapping[str, str]
    owner: bool
    origin: str
    accepts: str = ""


Answer = dict[str, Any] | web.Response
Operation = Callable[[Call], Answer | Awaitable[Answer]]


@dataclass(frozen=True)
class Route:
    """`operation` may be a coroutine function; it raises `Refused` for a documented error."""

    method: str
    path: str
    operation: Operation
    access: Access = Access.KEY


def for_people(verb: str, operation: Operation) -> Route:
    """`accounts:{verb}`, which an API key or an administrator may call."""
    return Route("POST", f"{V1}/accounts:{verb}", operation)


def for_admins(path: str, operation: Operation, method: str = "POST") -> list[Route]:
    """`projects/{project}{path}` and the same below `tenants/{tenant}`, for administrators."""
    project = f"{V1}/projects/{{project:[^/:]+}}"
    places = (project, project + "/tenants/{tenant:[^/:]+}")
    return [Route(method, place + path, operation, Access.OWNER) for place in places]


def mounted(directory: Directory, route: Route) -> web.RouteDef:
    """The route for the HTTP server, with its checks and the documented form of errors."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            answer = route.operation(await _call(directory, route, request))
            if isinstance(answer, Awaitable):
                answer = await answer
            response = answer if isinstance(answer, web.Response) else web.json_response(answer)
        except Refused as refused:
            response = refused.response()
        response.headers.update(_shared_with(request))
        return response

    return web.route(route.method, route.path, handle)


def fallbacks() -> list[web.RouteDef]:
    """What browsers ask before calling from another origin, and what is not there."""

    async def preflight(request: web.Request) -> web.Response:
        headers = _shared_with(request) | {
            "Access-Control-Allow-Methods": "GET,HEAD,PUT,PATCH,POST,DELETE",
            "Access-Control-Max-Age": "600",
        }
        if asked := request.headers.get("Access-Control-Request-Headers"):
            headers["Access-Control-Allow-Headers"] = asked
        if request.headers.get("Access-Control-Request-Private-Network"):
            headers["Access-Control-Allow-Private-Network"] = "true"
        return web.Response(status=204, headers=headers)

    async def nothing(_: web.Request) -> web.Response:
        return Refused("Not Found", 404, "NOT_FOUND").response()

    return [
        web.route("OPTIONS", "/{any:.*}", preflight),
        web.route("*", "/{any:.*}", nothing),
    ]


def _shared_with(request: web.Request) -> dict[str, str]:
    """Any page may call, as it may call the real API: nothing here rests on cookies."""
    origin = request.headers.get("Origin")
    return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"} if origin else {}


async def _call(directory: Directory, route: Route, request: web.Request) -> Call:
    owner = _owner(request)
    if route.access is Access.OWNER and not owner:
        raise Refused("Request had invalid authentication credentials.", 401, "UNAUTHENTICATED")
    if route.access is Access.KEY and not owner:
        _need_key(request)
    query = Body(dict(request.query))
    body = await _body(request) if request.method in _TYPES else query
    path = request.match_info
    if not owner and body.has("targetProjectId"):
        raise Refused(
            "INSUFFICIENT_PERMISSION : Only authenticated requests can specify target_project_id."
        )
    return Call(
        silo=_silo(directory, route, path, body),
        body=body,
        query=query,
        path=path,
        owner=owner,
        origin=f"http://{request.host}",
        accepts=request.headers.get("Accept", ""),
    )


async def _body(request: web.Request) -> Body:
    if request.content_type == "application/x-www-form-urlencoded":
        return Body({k: v for k, v in (await request.post()).items() if isinstance(v, str)})
    try:
        text = await request.text()
        fields = json.loads(text) if text else {}
        if "\\u" in text:  # halves of surrogate pairs are no text, as protocol buffers have it
            json.dumps(fields, ensure_ascii=False).encode()
    except (ValueError, RecursionError, LookupError):
        fields = None
    if not isinstance(fields, dict):
        raise Refused("Invalid JSON payload received.", status="INVALID_ARGUMENT")
    return Body(fields)


def _owner(request: web.Request) -> bool:
    """Whether an administrator calls: `Bearer owner`, which official SDKs send to emulators.

    A Google access token (`ya29.`), as tools that know no emulator send, counts as well: nothing
    here could check it, and `owner` is no secret either.
    """
    header = request.headers.get("Authorization", "")
    if not header.lower().startswith("bearer "):
        return False
    token = header[len("bearer ") :].strip()
    if token.lower() != "owner" and not token.startswith("ya29."):
        raise Refused("Request had invalid authentication credentials.", 401, "UNAUTHENTICATED")
    return True


def _need_key(request: web.Request) -> None:
    if not request.query.get("key") and not request.headers.get("X-Goog-Api-Key"):
        raise Refused("The request is missing a valid API key.", 403, "PERMISSION_DENIED")


def _silo(directory: Directory, route: Route, path: Mapping[str, str], body: Body) -> Silo:
    """The accounts a request concerns: by its path, its body, or the tenant its token names."""
    project = path.get("project") or body.text("targetProjectId") or directory.ground.project
    named = body.text("tenantId")
    tenant = path.get("tenant") or named
    if named and named != tenant:
        raise Refused("TENANT_ID_MISMATCH")
    if not route.path.startswith(V2) or "accounts" in route.path:
        token = body.text("idToken") if body.has("idToken") else ""
        own = directory.sessions.tenant_named(token)
        if own and tenant and own != tenant:
            raise Refused("TENANT_ID_MISMATCH")
        tenant = tenant or own
    return directory.silo(project, tenant)
