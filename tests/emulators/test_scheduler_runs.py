"""Jobs run at the instants of their schedule, with the headers and tokens of Cloud Scheduler."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import jwt
import pytest

from emulators.engine import Ground
from emulators.scheduler import Scheduler
from tests.emulators.conftest import Loop
from tests.emulators.http_receiver import HttpReceiver
from tests.emulators.scheduler_client import SchedulerClient

Start = Callable[[Callable[[Ground], Any]], tuple[Any, int]]
NOON = datetime(2030, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def receiver(start_engine: Start) -> HttpReceiver:
    engine: HttpReceiver = start_engine(HttpReceiver)[0]
    return engine


@pytest.fixture
def client(loop: Loop, start_engine: Start) -> Iterator[SchedulerClient]:
    loop.ground.clock.freeze(NOON)
    client = SchedulerClient(start_engine(Scheduler)[1])
    yield client
    client.channel.close()


def test_job_runs_at_every_instant_of_its_schedule(
    client: SchedulerClient, receiver: HttpReceiver, loop: Loop
) -> None:
    client.create_job("sweep", "*/15 * * * *", f"{receiver.url}/sweep")
    loop.advance(hours=1)
    assert _scheduled(receiver) == [NOON + timedelta(minutes=m) for m in (15, 30, 45, 60)]


def test_run_carries_the_documented_headers(
    client: SchedulerClient, receiver: HttpReceiver, loop: Loop
) -> None:
    target = {"body": b"x", "headers": {"X-Mine": "1", "User-Agent": "me"}}
    client.create_job("sweep", "0 13 * * *", receiver.url, target=target)
    loop.advance(hours=1)
    [request] = receiver.requests
    assert (request.method, request.body) == ("POST", b"x")
    assert request.headers["User-Agent"] == "Google-Cloud-Scheduler"
    assert request.headers["X-CloudScheduler"] == "true"
    assert request.headers["X-CloudScheduler-JobName"] == "sweep"
    assert request.headers["X-CloudScheduler-ScheduleTime"] == "2030-03-01T13:00:00Z"
    assert request.headers["Content-Type"] == "application/octet-stream"
    assert request.headers["X-Mine"] == "1"


def test_run_carries_an_oidc_token(
    client: SchedulerClient, receiver: HttpReceiver, loop: Loop
) -> None:
    token = {"service_account_email": "cron@local.iam", "audience": "https://agent"}
    client.create_job("sweep", "0 13 * * *", receiver.url, target={"oidc_token": token})
    loop.advance(hours=1)
    bearer = receiver.requests[0].headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(bearer, options={"verify_signature": False})
    assert (claims["aud"], claims["email"]) == ("https://agent", "cron@local.iam")


def test_schedule_follows_the_time_zone(
    client: SchedulerClient, receiver: HttpReceiver, loop: Loop
) -> None:
    client.create_job("daily", "0 9 * * *", receiver.url, time_zone="America/New_York")
    loop.advance(days=10)
    hours = [instant.hour for instant in _scheduled(receiver)]
    assert hours == [14] * 9 + [13]  # the clocks change on 10 March


def test_fixed_time_in_a_gap_runs_right_after_it(
    client: SchedulerClient, receiver: HttpReceiver, loop: Loop
) -> None:
    client.create_job("daily", "30 2 10 3 *", receiver.url, time_zone="America/New_York")
    loop.advance(days=11)
    assert _scheduled(receiver) == [datetime(2030, 3, 10, 7, 0, tzinfo=UTC)]


def test_fixed_time_in_a_fold_runs_once(
    client: SchedulerClient, receiver: HttpReceiver, loop: Loop
) -> None:
    client.create_job("daily", "30 1 3 11 *", receiver.url, time_zone="America/New_York")
    loop.advance(days=250)
    assert _scheduled(receiver) == [datetime(2030, 11, 3, 5, 30, tzinfo=UTC)]


def test_failed_run_waits_for_its_next_instant_by_default(
    client: SchedulerClient, receiver: HttpReceiver, loop: Loop
) -> None:
    receiver.answer_with(500)
    name = client.create_job("hourly", "0 * * * *", receiver.url)
    loop.advance(hours=2)
    assert len(receiver.requests) == 2
    assert client.api.get_job(name=name).status.code == 13


def test_failed_run_is_retried_with_backoff(
    client: SchedulerClient, receiver: HttpReceiver, loop: Loop
) -> None:
    arrived: list[datetime] = []

    async def fail(_: Any) -> Any:
        arrived.append(loop.ground.clock.now())
        return await failing(_)

    receiver.answer_with(503)
    failing, receiver.answer = receiver.answer, fail
    retry = {"retry_count": 3, "min_backoff_duration": {"seconds": 10}}
    client.create_job("daily", "0 13 * * *", receiver.url, retry_config=retry)
    loop.advance(hours=2)
    gaps = [(b - a).seconds for a, b in pairwise(arrived)]
    assert gaps == [10, 20, 40]
    assert set(_scheduled(receiver)) == {NOON + timedelta(hours=1)}


def test_retry_gives_way_to_the_next_instant(
    client: SchedulerClient, receiver: HttpReceiver, loop: Loop
) -> None:
    receiver.answer_with(503)
    retry = {"retry_count": 5, "min_backoff_duration": {"seconds": 40}}
    client.create_job("minute", "* * * * *", receiver.url, retry_config=retry)
    loop.advance(minutes=2, seconds=30)
    instants = [NOON + timedelta(minutes=m) for m in (1, 1, 2)]
    assert _scheduled(receiver) == instants


def test_forced_run_leaves_the_schedule_alone(
    client: SchedulerClient, receiver: HttpReceiver, loop: Loop
) -> None:
    name = client.create_job("daily", "0 13 * * *", receiver.url)
    client.api.run_job(name=name)
    loop.settle()
    assert len(receiver.requests) == 1
    assert client.api.get_job(name=name).schedule_time == NOON + timedelta(hours=1)


def test_paused_job_does_not_run_until_it_is_resumed(
    client: SchedulerClient, receiver: HttpReceiver, loop: Loop
) -> None:
    name = client.create_job("hourly", "0 * * * *", receiver.url)
    client.api.pause_job(name=name)
    loop.advance(hours=5)
    assert receiver.requests == []
    client.api.resume_job(name=name)
    loop.advance(hours=1)
    assert _scheduled(receiver) == [NOON + timedelta(hours=6)]


def test_deleted_job_does_not_run(
    client: SchedulerClient, receiver: HttpReceiver, loop: Loop
) -> None:
    client.api.delete_job(name=client.create_job("hourly", "0 * * * *", receiver.url))
    loop.advance(hours=5)
    assert receiver.requests == []


def _scheduled(receiver: HttpReceiver) -> list[datetime]:
    return [
        datetime.fromisoformat(request.headers["X-CloudScheduler-ScheduleTime"])
        for request in receiver.requests
    ]
