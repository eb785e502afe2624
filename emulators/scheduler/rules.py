"""What Cloud Scheduler accepts, and its defaults.

Source: https://cloud.google.com/scheduler/docs/reference/rpc/google.cloud.scheduler.v1.
"""

import re
from datetime import timedelta
from typing import Any

from google.cloud.scheduler_v1 import HttpMethod

from emulators import app_engine
from emulators.api.refusals import invalid
from emulators.api.times import span
from emulators.http_target import HTTP_DEADLINES, complete_target, deadline_within
from emulators.scheduler.cron import BadSchedule
from emulators.scheduler.schedule import Schedule, parse_schedule

DEFAULT_DEADLINE = timedelta(minutes=3)
JOB_BYTES = 1 << 20
USER_AGENT = "Google-Cloud-Scheduler"

_LOCATION = re.compile(r"projects/[A-Za-z0-9:.\-]+/locations/[A-Za-z0-9\-]+")
_JOB = re.compile(_LOCATION.pattern + r"/jobs/[A-Za-z0-9_\-]{1,500}")
_TOPIC = re.compile(r"projects/[A-Za-z0-9:.\-]+/topics/[A-Za-z][A-Za-z0-9\-_.~+%]{2,254}")


def check_location(name: str) -> None:
    if not _LOCATION.fullmatch(name):
        raise invalid(f'"{name}" is not of the form projects/PROJECT_ID/locations/LOCATION_ID.')


def check_job_name(name: str) -> None:
    if not _JOB.fullmatch(name):
        raise invalid(
            f'Job name must be formatted: "projects/<PROJECT_ID>/locations/<LOCATION_ID>/jobs/'
            f'<JOB_ID>", not "{name}".'
        )


def complete_job(job: Any) -> Schedule:
    """Check a job and fill in the defaults of what is unset; answers its schedule."""
    check_job_name(job.name)
    if job.ByteSize() > JOB_BYTES:
        raise invalid(f"The job is larger than {JOB_BYTES} bytes.")
    if len(job.description) > 500:
        raise invalid("The description is longer than 500 characters.")
    _complete_target(job)
    _complete_retry(job.retry_config)
    job.time_zone = job.time_zone or "Etc/UTC"
    try:
        return parse_schedule(job.schedule, job.time_zone)
    except BadSchedule as bad:
        raise invalid(str(bad)) from None


def _complete_target(job: Any) -> None:
    kind = job.WhichOneof("target")
    if kind == "http_target":
        target = job.http_target
        complete_target(target, target.uri, USER_AGENT)
        if target.body and not any(name.lower() == "content-type" for name in target.headers):
            target.headers["Content-Type"] = "application/octet-stream"
        _complete_deadline(job, HTTP_DEADLINES, DEFAULT_DEADLINE)
    elif kind == "app_engine_http_target":
        target = job.app_engine_http_target
        app_engine.complete(target, job.name)
        if target.http_method in (HttpMethod.PATCH, HttpMethod.OPTIONS):
            raise invalid("An App Engine target cannot have the method PATCH or OPTIONS.")
        _complete_deadline(job, app_engine.DEADLINES, app_engine.DEFAULT_DEADLINE)
    elif kind == "pubsub_target":
        _check_topic(job)
    else:
        raise invalid("The job must have an HTTP, Pub/Sub or App Engine target.")


def _complete_deadline(job: Any, bounds: tuple[timedelta, timedelta], default: timedelta) -> None:
    deadline = deadline_within(job.attempt_deadline, bounds, default, "Job.attemptDeadline")
    job.attempt_deadline.FromTimedelta(deadline)


def _check_topic(job: Any) -> None:
    target = job.pubsub_target
    if not _TOPIC.fullmatch(target.topic_name):
        raise invalid(f'Topic name "{target.topic_name}" is not valid.')
    if target.topic_name.split("/")[1] != job.name.split("/")[1]:
        raise invalid("The topic must be in the same project as the job.")
    if not target.data and not target.attributes:
        raise invalid("A Pub/Sub target must have data or at least one attribute.")


def _complete_retry(retry: Any) -> None:
    if not 0 <= retry.retry_count <= 5:
        raise invalid("RetryConfig.retryCount must be between 0 and 5.")
    if retry.max_doublings < 0:
        raise invalid("RetryConfig.maxDoublings cannot be negative.")
    span(retry.max_retry_duration, "RetryConfig.maxRetryDuration")
    retry.max_doublings = retry.max_doublings or 5
    if not span(retry.min_backoff_duration, "RetryConfig.minBackoffDuration"):
        retry.min_backoff_duration.FromSeconds(5)
    if not span(retry.max_backoff_duration, "RetryConfig.maxBackoffDuration"):
        retry.max_backoff_duration.FromSeconds(3600)
    if retry.max_backoff_duration.ToTimedelta() < retry.min_backoff_duration.ToTimedelta():
        raise invalid(
            "RetryConfig.minBackoffDuration must be less than or equal to maxBackoffDuration."
        )


def is_exhausted(retry: Any, failures: int, since_first: timedelta) -> bool:
    """Whether a failed execution is given up.

    Without `retry_count` it is never retried; with `max_retry_duration` as well, it is retried
    until both are reached.
    """
    duration = retry.max_retry_duration.ToTimedelta()
    return failures > retry.retry_count and (not retry.retry_count or since_first >= duration)
