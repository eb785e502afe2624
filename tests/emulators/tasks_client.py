"""The official Cloud Tasks client on the engine under test."""

from datetime import datetime, timedelta
from typing import Any

import grpc
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

LOCATION = "projects/clinicloop-local/locations/us-central1"
QUEUE = f"{LOCATION}/queues/timers"
URL = "http://127.0.0.1:9/"
"""Where nobody listens."""
LATER = timedelta(hours=10)


class TasksClient:
    """A thin hand on `CloudTasksClient`, with one queue and short ways to make tasks."""

    def __init__(self, port: int) -> None:
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        transport = CloudTasksGrpcTransport(channel=self.channel)
        self.api = tasks_v2.CloudTasksClient(transport=transport)

    def create_queue(self, name: str = QUEUE, **settings: Any) -> tasks_v2.Queue:
        queue = tasks_v2.Queue({"name": name, **settings})
        return self.api.create_queue(parent=LOCATION, queue=queue)

    def create_task(
        self, url: str, name: str = "", at: datetime | None = None, **fields: Any
    ) -> tasks_v2.Task:
        request: dict[str, Any] = {"url": url} | fields.pop("request", {})
        task = tasks_v2.Task({"http_request": request, **fields})
        if name:
            task.name = f"{QUEUE}/tasks/{name}"
        if at is not None:
            task.schedule_time = at  # type: ignore[assignment]
        return self.api.create_task(parent=QUEUE, task=task)

    def pending(self) -> list[str]:
        return [task.name.rpartition("/")[2] for task in self.api.list_tasks(parent=QUEUE)]
