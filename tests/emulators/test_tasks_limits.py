"""Retries, rate limits and paused queues, in virtual time."""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from aiohttp import web
from google.api_core import exceptions
from google.cloud import tasks_v2
from google.protobuf.field_mask_pb2 import FieldMask

from emulators.tasks import Tasks
from tests.emulators.conftest import Loop, Start
from tests.emulators.http_receiver import HttpReceiver, Request
from tests.emulators.tasks_client import QUEUE, TasksClient


@pytest.fixture
def client(loop: Loop, start_engine: Start) -> Iterator[TasksClient]:
    loop.ground.clock.freeze()
    client = TasksClient(start_engine(Tasks)[1])
    yield client
    client.channel.close()


def _record_arrivals(loop: Loop, receiver: HttpReceiver, status: int = 200) -> list[datetime]:
    arrived: list[datetime] = []

    async def answer(_: Request) -> web.Response:
        arrived.append(loop.ground.clock.now())
        return web.Response(status=status)

    receiver.answer = answer
    return arrived


def _gaps(instants: list[datetime]) -> list[float]:
    return [(after - before).total_seconds() for before, after in pairwise(instants)]


def test_retries_double_then_grow_by_the_last_step(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    arrived = _record_arrivals(loop, receiver, 500)
    retry = {
        "min_backoff": {"seconds": 10},
        "max_backoff": {"seconds": 300},
        "max_doublings": 3,
        "max_attempts": 9,
    }
    client.create_queue(retry_config=retry)
    client.create_task(receiver.url)
    loop.advance(hours=1)
    assert _gaps(arrived) == [10, 20, 40, 80, 160, 240, 300, 300]
    assert client.pending() == []


def test_task_may_bring_its_own_retry_config(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    arrived = _record_arrivals(loop, receiver, 500)
    client.create_queue()
    client.create_task(receiver.url, retry_config={"max_attempts": 2})
    loop.advance(hours=1)
    assert len(arrived) == 2


def test_task_is_given_up_only_when_both_limits_are_reached(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    arrived = _record_arrivals(loop, receiver, 500)
    retry = {
        "max_attempts": 2,
        "max_retry_duration": {"seconds": 100},
        "min_backoff": {"seconds": 30},
        "max_backoff": {"seconds": 30},
    }
    client.create_queue(retry_config=retry)
    client.create_task(receiver.url)
    loop.advance(hours=1)
    assert _gaps(arrived) == [30, 30, 30, 30]


def test_unlimited_task_is_retried_until_its_retention_ends(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    arrived = _record_arrivals(loop, receiver, 500)
    day = {"seconds": 86400}
    retry = {"max_attempts": -1, "min_backoff": day, "max_backoff": day}
    client.create_queue(retry_config=retry)
    client.create_task(receiver.url)
    loop.advance(days=60)
    assert len(arrived) == 31
    assert client.pending() == []


def test_retry_after_of_a_worker_is_considered(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    receiver.answer_with(429, **{"Retry-After": "120"})
    client.create_queue()
    task = client.create_task(receiver.url)
    loop.settle()
    seen = client.api.get_task(name=task.name)
    assert seen.schedule_time == loop.ground.clock.now() + timedelta(seconds=120)
    assert seen.last_attempt.response_status.code == 8


def test_dispatches_keep_to_the_rate(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    arrived = _record_arrivals(loop, receiver)
    client.create_queue(rate_limits={"max_dispatches_per_second": 2})
    for _ in range(6):
        client.create_task(receiver.url)
    loop.advance(minutes=1)
    assert _gaps(arrived) == [0, 0.5, 0.5, 0.5, 0.5]  # a burst of two, then two a second


def test_dispatches_keep_to_the_concurrency(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    open_now, most = 0, 0

    async def answer(_: Request) -> web.Response:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        for _turn in range(20):
            await asyncio.sleep(0)
        open_now -= 1
        return web.Response()

    receiver.answer = answer
    client.create_queue(rate_limits={"max_concurrent_dispatches": 2})
    client.api.pause_queue(name=QUEUE)
    for _ in range(8):
        client.create_task(receiver.url)
    client.api.resume_queue(name=QUEUE)
    loop.settle()
    assert len(receiver.requests) == 8
    assert most == 2


def test_paused_queue_keeps_its_tasks_until_it_is_resumed(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    client.create_queue()
    assert client.api.pause_queue(name=QUEUE).state == tasks_v2.Queue.State.PAUSED
    client.create_task(receiver.url)
    loop.advance(days=1)
    assert receiver.requests == []
    client.api.resume_queue(name=QUEUE)
    loop.settle()
    assert len(receiver.requests) == 1


def test_purge_drops_what_waits(client: TasksClient, receiver: HttpReceiver, loop: Loop) -> None:
    client.create_queue()
    client.create_task(receiver.url, at=loop.ground.clock.now() + timedelta(hours=1))
    assert client.api.purge_queue(name=QUEUE).purge_time == loop.ground.clock.now()
    loop.advance(hours=2)
    assert receiver.requests == []


def test_deleted_queue_takes_its_tasks_along(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    client.create_queue()
    client.create_task(receiver.url, at=loop.ground.clock.now() + timedelta(hours=1))
    client.api.delete_queue(name=QUEUE)
    loop.advance(hours=2)
    assert receiver.requests == []
    with pytest.raises(exceptions.NotFound):
        client.api.get_queue(name=QUEUE)


def test_raised_rate_holds_for_waiting_tasks(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    client.create_queue(rate_limits={"max_dispatches_per_second": 0.001})
    for _ in range(3):
        client.create_task(receiver.url)
    limits = {"max_dispatches_per_second": 10}
    queue = tasks_v2.Queue({"name": QUEUE, "rate_limits": limits})
    client.api.update_queue(
        queue=queue, update_mask=FieldMask(paths=["rate_limits.max_dispatches_per_second"])
    )
    loop.advance(seconds=1)
    assert len(receiver.requests) == 3
