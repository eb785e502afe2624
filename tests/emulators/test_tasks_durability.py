"""A new engine over the same folder takes up where the last one was stopped."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from google.api_core import exceptions

from emulators.tasks import Tasks
from tests.emulators.conftest import Loop, Start
from tests.emulators.http_receiver import HttpReceiver, Request, accept
from tests.emulators.tasks_client import QUEUE, TasksClient


@pytest.fixture
def loop(make_loop: Callable[..., Loop], tmp_path: Path) -> Loop:
    loop = make_loop(tmp_path / "state")
    loop.ground.clock.freeze()
    return loop


def test_waiting_and_failed_tasks_go_on(
    loop: Loop, start_engine: Start, receiver: HttpReceiver
) -> None:
    receiver.answer_with(500, 200)
    engine, port = start_engine(Tasks)
    client = TasksClient(port)
    client.create_queue(retry_config={"min_backoff": {"seconds": 60}})
    client.create_task(f"{receiver.url}/failed")
    loop.settle()
    client.create_task(f"{receiver.url}/later", at=loop.ground.clock.now() + timedelta(hours=1))
    client.channel.close()
    loop.run(engine.stop())

    start_engine(Tasks)
    assert receiver.paths == ["/failed"]
    loop.advance(hours=1)
    assert receiver.paths == ["/failed", "/failed", "/later"]
    assert receiver.requests[1].headers["X-CloudTasks-TaskRetryCount"] == "1"


def test_names_stay_taken(loop: Loop, start_engine: Start, receiver: HttpReceiver) -> None:
    engine, port = start_engine(Tasks)
    client = TasksClient(port)
    client.create_queue()
    client.create_task(receiver.url, name="once")
    loop.settle()
    client.channel.close()
    loop.run(engine.stop())

    client = TasksClient(start_engine(Tasks)[1])
    with pytest.raises(exceptions.AlreadyExists):
        client.create_task(receiver.url, name="once")
    client.channel.close()


def test_executed_task_is_not_repeated(
    loop: Loop, start_engine: Start, receiver: HttpReceiver
) -> None:
    engine, port = start_engine(Tasks)
    client = TasksClient(port)
    client.create_queue()
    client.create_task(receiver.url)
    loop.settle()
    client.channel.close()
    loop.run(engine.stop())

    start_engine(Tasks)
    loop.advance(days=1)
    assert len(receiver.requests) == 1


def test_attempt_that_was_cut_off_is_repeated(
    loop: Loop, start_engine: Start, receiver: HttpReceiver
) -> None:
    engine, port = start_engine(Tasks)

    async def hang(request: Request) -> web.Response:
        await loop.ground.faults.cleared()
        return await accept(request)

    receiver.answer = hang
    client = TasksClient(port)
    client.create_queue()
    client.create_task(receiver.url)
    client.channel.close()
    loop.run(engine.stop())

    receiver.answer = accept
    engine, _ = start_engine(Tasks)
    loop.settle()
    loop.loop.call_soon_threadsafe(loop.ground.faults.clear)
    assert [task["last_status"] for task in engine.describe()["executed"]] == [200]


def test_name_of_a_deleted_queue_stays_taken(loop: Loop, start_engine: Start) -> None:
    engine, port = start_engine(Tasks)
    client = TasksClient(port)
    client.create_queue()
    client.api.delete_queue(name=QUEUE)
    client.channel.close()
    loop.run(engine.stop())

    client = TasksClient(start_engine(Tasks)[1])
    with pytest.raises(exceptions.FailedPrecondition):
        client.create_queue()
    client.channel.close()


def test_batch_is_remembered(loop: Loop, start_engine: Start) -> None:
    engine, port = start_engine(Tasks)
    client = TasksClient(port)
    client.create_queue()
    client.api.pause_queue(name=QUEUE)
    each = {"parent": QUEUE, "task": {"http_request": {"url": "http://127.0.0.1:9/"}}}
    request = {"parent": QUEUE, "requests": [each], "request_id": "r1"}
    made = client.api.batch_create_tasks(request=request).operation.name
    client.channel.close()
    loop.run(engine.stop())

    client = TasksClient(start_engine(Tasks)[1])
    assert client.api.get_operation({"name": made}).done
    assert client.api.batch_create_tasks(request=request).operation.name == made
    assert len(client.pending()) == 1
    client.channel.close()
