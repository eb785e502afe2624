"""HTTP targets of Cloud Tasks and Cloud Scheduler: one request, its token and its deadline.

Both services describe a target by the same fields (`http_method`, `headers`, `body`, `oidc_token`,
`oauth_token`); only the address is named differently. The rules are those of the two references,
https://cloud.google.com/tasks/docs/reference/rpc/google.cloud.tasks.v2 (HttpRequest) and
https://cloud.google.com/scheduler/docs/reference/rpc/google.cloud.scheduler.v1 (HttpTarget).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import aiohttp
import grpc
from google.cloud.tasks_v2 import HttpMethod
from yarl import URL

from emulators.engine import Ground
from emulators.unary import invalid

CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
_URL_LENGTH = 2083
_HEADER_BYTES = 80 << 10
_WITH_BODY = {HttpMethod.POST, HttpMethod.PUT, HttpMethod.PATCH}
_DEADLINES = (timedelta(seconds=15), timedelta(minutes=30))
_REPLACED = {"host", "content-length", "user-agent", "connection", "transfer-encoding"}
_REPLACED_PREFIXES = ("x-google-", "x-appengine-", "x-cloudtasks-", "x-cloudscheduler")

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


def check_target(target: Any, url: str) -> None:
    """Refuse a target with INVALID_ARGUMENT where the services do."""
    if not url.startswith(("http://", "https://")) or not URL(url).host:
        raise invalid(f'The URL "{url}" must begin with "http://" or "https://" and have a host.')
    if len(str(URL(url))) > _URL_LENGTH:
        raise invalid(f"The URL is longer than {_URL_LENGTH} characters.")
    if target.body and HttpMethod(target.http_method or HttpMethod.POST) not in _WITH_BODY:
        raise invalid("A body is allowed only with the methods POST, PUT and PATCH.")
    if sum(len(k.encode()) + len(v.encode()) for k, v in target.headers.items()) >= _HEADER_BYTES:
        raise invalid("The headers must be smaller than 80KB.")
    for token in ("oidc_token", "oauth_token"):
        if target.HasField(token) and not getattr(target, token).service_account_email:
            raise invalid(f"{token}.service_account_email is required.")


def check_deadline(deadline: timedelta) -> None:
    """Refuse a deadline outside [15 seconds, 30 minutes]; zero stands for the default."""
    if deadline and not _DEADLINES[0] <= deadline <= _DEADLINES[1]:
        raise invalid("The deadline must be between 15 seconds and 30 minutes.")


def backoff(least: Any, most: Any, doublings: int, failures: int) -> float:
    """Seconds to wait after the `failures`-th failed attempt (1 is the first).

    `least` (a protobuf Duration), doubled `doublings` times, then growing by the last step, up to
    `most`: 10s, 300s and 3 doublings give 10, 20, 40, 80, 160, 240, 300, 300.
    """
    doubled = 2.0 ** min(failures - 1, doublings, 64)
    steps = max(failures - doublings, 1)
    wait = least.ToTimedelta().total_seconds() * doubled * steps
    return min(float(wait), float(most.ToTimedelta().total_seconds()))


async def dispatch(
    ground: Ground, target: Any, url: str, own_headers: Mapping[str, str], deadline: timedelta
) -> Reply:
    """Send the request once and wait for its reply, at most `deadline` of real time.

    `own_headers` (User-Agent and the service's X- headers) win over those of the target. Redirects
    are followed and count as one attempt.
    """
    headers = {
        name: value
        for name, value in target.headers.items()
        if name.lower() not in _REPLACED and not name.lower().startswith(_REPLACED_PREFIXES)
    }
    if authorization := _authorization(ground, target, url):
        headers = {k: v for k, v in headers.items() if k.lower() != "authorization"}
        headers["Authorization"] = authorization
    try:
        async with ground.session.request(
            HttpMethod(target.http_method or HttpMethod.POST).name,
            url,
            data=target.body or None,
            headers={**headers, **own_headers},
            skip_auto_headers=("Content-Type",),
            timeout=aiohttp.ClientTimeout(total=deadline.total_seconds()),
        ) as response:
            await response.read()
            return _reply(response)
    except TimeoutError:
        return Reply(None, grpc.StatusCode.DEADLINE_EXCEEDED, "The deadline was exceeded.")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return Reply(None, grpc.StatusCode.UNAVAILABLE, f"No response: {type(error).__name__}")


def _reply(response: aiohttp.ClientResponse) -> Reply:
    status = response.status
    if 200 <= status < 300:
        return Reply(status, grpc.StatusCode.OK, "", response.headers)
    code = _CODES.get(status, grpc.StatusCode.UNKNOWN)
    return Reply(status, code, f"HTTP status code {status}", response.headers)


def _authorization(ground: Ground, target: Any, url: str) -> str | None:
    if target.HasField("oidc_token"):
        oidc = target.oidc_token
        return f"Bearer {ground.tokens.oidc(oidc.service_account_email, oidc.audience or url)}"
    if target.HasField("oauth_token"):
        oauth = target.oauth_token
        claims = {"email": oauth.service_account_email, "scope": oauth.scope or CLOUD_PLATFORM}
        return f"Bearer {ground.tokens.sign(claims)}"
    return None
