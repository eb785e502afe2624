"""Names, limits, views, paging and error codes of tasks.

There is no official emulator. Messages and codes are those recorded from the service itself in the
conformance tests of https://github.com/aertje/cloud-tasks-emulator.
"""

from datetime import timedelta
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import tasks_v2

from tests.emulators.conftest import Loop, Start
from tests.emulators.http_receiver import HttpReceiver
from tests.emulators.tasks_client import LATER, LOCATION, QUEUE, URL, TasksClient


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
def test_bad_task_is_refused(tasks: TasksClient, task: dict[str, Any]) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        tasks.api.create_task(parent=QUEUE, task=tasks_v2.Task(task))
    assert tasks.pending() == []


def test_task_more_than_720_hours_ahead_is_refused(tasks: TasksClient, loop: Loop) -> None:
    horizon = loop.ground.clock.now() + timedelta(hours=720)
    tasks.create_task(URL, at=horizon)
    with pytest.raises(exceptions.InvalidArgument):
        tasks.create_task(URL, at=horizon + timedelta(seconds=1))


def test_task_for_a_missing_queue_is_refused(tasks: TasksClient) -> None:
    with pytest.raises(exceptions.NotFound, match="Queue does not exist"):
        tasks.api.create_task(parent=f"{QUEUE}x", task=tasks_v2.Task(http_request={"url": URL}))


def test_body_is_shown_only_in_the_full_view(tasks: TasksClient, loop: Loop) -> None:
    at = loop.ground.clock.now() + LATER
    task = tasks.create_task(URL, at=at, request={"body": b"secret"})
    basic = tasks.api.get_task(name=task.name)
    full = tasks.api.get_task(request={"name": task.name, "response_view": tasks_v2.Task.View.FULL})
    assert (task.http_request.body, basic.http_request.body) == (b"", b"")
    assert (full.http_request.body, full.view) == (b"secret", tasks_v2.Task.View.FULL)


def test_tasks_are_listed_in_pages(tasks: TasksClient, loop: Loop) -> None:
    for number in range(5):
        tasks.create_task(URL, name=f"t{number}", at=loop.ground.clock.now() + LATER)
    pager = tasks.api.list_tasks(request={"parent": QUEUE, "page_size": 2})
    assert [len(page.tasks) for page in pager.pages] == [2, 2, 1]


def test_failed_attempt_shows_on_the_task(
    tasks: TasksClient, loop: Loop, start_engine: Start
) -> None:
    receiver: HttpReceiver = start_engine(HttpReceiver)[0]
    receiver.answer_with(500)
    task = tasks.create_task(receiver.url)
    loop.settle()
    seen = tasks.api.get_task(name=task.name)
    assert (seen.dispatch_count, seen.response_count) == (1, 1)
    assert seen.last_attempt.response_status.code == 13
    assert seen.first_attempt.dispatch_time == loop.ground.clock.now()


def test_name_of_a_waiting_task_is_taken(tasks: TasksClient, loop: Loop) -> None:
    tasks.create_task(URL, name="once", at=loop.ground.clock.now() + LATER)
    with pytest.raises(exceptions.AlreadyExists):
        tasks.create_task(URL, name="once")


@pytest.mark.parametrize("end", ["executed", "deleted"])
def test_name_stays_taken_for_a_day(
    tasks: TasksClient, loop: Loop, start_engine: Start, end: str
) -> None:
    receiver: HttpReceiver = start_engine(HttpReceiver)[0]
    if end == "executed":
        tasks.create_task(receiver.url, name="once")
        loop.settle()
    else:
        task = tasks.create_task(URL, name="once", at=loop.ground.clock.now() + LATER)
        tasks.api.delete_task(name=task.name)
    loop.advance(hours=23, minutes=59)
    with pytest.raises(exceptions.AlreadyExists, match="existed too recently"):
        tasks.create_task(receiver.url, name="once")
    loop.advance(minutes=1)
    tasks.create_task(receiver.url, name="once")


def test_deleted_task_is_not_found(tasks: TasksClient, loop: Loop) -> None:
    task = tasks.create_task(URL, at=loop.ground.clock.now() + LATER)
    tasks.api.delete_task(name=task.name)
    for call in (tasks.api.get_task, tasks.api.delete_task, tasks.api.run_task):
        with pytest.raises(exceptions.NotFound):
            call(name=task.name)


def test_new_task_shows_its_defaults(tasks: TasksClient, loop: Loop) -> None:
    task = tasks.create_task(URL, at=loop.ground.clock.now() + LATER)
    assert task.http_request.http_method == tasks_v2.HttpMethod.POST
    assert dict(task.http_request.headers) == {"User-Agent": "Google-Cloud-Tasks"}
    assert task.dispatch_deadline == timedelta(minutes=10)
    assert task.create_time == loop.ground.clock.now().replace(microsecond=0)
    assert (task.view, task.dispatch_count) == (tasks_v2.Task.View.BASIC, 0)


def test_user_agent_is_replaced_and_other_headers_keep_their_case(
    tasks: TasksClient, loop: Loop
) -> None:
    headers = {"user-agent": "me", "content-type": "application/json", "X-Mixed-Case": "1"}
    at = loop.ground.clock.now() + LATER
    task = tasks.create_task(URL, at=at, request={"headers": headers})
    assert dict(task.http_request.headers) == {
        "User-Agent": "Google-Cloud-Tasks",
        "content-type": "application/json",
        "X-Mixed-Case": "1",
    }


def test_app_engine_task_shows_its_routing_and_headers(tasks: TasksClient) -> None:
    tasks.api.pause_queue(name=QUEUE)
    request = {"app_engine_routing": {"service": "worker", "version": "v1"}, "body": b"x"}
    task = tasks.api.create_task(parent=QUEUE, task=tasks_v2.Task(app_engine_http_request=request))
    sent = task.app_engine_http_request
    assert sent.relative_uri == "/"
    assert sent.app_engine_routing.host == "v1.worker.clinicloop-local.appspot.com"
    assert dict(sent.headers) == {
        "User-Agent": "AppEngine-Google; (+http://code.google.com/appengine)",
        "Content-Type": "application/octet-stream",
        "Content-Length": "1",
    }
    assert sent.body == b""


def test_task_may_be_as_large_as_a_mebibyte_but_seven_bytes(tasks: TasksClient, loop: Loop) -> None:
    at = loop.ground.clock.now() + LATER
    full = tasks_v2.Task.View.FULL
    sized = tasks.create_task(URL, name="n1", at=at, request={"body": b"x" * (1 << 19)})
    stored = tasks.api.get_task(request={"name": sized.name, "response_view": full})
    message = tasks_v2.Task.pb(stored)
    message.ClearField("view")
    room = (1 << 20) - 7 - message.ByteSize() + (1 << 19)
    tasks.create_task(URL, name="n2", at=at, request={"body": b"x" * room})
    with pytest.raises(exceptions.InvalidArgument, match="Task size too large"):
        tasks.create_task(URL, name="n3", at=at, request={"body": b"x" * (room + 1)})


def test_executed_task_is_told_from_one_that_never_was(tasks: TasksClient, loop: Loop) -> None:
    with pytest.raises(exceptions.NotFound, match="Requested entity was not found"):
        tasks.api.get_task(name=f"{QUEUE}/tasks/never")
    tasks.create_task(URL, name="gone", at=loop.ground.clock.now() + LATER)
    tasks.api.delete_task(name=f"{QUEUE}/tasks/gone")
    with pytest.raises(exceptions.NotFound, match="existed recently"):
        tasks.api.get_task(name=f"{QUEUE}/tasks/gone")
