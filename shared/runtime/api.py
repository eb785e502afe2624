"""The HTTPS API for portals: token, permit, one transaction, one view.

A route is a plain function of (caller, work) and, by name, `path`, `query` and `body` (pydantic
models, which also make the OpenAPI document). Every route names its permission and lies under a
clinic: `/v1/clinics/<clinic_id>/...`.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, get_type_hints
from uuid import UUID

import uuid_utils
from flask import Flask, Response, g, make_response, request
from pydantic import ConfigDict, Field, ValidationError

from shared.kernel.errors import NotFound
from shared.kernel.ids import ClinicId
from shared.kernel.model import Model
from shared.platform import steps
from shared.platform.settings import Settings, load, refuse_emulators_in_production
from shared.platform.telemetry import traces
from shared.platform.unit_of_work import Cause
from shared.runtime import auth, problems, tracing
from shared.runtime.delivery import carried_out
from shared.runtime.openapi import Info, OpenAPI

LARGEST_BODY = 256 * 1024
_PREFIX = "/v1/clinics/<clinic_id>"
_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


class ClinicPath(Model):
    """Base of all `path` models: which clinic the request is about."""

    clinic_id: ClinicId


class Page(Model):
    """Base of all `query` models of lists: at most `limit` rows after the row named `after`."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=100, ge=1, le=1000)
    after: UUID | None = None

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """flask-openapi3 asks for it with every request; making it took a third of one's time."""
        return super().model_json_schema(*args, **kwargs) if args or kwargs else cls._own_schema()

    @classmethod
    @cache
    def _own_schema(cls) -> dict[str, Any]:
        return super().model_json_schema()


class Problem(Model):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] | None = None


class DocumentationSettings(Settings):
    """SERVE_OPENAPI lets an API make and serve its OpenAPI document; it slows its start."""

    serve_openapi: bool = False


Route = Callable[..., Any]


class Api:
    """The routes of one HTTPS function; `app` is the Flask application gunicorn serves."""

    def __init__(self, name: str, title: str) -> None:
        refuse_emulators_in_production()
        self.name = name
        self._permits: dict[str, str] = {}
        self._documented = load(DocumentationSettings).serve_openapi
        self.app: Flask = OpenAPI(
            name,
            info=Info(title=title, version="1"),
            validation_error_callback=_invalid,
            security_schemes={"token": {"type": "http", "scheme": "bearer"}},
            doc_ui=self._documented,
        )
        self.app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
        self.app.json.sort_keys = False  # type: ignore[attr-defined]
        problems.install(self.app)
        tracing.install(self.app, name)
        self.app.before_request(self._admit)
        self.app.after_request(_secure)
        self.app.after_request(steps.answered)
        self.app.add_url_rule("/healthz", "healthz", lambda: Response(status=200))

    def get(self, rule: str, *, permits: str) -> Callable[[Route], Route]:
        return self._route("get", rule, permits, 200)

    def post(self, rule: str, *, permits: str, status: int = 200) -> Callable[[Route], Route]:
        return self._route("post", rule, permits, status)

    def put(self, rule: str, *, permits: str) -> Callable[[Route], Route]:
        return self._route("put", rule, permits, 200)

    def patch(self, rule: str, *, permits: str) -> Callable[[Route], Route]:
        return self._route("patch", rule, permits, 200)

    def delete(self, rule: str, *, permits: str) -> Callable[[Route], Route]:
        return self._route("delete", rule, permits, 200)

    def _route(self, method: str, rule: str, permits: str, status: int) -> Callable[[Route], Route]:
        def declare(handle: Route) -> Route:
            hints = get_type_hints(handle)
            name = handle.__name__
            wanted = {part: hints[part] for part in ("path", "query", "body") if part in hints}

            def endpoint(**given: Any) -> Response:
                clinic = ClinicId(request.view_args["clinic_id"])  # type: ignore[index]
                asked = {part: given[part] for part in wanted}
                view = carried_out(
                    lambda work: handle(g.caller, work, **asked),
                    clinic,
                    self.name,
                    Cause(g.correlation_id),
                )
                body = view.model_dump_json() if view is not None else ""
                response = make_response(body, status if view is not None else 204)
                response.content_type = "application/json"
                return response

            endpoint.__name__ = name
            endpoint.__doc__ = handle.__doc__
            endpoint.__annotations__ = {"path": ClinicPath} | wanted
            self._permits[name] = permits
            responses: Any = {"4XX": _problem(), "5XX": _problem()} if self._documented else {}
            if (view := hints.get("return")) not in (None, type(None)):
                responses[status] = view
            add = getattr(self.app, method)
            add(
                _PREFIX + rule,
                responses=responses,
                security=[{"token": []}],
                doc_ui=self._documented,
            )(endpoint)
            return handle

        return declare

    def _admit(self) -> None:
        """Runs before anything of the request is read: who calls, and may they do this at all."""
        g.correlation_id = str(uuid_utils.uuid7())
        traces.correlate(g.correlation_id)
        permission = self._permits.get(request.endpoint or "")
        if permission is None:
            return
        g.caller = auth.caller(request.headers, _clinic(request.view_args))
        auth.require(g.caller, permission)


def _problem() -> dict[str, Any]:
    """How the OpenAPI document describes a refusal."""
    schema = Problem.model_json_schema()
    content = {"application/problem+json": {"schema": schema}}
    return {"description": "A problem (RFC 9457)", "content": content}


def _clinic(arguments: dict[str, Any] | None) -> ClinicId:
    try:
        return ClinicId((arguments or {})["clinic_id"])
    except ValueError:
        raise NotFound("not-found", "There is no such clinic.") from None


def _invalid(error: ValidationError) -> Response:
    return problems.of_validation(error.errors(include_url=False, include_input=False))


def _secure(response: Response) -> Response:
    for name, value in _SECURITY.items():
        response.headers.setdefault(name, value)
    if "correlation_id" in g:
        response.headers["X-Correlation-Id"] = g.correlation_id
    return response
