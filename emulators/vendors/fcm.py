"""Firebase Cloud Messaging's HTTP v1 send, as its REST reference documents it.

A device is addressed by `fid` (Firebase installation ID) or by the older registration `token`; the
start of either decides. Any bearer token that is not empty is good.

| fid or token starts with | what happens |
|---|---|
| unregistered | 404 UNREGISTERED: the app is gone, forget the device |
| invalid | 400 INVALID_ARGUMENT |
| mismatch | 403 SENDER_ID_MISMATCH |
| quota | 429 QUOTA_EXCEEDED with Retry-After |
| unavailable | 503 UNAVAILABLE |
| internal | 500 INTERNAL |
| anything else | accepted |

FCM reports nothing back, so there are no webhooks. What was accepted is in the in-box.
"""

import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from emulators.engine import Ground, HttpServer
from emulators.vendors import outages
from emulators.vendors.inbox import Inbox

PAYLOAD_MOST = 4096
"""Bytes of notification and data together (2048 for topics)."""
_TARGETS = ("fid", "token", "topic", "condition")
_ERROR_TYPE = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_VIOLATION_TYPE = "type.googleapis.com/google.rpc.BadRequest"


@dataclass(eq=False)
class Refusal(Exception):
    """An error as google.rpc has it, with FCM's own code among the details.

    https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode
    """

    code: int
    status: str
    message: str
    error_code: str = ""
    field: str = ""

    def response(self) -> web.Response:
        details: list[dict[str, Any]] = []
        if self.error_code:
            details.append({"@type": _ERROR_TYPE, "errorCode": self.error_code})
        if self.field:
            violations = [{"field": self.field, "description": self.message}]
            details.append({"@type": _VIOLATION_TYPE, "fieldViolations": violations})
        error = {"code": self.code, "message": self.message, "status": self.status}
        headers = {"Retry-After": "60"} if self.code in (429, 503) else {}
        return web.json_response(
            {"error": error | ({"details": details} if details else {})},
            status=self.code,
            headers=headers,
        )


MAGIC: dict[str, tuple[int, str, str, str, str]] = {
    "unregistered": (404, "NOT_FOUND", "Requested entity was not found.", "UNREGISTERED", ""),
    "invalid": (
        400,
        "INVALID_ARGUMENT",
        "The registration token is not a valid FCM registration token",
        "INVALID_ARGUMENT",
        "message.token",
    ),
    "mismatch": (403, "PERMISSION_DENIED", "SenderId mismatch", "SENDER_ID_MISMATCH", ""),
    "quota": (429, "RESOURCE_EXHAUSTED", "Quota exceeded.", "QUOTA_EXCEEDED", ""),
    "unavailable": (503, "UNAVAILABLE", "The service is currently unavailable.", "UNAVAILABLE", ""),
    "internal": (500, "INTERNAL", "Internal error encountered.", "INTERNAL", ""),
}


class Fcm:
    """The fake. What it accepted is durable in its in-box."""

    name = "fcm"

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._server = HttpServer(ground, self.name)
        ground.faults.refusals[self.name] = outages.fcm
        self._journal = ground.journal(self.name)
        self.inbox = Inbox(ground, self.name, self._journal)
        self._next = int(dict(self._journal.items("next")).get("next", 1))

    async def start(self, port: int = 0) -> int:
        return await self._server.start(
            [web.post("/v1/projects/{project}/messages:send", self._send)], port
        )

    async def stop(self) -> None:
        await self._server.stop()
        self._journal.close()

    def describe(self) -> dict[str, Any]:
        return {"accepted": self._next - 1, "inbox": self.inbox.describe()}

    async def _send(self, request: web.Request) -> web.Response:
        project = request.match_info["project"]
        try:
            _authenticate(request)
            given = _parse(await request.read())
            message = _check(given)
        except Refusal as refusal:
            return refusal.response()
        if given.get("validate_only") or given.get("validateOnly"):
            return web.json_response({"name": f"projects/{project}/messages/fake_message_id"})
        name = f"projects/{project}/messages/0:{self._next:016d}"
        target = next(kind for kind in _TARGETS if message.get(kind))
        notification = message.get("notification") or {}
        with self._journal.batch():
            self._next += 1
            self._journal.put("next", str(self._next).encode())
            self.inbox.add(
                "push", message[target], str(notification.get("title", "")), message, name
            )
        return web.json_response({"name": name})


def _authenticate(request: web.Request) -> None:
    scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not credential.strip():
        text = "Request is missing required authentication credential."
        raise Refusal(401, "UNAUTHENTICATED", text)


def _invalid(field: str, text: str) -> Refusal:
    return Refusal(400, "INVALID_ARGUMENT", text, "INVALID_ARGUMENT", field)


def _parse(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body)
    except ValueError:
        raise Refusal(400, "INVALID_ARGUMENT", "Invalid JSON payload received.") from None
    if not isinstance(given, dict) or not isinstance(given.get("message"), dict):
        raise _invalid("message", "A message is required.")
    return given


def _check(given: dict[str, Any]) -> dict[str, Any]:
    """The message, once its target, its data and its size are as FCM wants them."""
    message: dict[str, Any] = given["message"]
    targets = [kind for kind in _TARGETS if message.get(kind)]
    if len(targets) != 1 or not isinstance(message[targets[0]], str):
        raise _invalid("message", "Exactly one of fid, token, topic or condition is required.")
    data, notification = message.get("data") or {}, message.get("notification") or {}
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
        raise _invalid("message.data", "Data must be a map of strings.")
    for key in data:
        if key in ("from", "message_type") or key.startswith(("google.", "gcm.")):
            raise _invalid("message.data", f"Invalid data payload key: {key}")
    if not isinstance(notification, dict):
        raise _invalid("message.notification", "A notification must be an object.")
    size = len(json.dumps([data, notification], ensure_ascii=False).encode())
    if size > (PAYLOAD_MOST // 2 if targets == ["topic"] else PAYLOAD_MOST):
        raise _invalid("message", "Message is too big.")
    device = message[targets[0]] if targets[0] in ("fid", "token") else ""
    for start, refusal in MAGIC.items():
        if device.startswith(start):
            raise Refusal(*refusal)
    return message
