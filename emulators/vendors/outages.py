"""How each vendor words its two general refusals: too many requests (429) and a failure (500).

The forms are those of the vendors' references, so that their SDKs raise what they do in production.
"""

from typing import Any

from aiohttp import web

_RETRY = {"Retry-After": "1"}


def _answer(status: int, body: Any, headers: dict[str, str] | None = None) -> web.Response:
    known = headers if status == 429 else None
    return web.json_response(body, status=status, headers=known)


def chargebee(status: int) -> web.Response:
    """https://apidocs.chargebee.com/docs/api/error-handling"""
    code, message = {
        429: (
            "api_request_limit_exceeded",
            "Sorry, access has been blocked temporarily due to request count exceeding limits.",
        ),
        500: ("internal_error", "Sorry, something went wrong."),
    }[status]
    body = {
        "message": message,
        "type": "operation_failed",
        "api_error_code": code,
        "error_code": code,
        "error_msg": message,
        "http_status_code": status,
    }
    return _answer(status, body, _RETRY)


def twilio(status: int) -> web.Response:
    """https://www.twilio.com/docs/usage/twilios-response#response-formats-exceptions"""
    code, message = {
        429: (20429, "Too Many Requests"),
        500: (20500, "Internal Server Error"),
    }[status]
    body = {
        "code": code,
        "message": message,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    return _answer(status, body, _RETRY)


def sendgrid(status: int) -> web.Response:
    """https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/rate-limits"""
    message = {429: "too many requests", 500: "internal server error"}[status]
    limits = {"X-RateLimit-Limit": "150", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}
    return _answer(status, {"errors": [{"field": None, "message": message}]}, limits)


def zendesk(status: int) -> web.Response:
    """https://developer.zendesk.com/api-reference/introduction/rate-limits

    The text of a 429 is plain; a 500 has the usual JSON.
    """
    if status == 429:
        text = "Number of allowed API requests per minute exceeded"
        limits = {"X-Rate-Limit": "700", "X-Rate-Limit-Remaining": "0"}
        return web.Response(text=text, status=status, headers=_RETRY | limits)
    return _answer(status, {"error": "InternalServerError", "description": "Please try again."})


def iterable(status: int) -> web.Response:
    """https://api.iterable.com/api/docs: `{"msg", "code", "params"}`, but a 429 is plain text."""
    if status == 429:
        text = "Rate limit exceeded. Please try again later."
        return web.Response(text=text, status=status, headers=_RETRY)
    body = {"msg": "An error occurred. Please try again.", "code": "GenericError", "params": None}
    return _answer(status, body)


def fcm(status: int) -> web.Response:
    """https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode"""
    name, code, message = {
        429: ("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "Quota exceeded for sending messages."),
        500: ("INTERNAL", "INTERNAL", "Internal error encountered."),
    }[status]
    kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
    error = {"code": status, "message": message, "status": name}
    details = [{"@type": kind, "errorCode": code}]
    return _answer(status, {"error": error | {"details": details}}, _RETRY)
