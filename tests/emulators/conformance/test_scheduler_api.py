"""Names, limits, paging and error codes of the Cloud Scheduler API; Pub/Sub targets."""

from collections.abc import Iterator
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

from emulators.pubsub import PubSub
from emulators.scheduler import Scheduler
from tests.emulators.conftest import Loop, Start
from tests.emulators.scheduler_client import LOCATION, SchedulerClient, job_name

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
        {"schedule": ""},
        {"schedule": "every 7 minutes synchronized"},
        {"schedule": "every moonday 09:00"},
        {"schedule": "6th monday of month 09:00"},
        {"schedule": "every day 24:00"},
        {"schedule": "1,32 of month 09:00"},
        {"http_target": {"uri": ""}},
        {"http_target": {"uri": URL, "headers": {"X": "y" * 81920}}},
        {"http_target": {"uri": URL, "oidc_token": {"audience": "a"}}},
        {"retry_config": {"retry_count": -1}},
        {"retry_config": {"max_doublings": -1}},
        {"retry_config": {"min_backoff_duration": {"seconds": -1}}},
        {"attempt_deadline": {"seconds": 14}},
        {"attempt_deadline": {"seconds": -1}},
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
        {"pubsub_target": {"topic_name": "projects/other/topics/ticks", "data": b"x"}},
        {"app_engine_http_target": {"relative_uri": "x"}},
        {"app_engine_http_target": {"http_method": "PATCH"}},
        {"app_engine_http_target": {"http_method": "GET", "body": b"x"}},
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


def test_new_job_shows_its_target_completed(client: SchedulerClient) -> None:
    target = {"body": b"x", "headers": {"user-agent": "me"}}
    job = client.api.get_job(name=client.create_job("daily", "0 9 * * *", URL, target=target))
    assert job.http_target.http_method == scheduler_v1.HttpMethod.POST
    assert dict(job.http_target.headers) == {
        "User-Agent": "Google-Cloud-Scheduler",
        "Content-Type": "application/octet-stream",
    }
    assert job.http_target.body == b"x"


def test_app_engine_job_shows_its_routing(client: SchedulerClient) -> None:
    target = {"app_engine_routing": {"service": "worker"}, "relative_uri": "/tick"}
    name = client.create_job("daily", "0 9 * * *", app_engine_http_target=target)
    seen = client.api.get_job(name=name).app_engine_http_target
    assert seen.app_engine_routing.host == "worker.clinicloop-local.appspot.com"
    assert seen.headers["User-Agent"].startswith("AppEngine-Google")


def test_unnamed_job_gets_a_name(client: SchedulerClient) -> None:
    job = scheduler_v1.Job(schedule="* * * * *", http_target={"uri": URL})
    made = client.api.create_job(parent=LOCATION, job=job)
    assert client.api.get_job(name=made.name).name == made.name
    assert made.name.startswith(f"{LOCATION}/jobs/")


def test_job_of_another_location_is_refused(client: SchedulerClient) -> None:
    name = "projects/clinicloop-local/locations/europe-west1/jobs/j"
    job = scheduler_v1.Job(name=name, schedule="* * * * *", http_target={"uri": URL})
    with pytest.raises(exceptions.InvalidArgument):
        client.api.create_job(parent=LOCATION, job=job)


def test_update_of_an_unknown_job_is_not_found(client: SchedulerClient) -> None:
    job = scheduler_v1.Job(name=job_name("nobody"), schedule="* * * * *")
    with pytest.raises(exceptions.NotFound):
        client.api.update_job(job=job)


def test_update_cannot_change_what_is_output_only(client: SchedulerClient) -> None:
    name = client.create_job("daily", "0 9 * * *", URL)
    job = scheduler_v1.Job(name=name, state=scheduler_v1.Job.State.PAUSED)
    updated = client.api.update_job(job=job, update_mask=FieldMask(paths=["state"]))
    assert updated.state == scheduler_v1.Job.State.ENABLED


def test_update_keeps_a_paused_job_paused(client: SchedulerClient) -> None:
    name = client.create_job("daily", "0 9 * * *", URL)
    client.api.pause_job(name=name)
    job = scheduler_v1.Job(name=name, schedule="0 10 * * *")
    updated = client.api.update_job(job=job, update_mask=FieldMask(paths=["schedule"]))
    assert updated.state == scheduler_v1.Job.State.PAUSED
    assert "schedule_time" not in updated


def test_page_token_of_another_list_is_refused(client: SchedulerClient) -> None:
    for letter in "ab":
        client.create_job(letter, "0 9 * * *", URL)
    first = next(client.api.list_jobs(request={"parent": LOCATION, "page_size": 1}).pages)
    parent = "projects/clinicloop-local/locations/europe-west1"
    for request in (
        {"parent": parent, "page_token": first.next_page_token},
        {"parent": LOCATION, "page_token": "no token"},
        {"parent": LOCATION, "page_size": -1},
        {"parent": "projects/clinicloop-local"},
    ):
        with pytest.raises(exceptions.InvalidArgument):
            list(client.api.list_jobs(request=request))


def test_locations_are_listed(client: SchedulerClient) -> None:
    answer = client.api.list_locations({"name": "projects/clinicloop-local"})
    assert LOCATION in [location.name for location in answer.locations]


def _next_hour(job: Any) -> int:
    hour: int = job.schedule_time.hour
    return hour
