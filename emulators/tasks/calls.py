"""What a task sends: its request, changed by its queue's target, with the headers of Cloud Tasks.

Sources: HttpTarget and UriOverride of
https://cloud.google.com/tasks/docs/reference/rpc/google.cloud.tasks.v2,
https://cloud.google.com/tasks/docs/creating-http-target-tasks#handler and
https://cloud.google.com/tasks/docs/creating-appengine-handlers for the headers.
"""

from collections.abc import Mapping
from typing import Any

from google.cloud.tasks_v2 import HttpMethod, HttpRequest, UriOverride
from yarl import URL

from emulators import app_engine
from emulators.engine import Ground
from emulators.http_target import Reply, call_of, dispatch

_Request: Any = HttpRequest.pb()
_Mode = UriOverride.UriOverrideEnforceMode
_Scheme = UriOverride.Scheme


async def send(ground: Ground, queue: Any, task: Any, facts: Mapping[str, str]) -> Reply:
    """Make one attempt; `facts` are the headers about it by their short names (`TaskName`)."""
    deadline = task.dispatch_deadline.ToTimedelta()
    if task.WhichOneof("message_type") == "app_engine_http_request":
        target = task.app_engine_http_request
        routing = target.app_engine_routing
        if queue.HasField("app_engine_routing_override"):
            routing = queue.app_engine_routing_override
        headers = {f"X-AppEngine-{name}": value for name, value in facts.items()}
        return await app_engine.send(ground, target, routing, headers, deadline)
    headers = {f"X-CloudTasks-{name}": value for name, value in facts.items()}
    request = task.http_request
    if queue.HasField("http_target"):
        request = overridden(request, queue.http_target)
    return await dispatch(ground, call_of(ground, request, request.url, headers), deadline)


def overridden(request: Any, target: Any) -> Any:
    """The request as the queue's HTTP target has it."""
    changed = _Request()
    changed.CopyFrom(request)
    if target.HasField("uri_override"):
        changed.url = overridden_url(request.url, target.uri_override)
    if target.http_method:
        changed.http_method = target.http_method
    if changed.http_method not in (HttpMethod.POST, HttpMethod.PUT, HttpMethod.PATCH):
        changed.body = b""
    for override in target.header_overrides:
        name = override.header.key
        for other in [other for other in changed.headers if other.lower() == name.lower()]:
            del changed.headers[other]
        changed.headers[name] = override.header.value
    for token in ("oauth_token", "oidc_token"):
        if target.HasField(token):
            getattr(changed, token).CopyFrom(getattr(target, token))
    return changed


def overridden_url(text: str, override: Any) -> str:
    """The URL as a queue's UriOverride has it. Raises ValueError where that makes none."""
    if override.uri_override_enforce_mode == _Mode.IF_NOT_EXISTS:
        return text  # a task made by CreateTask has a URL of its own
    url = URL(text)
    port = url.explicit_port
    if override.HasField("scheme"):
        url = url.with_scheme("http" if override.scheme == _Scheme.HTTP else "https")
    if override.HasField("host"):
        url = url.with_host(override.host.strip("[]"))
    if override.HasField("port"):
        port = override.port or None
    url = url.with_port(port)
    if override.HasField("path_override"):
        path = override.path_override.path
        url = url.with_path("/" + path.removeprefix("/"), keep_query=True)
    if override.HasField("query_override"):
        url = url.with_query(override.query_override.query_params.removeprefix("?"))
    return str(url)
