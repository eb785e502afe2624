"""Jobs run at the instants of their schedule, with the headers and tokens of Cloud Scheduler."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import jwt
import pytest
from aiohttp import web
from google.cloud import scheduler_v1

from emulators import http_target
from emulators.app_engine import ADDRESS
from emulators.scheduler import Scheduler
from tests.emulators.conftest import Loop, Start
from tests.emulators.http_receiver import HttpReceiver, Request, accept
from tests.emulators.scheduler_client import SchedulerClient

NOON = datetime(2030, 3, 1, 12, tzinfo=UTC)


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


def test_job_in_english_runs_so_long_after_its_last_run(
    client: SchedulerClient, receiver: HttpReceiver, loop: Loop
) -> None:
    client.create_job("poll", "every 5 hours", receiver.url)
    loop.advance(hours=11)
    assert _scheduled(receiver) == [NOON + timedelta(hours=h) for h in (5, 10)]


def test_failed_forced_run_is_retried_like_any_other(
    client: SchedulerClient, receiver: HttpReceiver, loop: Loop
) -> None:
    receiver.answer_with(503, 503, 200)
    retry = {"retry_count": 3, "min_backoff_duration": {"seconds": 10}}
    name = client.create_job("daily", "0 13 * * *", receiver.url, retry_config=retry)
    client.api.run_job(name=name)
    loop.advance(seconds=30)
    assert _scheduled(receiver) == [NOON] * 3
    job: Any = client.api.get_job(name=name)
    assert job.schedule_time == NOON + timedelta(hours=1)
    assert (job.status.code, job.last_attempt_time) == (0, NOON + timedelta(seconds=30))


def test_forced_run_of_a_paused_job_is_made_once(
    client: SchedulerClient, receiver: HttpReceiver, loop: Loop
) -> None:
    receiver.answer_with(503)
    retry = {"retry_count": 3, "min_backoff_duration": {"seconds": 10}}
    name = client.create_job("daily", "0 13 * * *", receiver.url, retry_config=retry)
    client.api.pause_job(name=name)
    client.api.run_job(name=name)
    loop.advance(hours=5)
    assert len(receiver.requests) == 1
    assert client.api.get_job(name=name).state == scheduler_v1.Job.State.PAUSED


def test_retries_go_on_until_both_limits_are_reached(
    client: SchedulerClient, receiver: HttpReceiver, loop: Loop
) -> None:
    receiver.answer_with(503)
    retry = {
        "retry_count": 1,
        "max_retry_duration": {"seconds": 25},
        "min_backoff_duration": {"seconds": 10},
        "max_backoff_duration": {"seconds": 10},
    }
    client.create_job("daily", "0 13 * * *", receiver.url, retry_config=retry)
    loop.advance(hours=2)
    assert len(receiver.requests) == 4  # after 0, 10, 20 and 30 seconds


def test_app_engine_job_is_retried_on_503_without_count(
    client: SchedulerClient, receiver: HttpReceiver, loop: Loop
) -> None:
    receiver.answer_with(503, 503, 500, 200)
    loop.ground.settings[ADDRESS] = receiver.url
    target = {"relative_uri": "/tick", "http_method": "GET"}
    client.create_job("daily", "0 13 * * *", app_engine_http_target=target)
    loop.advance(hours=2)
    assert receiver.paths == ["/tick"] * 3
    assert receiver.requests[0].headers["X-CloudScheduler-JobName"] == "daily"
    assert receiver.requests[0].headers["Host"] == "clinicloop-local.appspot.com"


def test_silent_target_cannot_hold_up_virtual_time(
    client: SchedulerClient,
    receiver: HttpReceiver,
    loop: Loop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def be_silent(request: Request) -> web.Response:
        await loop.ground.faults.cleared()
        return await accept(request)

    monkeypatch.setattr(http_target, "STALL_SECONDS", 0.2)
    receiver.answer = be_silent
    name = client.create_job("hourly", "0 * * * *", receiver.url)
    loop.advance(hours=2)
    loop.loop.call_soon_threadsafe(loop.ground.faults.clear)
    assert len(receiver.requests) == 2
    assert client.api.get_job(name=name).status.code == 4


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
