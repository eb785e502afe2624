"""The official Cloud Scheduler client on the engine under test."""

from typing import Any

import grpc
from google.cloud import scheduler_v1
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import (
    CloudSchedulerGrpcTransport,
)

LOCATION = "projects/clinicloop-local/locations/us-central1"


class SchedulerClient:
    """A thin hand on `CloudSchedulerClient`, with a short way to make jobs."""

    def __init__(self, port: int) -> None:
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        transport = CloudSchedulerGrpcTransport(channel=self.channel)
        self.api = scheduler_v1.CloudSchedulerClient(transport=transport)

    def create_job(self, name: str, schedule: str, url: str = "", **fields: Any) -> str:
        """Create a job with an HTTP target (or what `fields` say); answers its full name."""
        if url:
            fields["http_target"] = {"uri": url} | fields.pop("target", {})
        job = scheduler_v1.Job({"name": job_name(name), "schedule": schedule, **fields})
        return str(self.api.create_job(parent=LOCATION, job=job).name)


def job_name(name: str) -> str:
    return f"{LOCATION}/jobs/{name}"
