"""What Cloud Tasks accepts, its defaults and its retry arithmetic.

Sources: https://cloud.google.com/tasks/docs/reference/rpc/google.cloud.tasks.v2 and
https://cloud.google.com/tasks/docs/quotas. Messages of refusals, and the limit on a task's size
where the two sources differ, are those recorded from the service in the conformance tests of
https://github.com/aertje/cloud-tasks-emulator.
"""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from emulators import app_engine
from emulators.api.refusals import invalid
from emulators.api.times import check_timestamp, span, stamp
from emulators.clock import micros
from emulators.http_target import (
    HTTP_DEADLINES,
    check_headers,
    complete_target,
    deadline_within,
    method_of,
)
from emulators.tasks.calls import overridden_url

HORIZON = timedelta(hours=720)
"""How far ahead a task may be scheduled."""
RETENTION = timedelta(days=31)
"""How long a task lives at most, from its creation."""
NAME_REST = timedelta(hours=24)
"""How long a task's name stays taken after the task was executed or deleted.

The service says up to 24 hours; what waits that long works there too.
"""
QUEUE_REST = timedelta(days=3)
"""How long a deleted queue's name stays taken."""
USER_AGENT = "Google-Cloud-Tasks"
DEFAULT_DEADLINE = timedelta(minutes=10)
_TASK_BYTES = (1 << 20) - 7
"""Of a task as it is stored, defaults filled in."""
_MOST_BURST = 100
_RETRY_DURATIONS = {
    "max_retry_duration": "maxRetryDuration",
    "min_backoff": "minBackoff",
    "max_backoff": "maxBackoff",
}
_MOST_PORT = 65535

_LOCATION = re.compile(r"projects/[A-Za-z0-9:.\-]+/locations/[A-Za-z0-9\-]+")
_QUEUE = re.compile(_LOCATION.pattern + r"/queues/[A-Za-z0-9\-]{1,100}")
_TASK = re.compile(_QUEUE.pattern + r"/tasks/(.+)")
_TASK_ID = re.compile(r"[A-Za-z0-9_\-]{1,500}")
_FORM = "projects/<PROJECT_ID>/locations/<LOCATION_ID>"


def check_location(name: str) -> None:
    if not _LOCATION.fullmatch(name):
        raise invalid("Invalid resource field value in the request.")


def check_queue_name(name: str) -> None:
    if not _QUEUE.fullmatch(name):
        raise invalid(f'Queue name must be formatted: "{_FORM}/queues/<QUEUE_ID>".')


def check_task_name(name: str) -> None:
    parts = _TASK.fullmatch(name)
    if parts is None:
        raise invalid(f'Task name must be formatted: "{_FORM}/queues/<QUEUE_ID>/tasks/<TASK_ID>"')
    if not _TASK_ID.fullmatch(parts[1]):
        raise invalid(
            f'Task ID "{parts[1]}" can contain only letters ([A-Za-z]), numbers ([0-9]), hyphens'
            " (-), or underscores (_). Task ID must between 1 and 500 characters."
        )


def location_of(name: str) -> str:
    return name.partition("/queues/")[0]


def queue_of(task_name: str) -> str:
    return task_name.partition("/tasks/")[0]


def complete_queue(queue: Any) -> None:
    """Check a queue's settings and fill in the defaults of what is unset."""
    limits = queue.rate_limits
    _check_limit("maxDispatchesPerSecond", limits.max_dispatches_per_second, 500)
    _check_limit("maxConcurrentDispatches", limits.max_concurrent_dispatches, 5000)
    limits.max_dispatches_per_second = limits.max_dispatches_per_second or 500
    limits.max_concurrent_dispatches = limits.max_concurrent_dispatches or 1000
    # The service chooses the burst: about the rate, and 100 at the default rate.
    burst = math.ceil(limits.max_dispatches_per_second)
    limits.max_burst_size = min(burst, _MOST_BURST)
    complete_retry(queue.retry_config)
    if not 0 <= queue.stackdriver_logging_config.sampling_ratio <= 1:
        raise invalid("StackdriverLoggingConfig.sampling_ratio must be between 0.0 and 1.0.")
    if queue.HasField("http_target"):
        _check_queue_target(queue.http_target)
    if queue.HasField("app_engine_routing_override"):
        app_engine.route(queue.app_engine_routing_override, queue.name)


def _check_limit(name: str, value: float, most: int) -> None:
    if value < 0:
        raise invalid(f"RateLimits.{name} cannot be negative.")
    if not value <= most:
        raise invalid(f"RateLimits.{name} must be less than or equal to {most}.")


def _check_queue_target(target: Any) -> None:
    method_of(target.http_method)
    check_headers({each.header.key: each.header.value for each in target.header_overrides})
    for token, second in (("oidc_token", "audience"), ("oauth_token", "scope")):
        if not target.HasField(token):
            continue
        message = getattr(target, token)
        if not message.service_account_email or not getattr(message, second):
            raise invalid(f"HttpTarget.{token} needs a service_account_email and {second}.")
    uri = target.uri_override
    if uri.HasField("host") and not re.fullmatch(r"[A-Za-z0-9.\-]+|\[[0-9A-Fa-f:]+\]", uri.host):
        raise invalid("UriOverride.host must be a host name.")
    if not 0 <= uri.port <= _MOST_PORT:
        raise invalid("UriOverride.port must be a port number.")
    if uri.scheme not in (0, 1, 2) or uri.uri_override_enforce_mode not in (0, 1, 2):
        raise invalid("UriOverride has an unknown scheme or mode.")
    try:
        overridden_url("http://example.com/", uri)
    except ValueError as error:
        raise invalid(f"UriOverride makes no URL: {error}.") from None


def complete_retry(retry: Any) -> None:
    """Check a retry configuration and fill in the defaults of what is unset.

    Whole seconds are kept of durations, as documented; the documented default of 0.1 s shows that
    backoffs under a second are kept as they are.
    """
    if retry.max_attempts < -1:
        raise invalid("RetryConfig.maxAttempts must be greater or equal to -1.")
    if retry.max_doublings < 0:
        raise invalid("RetryConfig.maxDoublings cannot be negative.")
    for field, name in _RETRY_DURATIONS.items():
        duration = getattr(retry, field)
        value = span(duration, f"RetryConfig.{name}")
        if value > timedelta(seconds=1):
            duration.FromSeconds(int(value.total_seconds()))
    retry.max_attempts = retry.max_attempts or 100
    retry.max_doublings = retry.max_doublings or 16
    if not retry.min_backoff.ToTimedelta():
        retry.min_backoff.FromMilliseconds(100)
    least = retry.min_backoff.ToTimedelta()
    if not retry.max_backoff.ToTimedelta():
        retry.max_backoff.FromTimedelta(max(timedelta(hours=1), least))
    if retry.max_backoff.ToTimedelta() < least:
        raise invalid(
            "RetryConfig.minBackoff must be less than or equal to RetryConfig.maxBackoff."
        )


def complete_task(task: Any, now: datetime) -> None:
    """Check a new task and fill in the defaults of what is unset."""
    kind = task.WhichOneof("message_type")
    if kind is None:
        raise invalid("Task.message_type is required: an http_request or app_engine_http_request.")
    if kind == "http_request":
        complete_target(task.http_request, task.http_request.url, USER_AGENT)
        bounds, default = HTTP_DEADLINES, DEFAULT_DEADLINE
    else:
        app_engine.complete(task.app_engine_http_request, task.name)
        bounds, default = app_engine.DEADLINES, app_engine.DEFAULT_DEADLINE
    deadline = deadline_within(task.dispatch_deadline, bounds, default, "Task.dispatchDeadline")
    task.dispatch_deadline.FromTimedelta(deadline)
    if task.HasField("retry_config"):
        complete_retry(task.retry_config)
    _complete_times(task, now)
    if task.ByteSize() > _TASK_BYTES:
        raise invalid("Task size too large")


def _complete_times(task: Any, now: datetime) -> None:
    check_timestamp(task.schedule_time, "Task.scheduleTime")
    scheduled = task.schedule_time.ToMicroseconds()
    if scheduled > micros(now + HORIZON):
        raise invalid(
            f"The Task.scheduleTime, {task.schedule_time.ToJsonString()}, is too far in the future."
            " Schedule time must be no more than 720h in the future."
        )
    task.schedule_time.FromMicroseconds(max(scheduled, micros(now)))
    stamp(task.create_time, now.replace(microsecond=0))


def expiry(task: Any) -> datetime:
    """When a task is deleted, dispatched or not."""
    created: datetime = task.create_time.ToDatetime(UTC)
    return created + RETENTION


def is_exhausted(retry: Any, attempts: int, since_first: timedelta) -> bool:
    """Whether a failed task is given up.

    Where both `max_attempts` and `max_retry_duration` are limited, both must be reached.
    """
    duration = retry.max_retry_duration.ToTimedelta()
    limits = []
    if retry.max_attempts > 0:
        limits.append(attempts >= retry.max_attempts)
    if duration:
        limits.append(since_first >= duration)
    return bool(limits) and all(limits)
