"""What Cloud Scheduler accepts, and its defaults.

Source: https://cloud.google.com/scheduler/docs/reference/rpc/google.cloud.scheduler.v1.
"""

import re
from datetime import timedelta
from typing import Any

from emulators.http_target import check_deadline, check_target
from emulators.scheduler.cron import BadSchedule, Cron
from emulators.unary import invalid

DEFAULT_DEADLINE = timedelta(minutes=3)
JOB_BYTES = 1 << 20

_LOCATION = re.compile(r"projects/[A-Za-z0-9:.\-]+/locations/[a-z0-9\-]+")
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


def complete_job(job: Any) -> Cron:
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
        return Cron(job.schedule, job.time_zone)
    except BadSchedule as bad:
        raise invalid(str(bad)) from None


def _complete_target(job: Any) -> None:
    kind = job.WhichOneof("target")
    if kind == "http_target":
        check_target(job.http_target, job.http_target.uri)
        check_deadline(job.attempt_deadline.ToTimedelta())
        if not job.attempt_deadline.ToTimedelta():
            job.attempt_deadline.FromTimedelta(DEFAULT_DEADLINE)
    elif kind == "pubsub_target":
        if not _TOPIC.fullmatch(job.pubsub_target.topic_name):
            raise invalid(f'Topic name "{job.pubsub_target.topic_name}" is not valid.')
        if not job.pubsub_target.data and not job.pubsub_target.attributes:
            raise invalid("A Pub/Sub target must have data or at least one attribute.")
    else:
        raise invalid("The job must have an HTTP or Pub/Sub target.")


def _complete_retry(retry: Any) -> None:
    if not 0 <= retry.retry_count <= 5:
        raise invalid("RetryConfig.retry_count must be between 0 and 5.")
    if retry.max_doublings < 0:
        raise invalid("RetryConfig.max_doublings must not be negative.")
    for name in ("max_retry_duration", "min_backoff_duration", "max_backoff_duration"):
        if getattr(retry, name).ToTimedelta() < timedelta():
            raise invalid(f"RetryConfig.{name} must not be negative.")
    retry.max_doublings = retry.max_doublings or 5
    if not retry.min_backoff_duration.ToTimedelta():
        retry.min_backoff_duration.FromSeconds(5)
    if not retry.max_backoff_duration.ToTimedelta():
        retry.max_backoff_duration.FromSeconds(3600)
    if retry.max_backoff_duration.ToTimedelta() < retry.min_backoff_duration.ToTimedelta():
        raise invalid("RetryConfig.max_backoff_duration must not be below min_backoff_duration.")


def is_exhausted(retry: Any, failures: int, since_first: timedelta) -> bool:
    """Whether a failed execution is given up.

    Without `retry_count` and `max_retry_duration` it is never retried; with both, it is retried
    until both are reached.
    """
    duration = retry.max_retry_duration.ToTimedelta()
    limits = []
    if retry.retry_count:
        limits.append(failures > retry.retry_count)
    if duration:
        limits.append(since_first >= duration)
    return all(limits)
