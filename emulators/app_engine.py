"""App Engine targets of Cloud Tasks and Cloud Scheduler.

There is no App Engine in the local cloud. Such targets are accepted and shown as the services show
them. Their requests go to the address in the setting or environment variable
`APP_ENGINE_EMULATOR_HOST` (`127.0.0.1:8081`, by http unless it says otherwise), with the routed
host in the Host header; without one every attempt fails with NOT_FOUND.

Source: AppEngineHttpRequest and AppEngineRouting of
https://cloud.google.com/tasks/docs/reference/rpc/google.cloud.tasks.v2, AppEngineHttpTarget of
https://cloud.google.com/scheduler/docs/reference/rpc/google.cloud.scheduler.v1.
"""

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import grpc
from google.cloud.tasks_v2 import HttpMethod

from emulators.api.refusals import invalid
from emulators.engine import Ground
from emulators.http_target import (
    URL_LENGTH,
    Call,
    Reply,
    check_headers,
    dispatch,
    method_of,
    sendable,
)

ADDRESS = "APP_ENGINE_EMULATOR_HOST"
DEADLINES = (timedelta(seconds=15), timedelta(hours=24, seconds=15))
DEFAULT_DEADLINE = timedelta(minutes=10)
"""That of a standard app with automatic scaling."""
AGENT = "AppEngine-Google; (+http://code.google.com/appengine)"


def complete(target: Any, resource: str) -> None:
    """Check a target of the task, queue or job `resource` and fill in what the services show."""
    target.relative_uri = target.relative_uri or "/"
    if not target.relative_uri.startswith("/") or " " in target.relative_uri:
        raise invalid("The relative URI must begin with a slash and have no spaces.")
    if len(target.relative_uri) > URL_LENGTH:
        raise invalid(f"The relative URI is longer than {URL_LENGTH} characters.")
    target.http_method = method_of(target.http_method)
    if target.body and target.http_method not in (HttpMethod.POST, HttpMethod.PUT):
        raise invalid("A body is allowed only with the methods POST and PUT.")
    check_headers(target.headers)
    own = [name for name in target.headers if name.lower() == "user-agent"]
    mine = target.headers.pop(own[0]) if own else ""
    target.headers["User-Agent"] = mine if mine.endswith(AGENT) else f"{mine} {AGENT}".strip()
    if target.body:
        if not any(name.lower() == "content-type" for name in target.headers):
            target.headers["Content-Type"] = "application/octet-stream"
        target.headers["Content-Length"] = str(len(target.body))
    route(target.app_engine_routing, resource)


def route(routing: Any, resource: str) -> None:
    """Set a routing's output-only host: [instance.][version.][service.]PROJECT.appspot.com."""
    project = resource.split("/")[1]
    parts = [routing.instance, routing.version, routing.service, f"{project}.appspot.com"]
    routing.host = ".".join(part for part in parts if part)


async def send(
    ground: Ground, target: Any, routing: Any, own_headers: Mapping[str, str], deadline: timedelta
) -> Reply:
    """Send the request once. Redirects are not followed."""
    base = ground.settings.get(ADDRESS) or os.environ.get(ADDRESS)
    if not base:
        return Reply(None, grpc.StatusCode.NOT_FOUND, f"No App Engine: {ADDRESS} is not set.")
    agent = {"User-Agent": target.headers.get("User-Agent", AGENT), "Host": routing.host}
    headers = dict(sendable(target.headers)) | agent | dict(own_headers)
    method = HttpMethod(target.http_method or HttpMethod.POST).name
    base = base if "://" in base else f"http://{base}"
    url = base.rstrip("/") + target.relative_uri
    return await dispatch(ground, Call(method, url, headers, target.body, False), deadline)
