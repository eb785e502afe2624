"""HTTP targets of Cloud Tasks and Cloud Scheduler: one request, its token and its deadline.

Both services describe a target by the same fields (`http_method`, `headers`, `body`, `oidc_token`,
`oauth_token`); only the address is named differently. The rules are those of the two references,
https://cloud.google.com/tasks/docs/reference/rpc/google.cloud.tasks.v2 (HttpRequest) and
https://cloud.google.com/scheduler/docs/reference/rpc/google.cloud.scheduler.v1 (HttpTarget).
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import aiohttp
import grpc
from google.cloud.tasks_v2 import HttpMethod
from yarl import URL

from emulators.api.refusals import invalid
from emulators.api.times import span
from emulators.engine import Ground

CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
HTTP_DEADLINES = (timedelta(seconds=15), timedelta(minutes=30))
STALL_SECONDS = 25.0
"""Real seconds for which an attempt may hold up virtual time; see `dispatch`."""
SILENT_SECONDS = 5.0
"""The same for a target that did so the last time."""
URL_LENGTH = 2083
_HEADER_BYTES = 80 << 10
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_WITH_BODY = {HttpMethod.POST, HttpMethod.PUT, HttpMethod.PATCH}
_REPLACED = {"host", "content-length", "user-agent", "connection", "transfer-encoding"}
_REPLACED_PREFIXES = ("x-google-", "x-appengine-", "x-cloudtasks-", "x-cloudscheduler")
_LOOK_SECONDS = 0.5

# https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto names the HTTP status
# of each code; the reverse is unique but for 400, 409 and 500.
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.ABORTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    499: grpc.StatusCode.CANCELLED,
    500: grpc.StatusCode.INTERNAL,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


@dataclass(frozen=True)
class Call:
    """An HTTP request ready to be sent."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    follows_redirects: bool = True


@dataclass(frozen=True)
class Reply:
    """How an attempt ended: an HTTP status, or None when no response came in time."""

    status: int | None
    code: grpc.StatusCode
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def status_code(self) -> int:
        """The `google.rpc.Code` that the services report for this attempt."""
        code: int = self.code.value[0]
        return code

    @property
    def ok(self) -> bool:
        return self.code is grpc.StatusCode.OK


def complete_target(target: Any, url: str, user_agent: str) -> None:
    """Check a target and fill in what the services show of one: its method and User-Agent."""
    check_url(url)
    target.http_method = method_of(target.http_method)
    if target.body and target.http_method not in _WITH_BODY:
        raise invalid("A body is allowed only with the methods POST, PUT and PATCH.")
    check_headers(target.headers)
    for token in ("oidc_token", "oauth_token"):
        if target.HasField(token) and not getattr(target, token).service_account_email:
            raise invalid(f"{token}.service_account_email is required.")
    for name in [name for name in target.headers if name.lower() == "user-agent"]:
        del target.headers[name]
    target.headers["User-Agent"] = user_agent


def check_url(url: str) -> None:
    """Refuse a URL that is not http or https, has no host, or is too long when it is encoded."""
    if not url:
        raise invalid("HttpRequest.url is required.")
    if not url.startswith(("http://", "https://")):
        raise invalid("HttpTarget.url must start with 'http://' or 'https://'.")
    try:
        encoded = URL(url)
        host, length = encoded.host, len(str(encoded))
    except (ValueError, TypeError):
        host, length = None, 0
    if not host:
        raise invalid(f'The URL "{url}" is not valid.')
    if length > URL_LENGTH:
        raise invalid(f"The URL is longer than {URL_LENGTH} characters.")


def method_of(number: int) -> HttpMethod:
    """The method, POST by default."""
    try:
        return HttpMethod(number or HttpMethod.POST)
    except ValueError:
        raise invalid(f"{number} is no HTTP method.") from None


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse headers that HTTP cannot carry, and 80 KB or more of them."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise invalid(f'The header "{name}" is not valid.')
    if sum(len(k.encode()) + len(v.encode()) for k, v in headers.items()) >= _HEADER_BYTES:
        raise invalid("The headers must be smaller than 80KB.")


def deadline_within(
    deadline: Any, bounds: tuple[timedelta, timedelta], default: timedelta, name: str
) -> timedelta:
    """The value of a protobuf Duration in milliseconds; zero stands for the default."""
    value = span(deadline, name)
    value -= value % timedelta(milliseconds=1)
    if value and not bounds[0] <= value <= bounds[1]:
        ends = ", ".join(_brief(bound) for bound in bounds)
        raise invalid(f"{name} must be between [{ends}].")
    return value or default


def _brief(bound: timedelta) -> str:
    """A duration as the services write it: 15s, 30m, 24h15s."""
    hours, rest = divmod(int(bound.total_seconds()), 3600)
    parts = ((hours, "h"), (rest // 60, "m"), (rest % 60, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number)


def backoff(least: timedelta, most: timedelta, doublings: int, failures: int) -> timedelta:
    """How long to wait after the `failures`-th failed attempt (1 is the first).

    `least`, doubled `doublings` times, then growing by the last step, up to `most`: 10s, 300s and
    3 doublings give 10, 20, 40, 80, 160, 240, 300, 300.
    """
    doubled = 2.0 ** min(failures - 1, doublings, 64)
    steps = max(failures - doublings, 1)
    seconds = least.total_seconds() * doubled * steps
    return timedelta(seconds=seconds) if seconds < most.total_seconds() else most


def call_of(ground: Ground, target: Any, url: str, own_headers: Mapping[str, str]) -> Call:
    """The request for a target; `own_headers` (the service's X- headers) win over its own."""
    headers = dict(sendable(target.headers))
    if authorization := _authorization(ground, target, url):
        headers = {k: v for k, v in headers.items() if k.lower() != "authorization"}
        headers["Authorization"] = authorization
    method = HttpMethod(target.http_method or HttpMethod.POST).name
    agent = {"User-Agent": target.headers.get("User-Agent", "Google-Cloud-Tasks")}
    return Call(method, url, headers | agent | dict(own_headers), target.body)


def sendable(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The headers without those that the services compute or keep for themselves."""
    return {
        name: value
        for name, value in headers.items()
        if name.lower() not in _REPLACED and not name.lower().startswith(_REPLACED_PREFIXES)
    }


async def dispatch(ground: Ground, call: Call, deadline: timedelta) -> Reply:
    """Send the request once and wait for its reply, at most `deadline` of real time.

    While the clock stands still for others to settle, an attempt that stays silent would hold up
    all of virtual time. After `STALL_SECONDS` of that it has met its deadline, as it would have if
    time had gone on.
    """
    try:
        target = str(URL(call.url).origin())
    except ValueError:
        return Reply(None, grpc.StatusCode.INVALID_ARGUMENT, f'"{call.url}" is no URL.')
    patience = min(STALL_SECONDS, SILENT_SECONDS) if target in ground.silent else STALL_SECONDS
    attempt = asyncio.create_task(_send(ground, call, deadline))
    try:
        held_up = 0.0
        while not attempt.done() and held_up < patience:
            look = min(_LOOK_SECONDS, patience)
            _, pending = await asyncio.wait({attempt}, timeout=look)
            held_up = held_up + look if pending and ground.clock.frozen else 0.0
        if not attempt.done():
            ground.silent.add(target)
            return _too_late()
        ground.silent.discard(target)
        return attempt.result()
    finally:
        attempt.cancel()


async def _send(ground: Ground, call: Call, deadline: timedelta) -> Reply:
    try:
        async with ground.session.request(
            call.method,
            call.url,
            data=call.body or None,
            headers=call.headers,
            skip_auto_headers=("Content-Type",),
            allow_redirects=call.follows_redirects,
            timeout=aiohttp.ClientTimeout(total=deadline.total_seconds()),
        ) as response:
            await response.read()
            return _reply(response)
    except TimeoutError:
        return _too_late()
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return Reply(None, grpc.StatusCode.UNAVAILABLE, f"No response: {type(error).__name__}")


def _too_late() -> Reply:
    return Reply(None, grpc.StatusCode.DEADLINE_EXCEEDED, "The deadline was exceeded.")


def _reply(response: aiohttp.ClientResponse) -> Reply:
    status = response.status
    if 200 <= status < 300:
        return Reply(status, grpc.StatusCode.OK, "", response.headers)
    code = _CODES.get(status, grpc.StatusCode.UNKNOWN)
    message = f"{code.name}({code.value[0]}): HTTP status code {status}"
    return Reply(status, code, message, response.headers)


def _authorization(ground: Ground, target: Any, url: str) -> str | None:
    if target.HasField("oidc_token"):
        oidc = target.oidc_token
        return f"Bearer {ground.tokens.oidc(oidc.service_account_email, oidc.audience or url)}"
    if target.HasField("oauth_token"):
        oauth = target.oauth_token
        claims = {"email": oauth.service_account_email, "scope": oauth.scope or CLOUD_PLATFORM}
        return f"Bearer {ground.tokens.sign(claims)}"
    return None
