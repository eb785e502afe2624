"""Names, limits, views, paging and error codes of the Cloud Tasks API."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import tasks_v2
from google.protobuf.field_mask_pb2 import FieldMask

from emulators.engine import Ground
from emulators.tasks import Tasks
from tests.emulators.conftest import Loop
from tests.emulators.http_receiver import HttpReceiver
from tests.emulators.tasks_client import LOCATION, QUEUE, TasksClient

Start = Callable[[Callable[[Ground], Any]], tuple[Any, int]]
URL = "http://127.0.0.1:9/"
LATER = timedelta(hours=10)


@pytest.fixture
def client(loop: Loop, start_engine: Start) -> Iterator[TasksClient]:
    loop.ground.clock.freeze()
    client = TasksClient(start_engine(Tasks)[1])
    client.create_queue()
    yield client
    client.channel.close()


def test_new_queue_gets_the_defaults(client: TasksClient) -> None:
    queue = client.api.get_queue(name=QUEUE)
    assert queue.state == tasks_v2.Queue.State.RUNNING
    assert queue.rate_limits.max_dispatches_per_second == 500
    assert queue.rate_limits.max_burst_size == 100
    assert queue.rate_limits.max_concurrent_dispatches == 1000
    assert queue.retry_config.max_attempts == 100
    assert queue.retry_config.min_backoff == timedelta(milliseconds=100)
    assert queue.retry_config.max_backoff == timedelta(hours=1)
    assert queue.retry_config.max_doublings == 16


def test_queue_exists_once(client: TasksClient) -> None:
    with pytest.raises(exceptions.AlreadyExists):
        client.create_queue()


def test_queues_are_listed_in_pages(client: TasksClient) -> None:
    for letter in "abc":
        client.create_queue(f"{LOCATION}/queues/{letter}")
    pager = client.api.list_queues(request={"parent": LOCATION, "page_size": 2})
    pages = [[queue.name.rpartition("/")[2] for queue in page.queues] for page in pager.pages]
    assert pages == [["a", "b"], ["c", "timers"]]


def test_queues_are_filtered_by_state(client: TasksClient) -> None:
    client.create_queue(f"{LOCATION}/queues/quiet")
    client.api.pause_queue(name=f"{LOCATION}/queues/quiet")
    found = client.api.list_queues(request={"parent": LOCATION, "filter": "state: PAUSED"})
    assert [queue.name for queue in found] == [f"{LOCATION}/queues/quiet"]


def test_update_changes_only_the_masked_fields(client: TasksClient) -> None:
    queue = tasks_v2.Queue({"name": QUEUE, "retry_config": {"max_attempts": 7, "max_doublings": 1}})
    mask = FieldMask(paths=["retry_config.max_attempts"])
    updated = client.api.update_queue(queue=queue, update_mask=mask)
    assert (updated.retry_config.max_attempts, updated.retry_config.max_doublings) == (7, 16)


def test_update_creates_a_missing_queue(client: TasksClient) -> None:
    name = f"{LOCATION}/queues/new"
    client.api.update_queue(queue=tasks_v2.Queue(name=name))
    assert client.api.get_queue(name=name).name == name


@pytest.mark.parametrize(
    "settings",
    [
        {"rate_limits": {"max_dispatches_per_second": 501}},
        {"rate_limits": {"max_concurrent_dispatches": 5001}},
        {"retry_config": {"max_attempts": -2}},
        {"name": f"{LOCATION}/queues/under_score"},
        {"name": f"{LOCATION}/queues/{'q' * 101}"},
        {"name": "projects/p/locations/elsewhere/queues/q"},
    ],
)
def test_bad_queue_is_refused(client: TasksClient, settings: dict[str, Any]) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        client.create_queue(**({"name": f"{LOCATION}/queues/bad"} | settings))


@pytest.mark.parametrize(
    "task",
    [
        {"http_request": {"url": "ftp://example.com"}},
        {"http_request": {"url": "http://x/" + "u" * 2083}},
        {"http_request": {"url": URL, "http_method": "GET", "body": b"x"}},
        {"http_request": {"url": URL, "headers": {"X": "y" * 81920}}},
        {"http_request": {"url": URL, "body": b"x" * (1 << 20)}},
        {"http_request": {"url": URL, "oidc_token": {"audience": "a"}}},
        {"http_request": {"url": URL}, "dispatch_deadline": {"seconds": 14}},
        {"http_request": {"url": URL}, "dispatch_deadline": {"seconds": 1801}},
        {"http_request": {"url": URL}, "name": f"{QUEUE}/tasks/a.b"},
        {"http_request": {"url": URL}, "name": f"{QUEUE}/tasks/{'t' * 501}"},
        {"http_request": {"url": URL}, "name": f"{LOCATION}/queues/other/tasks/t"},
        {"app_engine_http_request": {"relative_uri": "/x"}},
        {},
    ],
)
def test_bad_task_is_refused(client: TasksClient, task: dict[str, Any]) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        client.api.create_task(parent=QUEUE, task=tasks_v2.Task(task))
    assert client.pending() == []


def test_task_more_than_720_hours_ahead_is_refused(client: TasksClient, loop: Loop) -> None:
    horizon = loop.ground.clock.now() + timedelta(hours=720)
    client.create_task(URL, at=horizon)
    with pytest.raises(exceptions.InvalidArgument):
        client.create_task(URL, at=horizon + timedelta(seconds=1))


def test_task_for_a_missing_queue_is_refused(client: TasksClient) -> None:
    with pytest.raises(exceptions.FailedPrecondition):
        client.api.create_task(parent=f"{QUEUE}x", task=tasks_v2.Task(http_request={"url": URL}))


def test_body_is_shown_only_in_the_full_view(client: TasksClient, loop: Loop) -> None:
    at = loop.ground.clock.now() + LATER
    task = client.create_task(URL, at=at, request={"body": b"secret"})
    basic = client.api.get_task(name=task.name)
    full = client.api.get_task(
        request={"name": task.name, "response_view": tasks_v2.Task.View.FULL}
    )
    assert (task.http_request.body, basic.http_request.body) == (b"", b"")
    assert (full.http_request.body, full.view) == (b"secret", tasks_v2.Task.View.FULL)


def test_tasks_are_listed_in_pages(client: TasksClient, loop: Loop) -> None:
    for number in range(5):
        client.create_task(URL, name=f"t{number}", at=loop.ground.clock.now() + LATER)
    pager = client.api.list_tasks(request={"parent": QUEUE, "page_size": 2})
    assert [len(page.tasks) for page in pager.pages] == [2, 2, 1]


def test_failed_attempt_shows_on_the_task(
    client: TasksClient, loop: Loop, start_engine: Start
) -> None:
    receiver: HttpReceiver = start_engine(HttpReceiver)[0]
    receiver.answer_with(500)
    task = client.create_task(receiver.url)
    loop.settle()
    seen = client.api.get_task(name=task.name)
    assert (seen.dispatch_count, seen.response_count) == (1, 1)
    assert seen.last_attempt.response_status.code == 13
    assert seen.first_attempt.dispatch_time == loop.ground.clock.now()


def test_name_of_a_waiting_task_is_taken(client: TasksClient, loop: Loop) -> None:
    client.create_task(URL, name="once", at=loop.ground.clock.now() + LATER)
    with pytest.raises(exceptions.AlreadyExists):
        client.create_task(URL, name="once")


@pytest.mark.parametrize("end", ["executed", "deleted"])
def test_name_stays_taken_for_an_hour(
    client: TasksClient, loop: Loop, start_engine: Start, end: str
) -> None:
    receiver: HttpReceiver = start_engine(HttpReceiver)[0]
    if end == "executed":
        client.create_task(receiver.url, name="once")
        loop.settle()
    else:
        task = client.create_task(URL, name="once", at=loop.ground.clock.now() + LATER)
        client.api.delete_task(name=task.name)
    loop.advance(minutes=59)
    with pytest.raises(exceptions.AlreadyExists):
        client.create_task(receiver.url, name="once")
    loop.advance(minutes=1)
    client.create_task(receiver.url, name="once")


def test_deleted_task_is_not_found(client: TasksClient, loop: Loop) -> None:
    task = client.create_task(URL, at=loop.ground.clock.now() + LATER)
    client.api.delete_task(name=task.name)
    for call in (client.api.get_task, client.api.delete_task, client.api.run_task):
        with pytest.raises(exceptions.NotFound):
            call(name=task.name)
