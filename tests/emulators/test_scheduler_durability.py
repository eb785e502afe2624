"""A new engine over the same folder takes jobs up where the last one was stopped."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from emulators.scheduler import Scheduler
from tests.emulators.conftest import Loop, Start
from tests.emulators.http_receiver import HttpReceiver
from tests.emulators.scheduler_client import SchedulerClient

NOON = datetime(2030, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def loop(make_loop: Callable[..., Loop], tmp_path: Path) -> Loop:
    loop = make_loop(tmp_path / "state")
    loop.ground.clock.freeze(NOON)
    return loop


@pytest.fixture
def restart(
    loop: Loop, start_engine: Start
) -> Callable[[Callable[[SchedulerClient], Any]], Scheduler]:
    """Let a first engine live through `life` (advances follow it), then start a second one."""

    def run(life: Callable[[SchedulerClient], Any]) -> Scheduler:
        engine, port = start_engine(Scheduler)
        client = SchedulerClient(port)
        life(client)
        client.channel.close()
        loop.run(engine.stop())
        second: Scheduler = start_engine(Scheduler)[0]
        return second

    return run


Restart = Callable[[Callable[[SchedulerClient], Any]], Scheduler]


def test_job_goes_on_by_its_schedule(loop: Loop, receiver: HttpReceiver, restart: Restart) -> None:
    def life(client: SchedulerClient) -> None:
        client.create_job("hourly", "0 * * * *", receiver.url)
        loop.advance(hours=1, minutes=30)

    restart(life)
    loop.advance(hours=2)
    assert _hours(receiver) == [13, 14, 15]


def test_run_missed_while_down_is_made_up_for_once(
    loop: Loop, receiver: HttpReceiver, start_engine: Start
) -> None:
    engine, port = start_engine(Scheduler)
    client = SchedulerClient(port)
    client.create_job("hourly", "0 * * * *", receiver.url)
    client.channel.close()
    loop.run(engine.stop())
    loop.ground.clock.jump(NOON + timedelta(hours=5, minutes=30))
    start_engine(Scheduler)
    loop.advance(hours=1)
    assert _hours(receiver) == [13, 18]


def test_missed_run_outlives_an_update_that_keeps_the_schedule(
    loop: Loop, receiver: HttpReceiver, start_engine: Start
) -> None:
    engine, port = start_engine(Scheduler)
    client = SchedulerClient(port)
    name = client.create_job("hourly", "0 * * * *", receiver.url)
    client.api.update_job(job=client.api.get_job(name=name))
    client.channel.close()
    loop.run(engine.stop())
    loop.ground.clock.jump(NOON + timedelta(hours=1, minutes=30))
    client = SchedulerClient(start_engine(Scheduler)[1])
    client.api.update_job(job=client.api.get_job(name=name))
    client.channel.close()
    loop.settle()
    assert _hours(receiver) == [13]


def test_paused_job_stays_paused(loop: Loop, receiver: HttpReceiver, restart: Restart) -> None:
    engine = restart(
        lambda client: client.api.pause_job(
            name=client.create_job("hourly", "0 * * * *", receiver.url)
        )
    )
    loop.advance(hours=5)
    assert receiver.requests == []
    assert engine.describe()["jobs"][0]["state"] == "PAUSED"


def test_sleeping_job_looks_again_at_its_next_instant(
    loop: Loop, receiver: HttpReceiver, restart: Restart
) -> None:
    receiver.answer_with(204, **{"X-Idle-Until": "never"})

    def life(client: SchedulerClient) -> None:
        client.create_job("hourly", "0 * * * *", receiver.url)
        loop.advance(hours=10, minutes=30)

    engine = restart(life)
    loop.advance(hours=5)
    assert _hours(receiver) == [13, 23]
    assert engine.describe()["jobs"][0]["skipped"] == 9 + 4


def test_retry_goes_on_after_a_restart(
    loop: Loop, receiver: HttpReceiver, restart: Restart
) -> None:
    receiver.answer_with(500, 200)
    retry = {"retry_count": 3, "min_backoff_duration": {"seconds": 600}}

    def life(client: SchedulerClient) -> None:
        client.create_job("hourly", "0 * * * *", receiver.url, retry_config=retry)
        loop.advance(hours=1)

    restart(life)
    loop.advance(minutes=10)
    assert _hours(receiver) == [13, 13]


def _hours(receiver: HttpReceiver) -> list[int]:
    return [
        datetime.fromisoformat(request.headers["X-CloudScheduler-ScheduleTime"]).hour
        for request in receiver.requests
    ]
