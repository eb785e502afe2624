"""The Cloud Scheduler API: durable jobs that run on virtual time."""

import asyncio
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

import grpc
from google.cloud import scheduler_v1
from google.pubsub_v1 import PublishRequest, PublishResponse

from emulators import app_engine, http_target
from emulators.api.field_masks import merged, writable
from emulators.api.locations import locations_service
from emulators.api.paging import page
from emulators.api.refusals import Refused, invalid, not_found
from emulators.api.times import stamp
from emulators.api.unary import Empty, Methods, handlers, raw
from emulators.engine import Ground, GrpcServer
from emulators.http_target import Reply
from emulators.scheduler import rules
from emulators.scheduler.job import Job, JobMessage

_FIELDS = (
    "description",
    "schedule",
    "time_zone",
    "retry_config",
    "attempt_deadline",
    "http_target",
    "pubsub_target",
    "app_engine_http_target",
)


class Scheduler:
    """Cloud Scheduler v1.

    A job whose run answers with `X-Idle-Until` (`never`, or an ISO 8601 instant, UTC unless it says
    otherwise) sleeps: its next instants are skipped until then, or until something happens
    (`agenda.activity_of`): at the one source that `X-Idle-Unless` names, or anything at all.
    App Engine targets go where `emulators.app_engine` says.
    """

    name = "scheduler"

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._server = GrpcServer(ground, self.name)
        self._journal = ground.journal(self.name)
        self._jobs: dict[str, Job] = {}
        self._unwatch: Callable[[], None] = lambda: None
        for _, value in self._journal.items("job/"):
            message, progress = Job.parts(value)
            self._jobs[message.name] = self._job(message)
            self._jobs[message.name].progress = progress

    async def start(self, port: int = 0) -> int:
        """Serve on `port` (any free one for 0), and take the journal's jobs up."""
        self._unwatch = self._ground.agenda.watch(self._look)
        for job in self._jobs.values():
            job.take_up()
        methods: Methods = {
            self.create_job: (scheduler_v1.CreateJobRequest, scheduler_v1.Job),
            self.get_job: (scheduler_v1.GetJobRequest, scheduler_v1.Job),
            self.list_jobs: (scheduler_v1.ListJobsRequest, scheduler_v1.ListJobsResponse),
            self.update_job: (scheduler_v1.UpdateJobRequest, scheduler_v1.Job),
            self.delete_job: (scheduler_v1.DeleteJobRequest, Empty),
            self.pause_job: (scheduler_v1.PauseJobRequest, scheduler_v1.Job),
            self.resume_job: (scheduler_v1.ResumeJobRequest, scheduler_v1.Job),
            self.run_job: (scheduler_v1.RunJobRequest, scheduler_v1.Job),
        }
        service = handlers("google.cloud.scheduler.v1.CloudScheduler", methods)
        return await self._server.start([service, locations_service()], port)

    async def stop(self) -> None:
        self._unwatch()
        self._unwatch = lambda: None
        await self._server.stop()
        attempts = [attempt for job in self._jobs.values() for attempt in job.close()]
        await asyncio.gather(*attempts, return_exceptions=True)
        self._journal.close()

    def create_job(self, request: Any) -> Any:
        rules.check_location(request.parent)
        message = JobMessage(name=request.job.name or f"{request.parent}/jobs/{uuid.uuid4().hex}")
        if not message.name.startswith(f"{request.parent}/jobs/"):
            raise invalid("The job's name must begin with the parent.")
        if message.name in self._jobs:
            raise Refused(grpc.StatusCode.ALREADY_EXISTS, f"Job {message.name} already exists.")
        message = merged(message, request.job, _FIELDS)
        stamp(message.user_update_time, self._ground.clock.now())
        job = self._jobs[message.name] = self._job(message)
        job.enable()
        return job.shown()

    def get_job(self, request: Any) -> Any:
        return self._find(request.name).shown()

    def list_jobs(self, request: Any) -> Any:
        rules.check_location(request.parent)
        found = [
            job for name, job in self._jobs.items() if name.startswith(f"{request.parent}/jobs/")
        ]
        cut, token = page(found, request, 500, lambda job: str(job.message.name))
        return raw(scheduler_v1.ListJobsResponse)(
            jobs=[job.shown() for job in cut], next_page_token=token
        )

    def update_job(self, request: Any) -> Any:
        """Change a job; one with a new schedule goes by it from now on."""
        job = self._find(request.job.name)
        paths = writable(request.update_mask, _FIELDS, JobMessage)
        message = merged(job.message, request.job, paths)
        cron = rules.complete_job(message)
        stamp(message.user_update_time, self._ground.clock.now())
        same = message.schedule == job.message.schedule
        if same and message.time_zone == job.message.time_zone and not job.is_asleep:
            job.message.CopyFrom(message)
            self._save(job)
            return job.shown()
        job.disarm()
        job.message.CopyFrom(message)
        job.message.ClearField("schedule_time")
        job.cron = cron
        self._resettle(job)
        return job.shown()

    def delete_job(self, request: Any) -> Any:
        job = self._find(request.name)
        job.disarm()
        del self._jobs[request.name]
        self._journal.delete(f"job/{request.name}")
        return Empty()

    def pause_job(self, request: Any) -> Any:
        job = self._find(request.name)
        if not job.is_enabled:
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, "The job must be ENABLED.")
        job.disarm()
        job.message.state = scheduler_v1.Job.State.PAUSED
        self._resettle(job)
        return job.shown()

    def resume_job(self, request: Any) -> Any:
        job = self._find(request.name)
        if job.message.state != scheduler_v1.Job.State.PAUSED:
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, "The job must be PAUSED.")
        job.enable()
        return job.shown()

    def run_job(self, request: Any) -> Any:
        """Dispatch now, beside the schedule, even if the job is running or paused."""
        job = self._find(request.name)
        job.force()
        return job.shown()

    def describe(self) -> dict[str, Any]:
        """The jobs by name. `skipped` counts instants passed over while a job slept."""
        return {"jobs": [_described(job) for _, job in sorted(self._jobs.items())]}

    def _job(self, message: Any) -> Job:
        return Job(self._ground, message, rules.complete_job(message), self._send, self._save)

    def _find(self, name: str) -> Job:
        rules.check_job_name(name)
        if name not in self._jobs:
            raise not_found("Job not found.")
        return self._jobs[name]

    def _resettle(self, job: Job) -> None:
        if job.is_enabled:
            job.enable()
        else:
            self._save(job)

    def _save(self, job: Job) -> None:
        if self._jobs.get(job.message.name) is job:
            self._journal.put(f"job/{job.message.name}", job.to_bytes)

    def _look(self) -> None:
        for job in self._jobs.values():
            job.look()

    async def _send(self, message: Any, scheduled: datetime) -> Reply:
        if message.WhichOneof("target") == "pubsub_target":
            return await self._publish(message.pubsub_target)
        headers = {
            "X-CloudScheduler": "true",
            "X-CloudScheduler-JobName": message.name.rpartition("/")[2],
            "X-CloudScheduler-ScheduleTime": scheduled.isoformat().replace("+00:00", "Z"),
        }
        deadline = message.attempt_deadline.ToTimedelta()
        if message.WhichOneof("target") == "app_engine_http_target":
            target = message.app_engine_http_target
            routing = target.app_engine_routing
            return await app_engine.send(self._ground, target, routing, headers, deadline)
        target = message.http_target
        call = http_target.call_of(self._ground, target, target.uri, headers)
        return await http_target.dispatch(self._ground, call, deadline)

    async def _publish(self, target: Any) -> Reply:
        sent = {"data": target.data, "attributes": dict(target.attributes)}
        request = raw(PublishRequest)(topic=target.topic_name, messages=[sent])
        address = self._ground.settings.get("pubsub")
        if address is None:
            return Reply(None, grpc.StatusCode.UNAVAILABLE, "Pub/Sub is not running.")
        async with grpc.aio.insecure_channel(address) as channel:
            publish = channel.unary_unary(
                "/google.pubsub.v1.Publisher/Publish",
                request_serializer=raw(PublishRequest).SerializeToString,
                response_deserializer=raw(PublishResponse).FromString,
            )
            try:
                await publish(request, timeout=http_target.STALL_SECONDS)
            except grpc.aio.AioRpcError as error:
                return Reply(None, error.code(), error.details() or "")
        return Reply(None, grpc.StatusCode.OK)


def _described(job: Job) -> dict[str, Any]:
    message = job.shown()
    is_run = message.HasField("last_attempt_time")
    return {
        "name": message.name.rpartition("/")[2],
        "schedule": message.schedule,
        "time_zone": message.time_zone,
        "state": scheduler_v1.Job.State(message.state).name,
        "target": (
            message.http_target.uri
            or message.pubsub_target.topic_name
            or message.app_engine_http_target.relative_uri
        ),
        "last_run": message.last_attempt_time.ToJsonString() if is_run else None,
        "last_status": job.progress.last or None,
        "next_run": message.schedule_time.ToJsonString() if job.is_enabled else None,
        "asleep": job.is_asleep,
        "runs": job.progress.runs,
        "skipped": job.skipped,
    }
