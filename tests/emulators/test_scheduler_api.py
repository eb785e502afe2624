"""Names, limits, paging and error codes of the Cloud Scheduler API; Pub/Sub targets."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import scheduler_v1
from google.protobuf.field_mask_pb2 import FieldMask
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from emulators.engine import Ground
from emulators.pubsub import PubSub
from emulators.scheduler import Scheduler
from tests.emulators.conftest import Loop
from tests.emulators.scheduler_client import LOCATION, SchedulerClient, job_name

Start = Callable[[Callable[[Ground], Any]], tuple[Any, int]]
URL = "http://127.0.0.1:9/"
TOPIC = "projects/clinicloop-local/topics/ticks"
SUBSCRIPTION = "projects/clinicloop-local/subscriptions/ticks"


@pytest.fixture
def client(loop: Loop, start_engine: Start) -> Iterator[SchedulerClient]:
    loop.ground.clock.freeze()
    client = SchedulerClient(start_engine(Scheduler)[1])
    yield client
    client.channel.close()


def test_new_job_gets_the_defaults(client: SchedulerClient, loop: Loop) -> None:
    job = client.api.get_job(name=client.create_job("daily", "0 9 * * *", URL))
    assert job.state == scheduler_v1.Job.State.ENABLED
    assert job.attempt_deadline == timedelta(minutes=3)
    assert job.retry_config.min_backoff_duration == timedelta(seconds=5)
    assert job.retry_config.max_backoff_duration == timedelta(hours=1)
    assert job.retry_config.max_doublings == 5
    assert _next_hour(job) == 9
    assert job.user_update_time == loop.ground.clock.now()


@pytest.mark.parametrize(
    "fields",
    [
        {"schedule": "every day"},
        {"schedule": "* * * *"},
        {"schedule": "* * * * * *"},
        {"schedule": "60 * * * *"},
        {"schedule": "0 0 31 2 *"},
        {"schedule": "0 0 L * *"},
        {"schedule": "0 0 * * 1#2"},
        {"time_zone": "Europe/Atlantis"},
        {"http_target": {"uri": "ftp://example.com"}},
        {"http_target": {"uri": URL, "http_method": "GET", "body": b"x"}},
        {"http_target": {"uri": URL, "body": b"x" * (1 << 20)}},
        {"attempt_deadline": {"seconds": 1801}},
        {"retry_config": {"retry_count": 6}},
        {"description": "d" * 501},
        {"name": job_name("a.b")},
        {"name": "projects/p/locations/elsewhere/jobs/j"},
    ],
)
def test_bad_job_is_refused(client: SchedulerClient, fields: dict[str, Any]) -> None:
    good = {"name": job_name("bad"), "schedule": "* * * * *", "http_target": {"uri": URL}}
    with pytest.raises(exceptions.InvalidArgument):
        client.api.create_job(parent=LOCATION, job=scheduler_v1.Job(good | fields))
    assert list(client.api.list_jobs(parent=LOCATION)) == []


@pytest.mark.parametrize(
    "target",
    [
        {},
        {"pubsub_target": {"topic_name": "ticks", "data": b"x"}},
        {"pubsub_target": {"topic_name": TOPIC}},
        {"app_engine_http_target": {"relative_uri": "/x"}},
    ],
)
def test_job_without_a_usable_target_is_refused(
    client: SchedulerClient, target: dict[str, Any]
) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        client.create_job("bad", "* * * * *", **target)


def test_job_exists_once(client: SchedulerClient) -> None:
    client.create_job("daily", "0 9 * * *", URL)
    with pytest.raises(exceptions.AlreadyExists):
        client.create_job("daily", "0 9 * * *", URL)


def test_unknown_job_is_not_found(client: SchedulerClient) -> None:
    for call in (client.api.get_job, client.api.delete_job, client.api.run_job):
        with pytest.raises(exceptions.NotFound):
            call(name=job_name("nobody"))


def test_jobs_are_listed_in_pages(client: SchedulerClient) -> None:
    for letter in "abc":
        client.create_job(letter, "0 9 * * *", URL)
    pager = client.api.list_jobs(request={"parent": LOCATION, "page_size": 2})
    assert [len(page.jobs) for page in pager.pages] == [2, 1]


def test_job_is_paused_and_resumed_only_from_the_other_state(client: SchedulerClient) -> None:
    name = client.create_job("daily", "0 9 * * *", URL)
    with pytest.raises(exceptions.FailedPrecondition):
        client.api.resume_job(name=name)
    assert client.api.pause_job(name=name).state == scheduler_v1.Job.State.PAUSED
    with pytest.raises(exceptions.FailedPrecondition):
        client.api.pause_job(name=name)
    assert client.api.resume_job(name=name).state == scheduler_v1.Job.State.ENABLED


def test_update_changes_only_the_masked_fields(client: SchedulerClient) -> None:
    name = client.create_job("daily", "0 9 * * *", URL, description="kept")
    job = scheduler_v1.Job(name=name, schedule="0 10 * * *", description="lost")
    updated = client.api.update_job(job=job, update_mask=FieldMask(paths=["schedule"]))
    assert (updated.schedule, updated.description) == ("0 10 * * *", "kept")
    assert _next_hour(updated) == 10


def test_update_may_exchange_the_target(client: SchedulerClient) -> None:
    name = client.create_job("daily", "0 9 * * *", URL)
    target = scheduler_v1.PubsubTarget(topic_name=TOPIC, data=b"tick")
    updated = client.api.update_job(
        job=scheduler_v1.Job(name=name, pubsub_target=target),
        update_mask=FieldMask(paths=["pubsub_target"]),
    )
    assert "http_target" not in updated
    assert updated.pubsub_target.topic_name == TOPIC


def test_bad_update_changes_nothing(client: SchedulerClient) -> None:
    name = client.create_job("daily", "0 9 * * *", URL)
    job = scheduler_v1.Job(name=name, schedule="never")
    with pytest.raises(exceptions.InvalidArgument):
        client.api.update_job(job=job, update_mask=FieldMask(paths=["schedule"]))
    assert client.api.get_job(name=name).schedule == "0 9 * * *"


def test_pubsub_target_is_published(
    client: SchedulerClient, loop: Loop, start_engine: Start
) -> None:
    address = f"127.0.0.1:{start_engine(PubSub)[1]}"
    loop.ground.settings["pubsub"] = address
    with grpc.insecure_channel(address) as channel:
        publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
        subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        publisher.create_topic(name=TOPIC)
        subscriber.create_subscription(name=SUBSCRIPTION, topic=TOPIC)
        target = {"topic_name": TOPIC, "data": b"tick", "attributes": {"kind": "hourly"}}
        client.create_job("hourly", "0 * * * *", pubsub_target=target)
        loop.advance(hours=1)
        [received] = subscriber.pull(subscription=SUBSCRIPTION, max_messages=5).received_messages
    assert received.message.data == b"tick"
    assert dict(received.message.attributes) == {"kind": "hourly"}


def test_missing_pubsub_shows_in_the_status(client: SchedulerClient, loop: Loop) -> None:
    target = {"topic_name": TOPIC, "data": b"tick"}
    name = client.create_job("hourly", "0 * * * *", pubsub_target=target)
    loop.advance(hours=1)
    assert client.api.get_job(name=name).status.code == 14


def _next_hour(job: Any) -> int:
    hour: int = job.schedule_time.hour
    return hour
