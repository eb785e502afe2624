"""Names, limits, views, paging and error codes of tasks.

There is no official emulator. Messages and codes are those recorded from the service itself in the
conformance tests of https://github.com/aertje/cloud-tasks-emulator.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import tasks_v2

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
        {"http_request": {"url": ""}},
        {"http_request": {"url": "http://x:99999/"}},
        {"http_request": {"url": "http://[::1/"}},
        {"http_request": {"url": URL, "headers": {"X": "a\nb"}}},
        {"http_request": {"url": URL, "headers": {"X Y": "z"}}},
        {"http_request": {"url": URL, "oauth_token": {"scope": "s"}}},
        {"http_request": {"url": URL}, "dispatch_deadline": {"seconds": -1}},
        {"http_request": {"url": URL}, "retry_config": {"max_attempts": -2}},
        {"http_request": {"url": URL}, "name": f"{QUEUE}/tasks/"},
        {"http_request": {"url": URL}, "name": "once"},
        {"app_engine_http_request": {"relative_uri": "x"}},
        {"app_engine_http_request": {"relative_uri": "/a b"}},
        {"app_engine_http_request": {"http_method": "PATCH", "body": b"x"}},
        {"app_engine_http_request": {"body": b"x" * (1 << 20)}},
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
    with pytest.raises(exceptions.NotFound, match="Queue does not exist"):
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
def test_name_stays_taken_for_a_day(
    client: TasksClient, loop: Loop, start_engine: Start, end: str
) -> None:
    receiver: HttpReceiver = start_engine(HttpReceiver)[0]
    if end == "executed":
        client.create_task(receiver.url, name="once")
        loop.settle()
    else:
        task = client.create_task(URL, name="once", at=loop.ground.clock.now() + LATER)
        client.api.delete_task(name=task.name)
    loop.advance(hours=23, minutes=59)
    with pytest.raises(exceptions.AlreadyExists, match="existed too recently"):
        client.create_task(receiver.url, name="once")
    loop.advance(minutes=1)
    client.create_task(receiver.url, name="once")


def test_deleted_task_is_not_found(client: TasksClient, loop: Loop) -> None:
    task = client.create_task(URL, at=loop.ground.clock.now() + LATER)
    client.api.delete_task(name=task.name)
    for call in (client.api.get_task, client.api.delete_task, client.api.run_task):
        with pytest.raises(exceptions.NotFound):
            call(name=task.name)


def test_new_task_shows_its_defaults(client: TasksClient, loop: Loop) -> None:
    task = client.create_task(URL, at=loop.ground.clock.now() + LATER)
    assert task.http_request.http_method == tasks_v2.HttpMethod.POST
    assert dict(task.http_request.headers) == {"User-Agent": "Google-Cloud-Tasks"}
    assert task.dispatch_deadline == timedelta(minutes=10)
    assert task.create_time == loop.ground.clock.now().replace(microsecond=0)
    assert (task.view, task.dispatch_count) == (tasks_v2.Task.View.BASIC, 0)


def test_user_agent_is_replaced_and_other_headers_keep_their_case(
    client: TasksClient, loop: Loop
) -> None:
    headers = {"user-agent": "me", "content-type": "application/json", "X-Mixed-Case": "1"}
    at = loop.ground.clock.now() + LATER
    task = client.create_task(URL, at=at, request={"headers": headers})
    assert dict(task.http_request.headers) == {
        "User-Agent": "Google-Cloud-Tasks",
        "content-type": "application/json",
        "X-Mixed-Case": "1",
    }


def test_app_engine_task_shows_its_routing_and_headers(client: TasksClient) -> None:
    client.api.pause_queue(name=QUEUE)
    request = {"app_engine_routing": {"service": "worker", "version": "v1"}, "body": b"x"}
    task = client.api.create_task(parent=QUEUE, task=tasks_v2.Task(app_engine_http_request=request))
    sent = task.app_engine_http_request
    assert sent.relative_uri == "/"
    assert sent.app_engine_routing.host == "v1.worker.clinicloop-local.appspot.com"
    assert dict(sent.headers) == {
        "User-Agent": "AppEngine-Google; (+http://code.google.com/appengine)",
        "Content-Type": "application/octet-stream",
        "Content-Length": "1",
    }
    assert sent.body == b""


def test_task_may_be_as_large_as_a_mebibyte_but_seven_bytes(
    client: TasksClient, loop: Loop
) -> None:
    at = loop.ground.clock.now() + LATER
    full = tasks_v2.Task.View.FULL
    sized = client.create_task(URL, name="n1", at=at, request={"body": b"x" * (1 << 19)})
    stored = client.api.get_task(request={"name": sized.name, "response_view": full})
    message = tasks_v2.Task.pb(stored)
    message.ClearField("view")
    room = (1 << 20) - 7 - message.ByteSize() + (1 << 19)
    client.create_task(URL, name="n2", at=at, request={"body": b"x" * room})
    with pytest.raises(exceptions.InvalidArgument, match="Task size too large"):
        client.create_task(URL, name="n3", at=at, request={"body": b"x" * (room + 1)})


def test_executed_task_is_told_from_one_that_never_was(client: TasksClient, loop: Loop) -> None:
    with pytest.raises(exceptions.NotFound, match="Requested entity was not found"):
        client.api.get_task(name=f"{QUEUE}/tasks/never")
    client.create_task(URL, name="gone", at=loop.ground.clock.now() + LATER)
    client.api.delete_task(name=f"{QUEUE}/tasks/gone")
    with pytest.raises(exceptions.NotFound, match="existed recently"):
        client.api.get_task(name=f"{QUEUE}/tasks/gone")
