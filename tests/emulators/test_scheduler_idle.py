"""A polling job that found nothing is skipped until something happened."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from emulators.scheduler import Scheduler
from tests.emulators.conftest import Loop, Start
from tests.emulators.http_receiver import HttpReceiver
from tests.emulators.scheduler_client import SchedulerClient

NEW_YEAR = datetime(2030, 1, 1, tzinfo=UTC)


@dataclass
class Poll:
    """A minute job against a receiver whose answers say until when it is idle."""

    loop: Loop
    receiver: HttpReceiver
    scheduler: Scheduler
    client: SchedulerClient

    def create(self, idle_until: str, schedule: str = "* * * * *") -> None:
        self.receiver.answer_with(204, **{"X-Idle-Until": idle_until})
        self.client.create_job("poll", schedule, self.receiver.url)

    @property
    def job(self) -> dict[str, Any]:
        job: dict[str, Any] = self.scheduler.describe()["jobs"][0]
        return job

    @property
    def instants(self) -> list[datetime]:
        return [
            datetime.fromisoformat(request.headers["X-CloudScheduler-ScheduleTime"])
            for request in self.receiver.requests
        ]


@pytest.fixture
def poll(loop: Loop, start_engine: Start) -> Iterator[Poll]:
    loop.ground.clock.freeze(NEW_YEAR)
    receiver = start_engine(HttpReceiver)[0]
    scheduler, port = start_engine(Scheduler)
    client = SchedulerClient(port)
    yield Poll(loop, receiver, scheduler, client)
    client.channel.close()


def test_six_idle_months_of_minutes_are_one_run(poll: Poll) -> None:
    poll.create("never")
    poll.loop.advance(days=181)
    assert len(poll.receiver.requests) == 1
    assert poll.job["runs"] == 1
    assert poll.job["skipped"] == 181 * 24 * 60 - 2  # the first ran, the last is not past


def test_sleeping_job_keeps_nothing_on_the_agenda(poll: Poll) -> None:
    poll.create("never")
    poll.loop.advance(minutes=1)
    assert poll.loop.ground.agenda.next_due() is None


def test_sleeping_job_runs_at_the_first_instant_after_something_happened(poll: Poll) -> None:
    poll.create("never")
    happens = NEW_YEAR + timedelta(days=3, seconds=90)
    agenda = poll.loop.ground.agenda
    poll.loop.loop.call_soon_threadsafe(agenda.at, happens, agenda.touch)
    poll.loop.advance(days=7)
    assert poll.instants == [NEW_YEAR + timedelta(minutes=1), happens + timedelta(seconds=30)]


def test_request_to_the_functions_host_wakes_the_job(poll: Poll) -> None:
    poll.create("never")
    poll.loop.advance(hours=1)
    poll.loop.ground.clock.count_request()
    poll.loop.advance(hours=1)
    assert poll.instants[1:] == [NEW_YEAR + timedelta(minutes=61)]


def test_job_that_sees_one_source_sleeps_through_all_else(poll: Poll) -> None:
    poll.loop.ground.agenda.touch("vendor")
    poll.receiver.answer_with(204, **{"X-Idle-Until": "never", "X-Idle-Unless": "vendor"})
    poll.client.create_job("poll", "* * * * *", poll.receiver.url)
    poll.loop.advance(minutes=10)
    ran = len(poll.receiver.requests)
    poll.loop.ground.agenda.touch()
    poll.loop.ground.clock.count_request()
    poll.loop.advance(minutes=10)
    assert len(poll.receiver.requests) == ran
    poll.loop.ground.agenda.touch("vendor")
    poll.loop.advance(minutes=10)
    assert poll.instants[ran:] == [NEW_YEAR + timedelta(minutes=21)]


def test_job_that_sees_what_never_tells_wakes_whatever_happens(poll: Poll) -> None:
    poll.receiver.answer_with(204, **{"X-Idle-Until": "never", "X-Idle-Unless": "silent"})
    poll.client.create_job("poll", "* * * * *", poll.receiver.url)
    poll.loop.advance(minutes=10)
    poll.loop.ground.agenda.touch()
    poll.loop.advance(minutes=10)
    assert poll.instants[-1] == NEW_YEAR + timedelta(minutes=11)


def test_sleeping_job_runs_at_the_announced_instant(poll: Poll) -> None:
    poll.create("2030-01-05T08:00:30Z")
    poll.loop.advance(days=4, hours=8)
    assert len(poll.instants) == 1
    poll.loop.advance(minutes=1)
    assert poll.instants[1] == datetime(2030, 1, 5, 8, 1, tzinfo=UTC)


def test_announced_instant_on_the_schedule_is_not_skipped(poll: Poll) -> None:
    poll.create("2030-01-05T08:00:00Z")
    poll.loop.advance(days=4, hours=8)
    assert poll.instants[1] == datetime(2030, 1, 5, 8, 0, tzinfo=UTC)


def test_runs_and_skips_add_up_to_the_schedule(poll: Poll) -> None:
    poll.create("never")
    for _ in range(5):
        poll.loop.advance(hours=7, minutes=3, seconds=20)
        poll.loop.ground.clock.count_request()
    poll.loop.advance(minutes=1)
    passed = (poll.loop.ground.clock.now() - NEW_YEAR) // timedelta(minutes=1)
    assert poll.job["runs"] == 6
    assert poll.job["runs"] + poll.job["skipped"] == passed


def test_busy_job_runs_every_minute(poll: Poll) -> None:
    poll.receiver.answer_with(204)
    poll.client.create_job("poll", "* * * * *", poll.receiver.url)
    poll.loop.advance(minutes=30)
    assert (len(poll.instants), poll.job["skipped"]) == (30, 0)


def test_failed_run_is_never_taken_for_idle(poll: Poll) -> None:
    poll.receiver.answer_with(500, **{"X-Idle-Until": "never"})
    poll.client.create_job("poll", "* * * * *", poll.receiver.url)
    poll.loop.advance(minutes=5)
    assert len(poll.instants) == 5


def test_change_during_the_run_keeps_the_job_awake(poll: Poll) -> None:
    poll.create("never")
    idle = poll.receiver.answer

    async def meanwhile(request: Any) -> Any:
        if len(poll.receiver.requests) == 1:
            poll.loop.ground.agenda.touch()
        return await idle(request)

    poll.receiver.answer = meanwhile
    poll.loop.advance(hours=1)
    assert poll.instants == [NEW_YEAR + timedelta(minutes=m) for m in (1, 2)]


def test_sleeping_job_shows_its_next_instant(poll: Poll) -> None:
    poll.create("never")
    poll.loop.advance(days=1)
    assert poll.job["asleep"]
    assert poll.job["next_run"] == "2030-01-02T00:01:00Z"


def test_job_wakes_while_the_clock_runs(poll: Poll) -> None:
    poll.create("never")
    poll.loop.advance(minutes=1)
    poll.loop.ground.clock.run()
    poll.loop.ground.clock.jump(NEW_YEAR + timedelta(minutes=9, seconds=59))
    poll.loop.loop.call_soon_threadsafe(poll.loop.ground.agenda.touch)
    poll.loop.run(_until(lambda: len(poll.receiver.requests) == 2), timeout=30)


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.02)
