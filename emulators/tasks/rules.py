"""What Cloud Tasks accepts, its defaults and its retry arithmetic.

Sources: https://cloud.google.com/tasks/docs/reference/rpc/google.cloud.tasks.v2 and
https://cloud.google.com/tasks/docs/quotas.
"""

import math
import re
from datetime import datetime, timedelta
from typing import Any

from emulators.clock import micros
from emulators.http_target import check_deadline, check_target
from emulators.unary import invalid

HORIZON = timedelta(hours=720)
"""How far ahead a task may be scheduled."""
RETENTION = timedelta(days=31)
"""How long a task is retried at most, from its creation."""
NAME_REST = timedelta(hours=1)
"""How long a task's name stays taken after the task was executed or deleted."""
TASK_BYTES = 1 << 20
DEFAULT_DEADLINE = timedelta(minutes=10)

_PROJECT = r"projects/[A-Za-z0-9:.\-]+"
_LOCATION = re.compile(_PROJECT + r"/locations/[a-z0-9\-]+")
_QUEUE = re.compile(_LOCATION.pattern + r"/queues/[A-Za-z0-9\-]{1,100}")
_TASK = re.compile(_QUEUE.pattern + r"/tasks/[A-Za-z0-9_\-]{1,500}")
_MOST_BURST = 100


def check_location(name: str) -> None:
    _match(_LOCATION, name, "projects/PROJECT_ID/locations/LOCATION_ID")


def check_queue_name(name: str) -> None:
    _match(_QUEUE, name, "projects/PROJECT_ID/locations/LOCATION_ID/queues/QUEUE_ID")


def check_task_name(name: str) -> None:
    _match(_TASK, name, "projects/PROJECT_ID/locations/LOCATION_ID/queues/QUEUE_ID/tasks/TASK_ID")


def _match(pattern: re.Pattern[str], name: str, form: str) -> None:
    if not pattern.fullmatch(name):
        raise invalid(f'Invalid resource name "{name}". It must be of the form {form}.')


def queue_of(task_name: str) -> str:
    return task_name.partition("/tasks/")[0]


def complete_queue(queue: Any) -> None:
    """Check a queue's settings and fill in the defaults of what is unset."""
    limits, retry = queue.rate_limits, queue.retry_config
    if not 0 <= limits.max_dispatches_per_second <= 500:
        raise invalid("RateLimits.max_dispatches_per_second must be between 0 and 500.")
    if not 0 <= limits.max_concurrent_dispatches <= 5000:
        raise invalid("RateLimits.max_concurrent_dispatches must be between 0 and 5000.")
    limits.max_dispatches_per_second = limits.max_dispatches_per_second or 500
    limits.max_concurrent_dispatches = limits.max_concurrent_dispatches or 1000
    # The service chooses the burst: about the rate, and 100 at the default rate.
    burst = math.ceil(limits.max_dispatches_per_second)
    limits.max_burst_size = min(burst, _MOST_BURST)
    complete_retry(retry)


def complete_retry(retry: Any) -> None:
    """Check a retry configuration and fill in the defaults of what is unset."""
    if retry.max_attempts < -1:
        raise invalid("RetryConfig.max_attempts must be at least -1.")
    if retry.max_doublings < 0:
        raise invalid("RetryConfig.max_doublings must not be negative.")
    for name in ("max_retry_duration", "min_backoff", "max_backoff"):
        if getattr(retry, name).ToTimedelta() < timedelta():
            raise invalid(f"RetryConfig.{name} must not be negative.")
    retry.max_attempts = retry.max_attempts or 100
    retry.max_doublings = retry.max_doublings or 16
    if not retry.min_backoff.ToTimedelta():
        retry.min_backoff.FromMilliseconds(100)
    if not retry.max_backoff.ToTimedelta():
        retry.max_backoff.FromSeconds(max(3600, math.ceil(seconds(retry.min_backoff))))
    if seconds(retry.max_backoff) < seconds(retry.min_backoff):
        raise invalid("RetryConfig.max_backoff must not be smaller than min_backoff.")


def check_task(task: Any, now: datetime) -> None:
    """Refuse a task that the service would not take."""
    if task.ByteSize() > TASK_BYTES:
        raise invalid(f"Task size too large. The maximum is {TASK_BYTES} bytes.")
    if task.WhichOneof("message_type") != "http_request":
        raise invalid("The task must have an http_request; App Engine targets are not served.")
    check_target(task.http_request, task.http_request.url)
    check_deadline(task.dispatch_deadline.ToTimedelta())
    if task.schedule_time.ToMicroseconds() > micros(now + HORIZON):
        raise invalid(
            "The Task.schedule_time is too far in the future. It must be no more than 720 hours"
            " ahead."
        )
    if task.HasField("retry_config"):
        complete_retry(task.retry_config)


def seconds(duration: Any) -> float:
    value: float = duration.ToTimedelta().total_seconds()
    return value


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
