"""The one place that turns what went wrong into an HTTP answer (problem+json, RFC 9457)."""

from collections.abc import Iterable
from typing import Any

from flask import Flask, Response, json
from werkzeug.exceptions import HTTPException

from shared.kernel import errors
from shared.platform.telemetry import log
from shared.runtime import parking

_STATUS: dict[type[errors.DomainError], int] = {
    errors.Invalid: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.RuleViolated: 422,
    errors.TooMany: 429,
}
_TITLES = {
    400: "The request is not valid",
    401: "Sign in first",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "The request is too large",
    415: "Unsupported media type",
    422: "Not possible now",
    429: "Too many requests",
    500: "Something went wrong on our side",
    503: "Try again later",
}


def problem(status: int, code: str, detail: str, **more: Any) -> Response:
    """A problem document; its type is `urn:clinicloop:problem:<code>`, which stays stable."""
    body = {
        "type": f"urn:clinicloop:problem:{code}",
        "title": _TITLES.get(status, "The request failed"),
        "status": status,
        "detail": detail,
    }
    return Response(json.dumps(body | more), status=status, content_type="application/problem+json")


def of_domain_error(error: errors.DomainError) -> Response:
    status = next(code for kind, code in _STATUS.items() if isinstance(error, kind))
    response = problem(status, error.code, error.detail)
    if isinstance(error, errors.TooMany):
        response.headers["Retry-After"] = str(error.retry_after)
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def of_validation(found: Iterable[Any]) -> Response:
    """400 with the places and kinds of what is wrong; the values given are never repeated."""
    places = [
        {"field": ".".join(str(part) for part in one["loc"]), "problem": _words(one)}
        for one in found
    ]
    detail = "Correct the fields named in `errors` and send the request again."
    return problem(400, "invalid-request", detail, errors=places)


def _words(one: Any) -> str:
    """Pydantic's message, unless it was made by one of our validators from a value."""
    return "Value error" if one["type"] == "value_error" and "ctx" not in one else str(one["msg"])


def of_http_exception(error: HTTPException) -> Response:
    """What Flask itself refuses: unknown paths, methods, oversize or unreadable bodies."""
    status = error.code or 500
    code = (error.name or "error").lower().replace(" ", "-")
    response = problem(status, code, error.description or "")
    for name, value in error.get_headers():
        if name.lower() in ("allow", "retry-after"):
            response.headers[name] = value
    return response


def try_again() -> Response:
    """503 for what passes by itself."""
    response = problem(503, "try-again", "It did not work just now; send the request again.")
    response.headers["Retry-After"] = "1"
    return response


def of_anything(error: Exception) -> Response:
    """503 for what passes by itself, else 500 without a word about the cause: the log has it."""
    if parking.passes(error):
        log.warning("will_retry", error=type(error).__name__)
        return try_again()
    log.error("unhandled", failure=error)
    return problem(500, "internal", "The failure was recorded; try again later.")


def install(app: Flask) -> None:
    """Let every error of `app` leave as a problem document."""
    app.register_error_handler(errors.DomainError, of_domain_error)
    app.register_error_handler(HTTPException, of_http_exception)
    app.register_error_handler(Exception, of_anything)
