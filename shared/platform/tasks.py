"""Cloud Tasks: wake-ups for timers, through Google's client, made on first use."""

import hashlib
import json
import os
from contextlib import suppress
from datetime import datetime
from functools import cache
from typing import Any

from shared.kernel.ids import TimerId
from shared.platform.pubsub import RECONNECT
from shared.platform.settings import Settings, load
from shared.platform.steps import Step, taking
from shared.platform.wiring import function_url, timer_function

QUEUE = "timers"
_TIMEOUT = 10.0


class TasksSettings(Settings):
    google_cloud_project: str
    google_cloud_location: str = "us-central1"


@cache
def _client() -> Any:
    from google.cloud.tasks_v2 import CloudTasksClient
    from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

    if emulator := os.environ.get("CLOUD_TASKS_EMULATOR_HOST"):
        import grpc

        channel = grpc.insecure_channel(emulator, options=[RECONNECT])
    else:
        channel = CloudTasksGrpcTransport.create_channel(options=[RECONNECT])
    return CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))


def create_wake_up(timer_id: TimerId, version: int, kind: str, due_at: datetime) -> None:
    """Make the task that wakes the timer's function at `due_at` (aware, at most 30 days ahead).

    Its name is a hash of timer and version: making it twice is harmless.
    """
    from google.api_core.exceptions import AlreadyExists

    settings = load(TasksSettings)
    project = settings.google_cloud_project
    queue = f"projects/{project}/locations/{settings.google_cloud_location}/queues/{QUEUE}"
    name = hashlib.sha256(f"{timer_id}:{version}".encode()).hexdigest()[:40]
    url = function_url(timer_function(kind))
    task = {
        "name": f"{queue}/tasks/{name}",
        "schedule_time": due_at,
        "http_request": {
            "url": f"{url}/timers",
            "headers": {"Content-Type": "application/json"},
            "body": json.dumps({"timer_id": str(timer_id), "version": version}).encode(),
            "oidc_token": {
                "service_account_email": f"tasks-invoker@{project}.iam.gserviceaccount.com",
                "audience": url,
            },
        },
    }
    with taking(Step.TASK_CREATE), suppress(AlreadyExists):
        _client().create_task(parent=queue, task=task, timeout=_TIMEOUT)
