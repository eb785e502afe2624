"""Targets of queues, App Engine targets, and what becomes of tasks that nobody runs."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
from google.api_core import exceptions
from google.cloud import tasks_v2
from google.protobuf.field_mask_pb2 import FieldMask

from emulators.app_engine import ADDRESS
from emulators.tasks import Tasks
from tests.emulators.conftest import Loop, Start
from tests.emulators.http_receiver import HttpReceiver
from tests.emulators.tasks_client import QUEUE, TasksClient

ELSEWHERE = "http://203.0.113.7:4444/from?the=task"


@pytest.fixture
def client(loop: Loop, start_engine: Start) -> Iterator[TasksClient]:
    loop.ground.clock.freeze()
    client = TasksClient(start_engine(Tasks)[1])
    yield client
    client.channel.close()


def to(receiver: HttpReceiver, **uri: Any) -> dict[str, Any]:
    """A URI override that leads to the receiver."""
    address = urlsplit(receiver.url)
    return {"scheme": "HTTP", "host": address.hostname, "port": address.port} | uri


def test_queue_sends_its_tasks_elsewhere(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    client.create_queue(http_target={"uri_override": to(receiver)})
    client.create_task("https://203.0.113.7/from?the=task")
    loop.settle()
    assert receiver.paths == ["/from?the=task"]


def test_queue_overrides_path_and_query(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    uri = to(receiver, path_override={"path": "/new"}, query_override={"query_params": "a=1&b=2"})
    client.create_queue(http_target={"uri_override": uri})
    client.create_task(ELSEWHERE)
    loop.settle()
    assert receiver.paths == ["/new?a=1&b=2"]


def test_empty_overrides_clear_path_and_query(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    uri = to(receiver, path_override={"path": ""}, query_override={"query_params": ""})
    client.create_queue(http_target={"uri_override": uri})
    client.create_task(ELSEWHERE)
    loop.settle()
    assert receiver.paths == ["/"]


def test_task_with_a_url_keeps_it_where_the_queue_says_so(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    uri = {"host": "203.0.113.7", "uri_override_enforce_mode": "IF_NOT_EXISTS"}
    client.create_queue(http_target={"uri_override": uri})
    client.create_task(f"{receiver.url}/mine")
    loop.settle()
    assert receiver.paths == ["/mine"]


def test_queue_overrides_method_headers_and_token(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    oidc = {"service_account_email": "queue@local.iam", "audience": "https://queue"}
    target = {
        "http_method": "PUT",
        "header_overrides": [{"header": {"key": "X-Mine", "value": "queue"}}],
        "oidc_token": oidc,
    }
    client.create_queue(http_target=target)
    request = {"headers": {"x-mine": "task", "X-Other": "1"}, "body": b"x"}
    task = client.create_task(receiver.url, request=request)
    loop.settle()
    [sent] = receiver.requests
    assert (sent.method, sent.body) == ("PUT", b"x")
    assert (sent.headers["X-Mine"], sent.headers["X-Other"]) == ("queue", "1")
    token = sent.headers["Authorization"].removeprefix("Bearer ")
    assert jwt.decode(token, options={"verify_signature": False})["aud"] == "https://queue"
    assert task.http_request.http_method == tasks_v2.HttpMethod.POST


def test_body_is_dropped_where_the_queue_gets(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    client.create_queue(http_target={"http_method": "GET"})
    client.create_task(receiver.url, request={"body": b"x"})
    loop.settle()
    assert [(sent.method, sent.body) for sent in receiver.requests] == [("GET", b"")]


def test_changed_target_holds_for_pending_tasks(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    client.create_queue()
    client.create_task(ELSEWHERE, at=loop.ground.clock.now() + timedelta(hours=1))
    queue = tasks_v2.Queue({"name": QUEUE, "http_target": {"uri_override": to(receiver)}})
    client.api.update_queue(queue=queue, update_mask=FieldMask(paths=["http_target.uri_override"]))
    loop.advance(hours=1)
    assert receiver.paths == ["/from?the=task"]


def test_app_engine_task_goes_to_the_address_that_is_set(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    receiver.answer_with(503, 404, 200)
    loop.ground.settings[ADDRESS] = receiver.url
    client.create_queue(app_engine_routing_override={"service": "queue"})
    request = {"relative_uri": "/tasks?x=1", "body": b"hi", "headers": {"User-Agent": "me"}}
    task: dict[str, Any] = {"name": f"{QUEUE}/tasks/one", "app_engine_http_request": request}
    client.api.create_task(parent=QUEUE, task=tasks_v2.Task(task))
    loop.advance(seconds=1)
    first, _, third = receiver.requests
    assert (first.method, first.path, first.body) == ("POST", "/tasks?x=1", b"hi")
    assert first.headers["Host"] == "queue.clinicloop-local.appspot.com"
    assert first.headers["User-Agent"].startswith("me AppEngine-Google")
    assert first.headers["Content-Type"] == "application/octet-stream"
    assert first.headers["X-AppEngine-TaskName"] == "one"
    assert first.headers["X-AppEngine-QueueName"] == "timers"
    assert third.headers["X-AppEngine-TaskRetryCount"] == "2"
    assert third.headers["X-AppEngine-TaskExecutionCount"] == "2"
    assert third.headers["X-AppEngine-TaskPreviousResponse"] == "404"
    assert third.headers["X-AppEngine-TaskRetryReason"] == "App Error"


def test_app_engine_task_fails_where_there_is_no_app_engine(
    client: TasksClient, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ADDRESS, raising=False)
    client.create_queue()
    task = tasks_v2.Task(app_engine_http_request={})
    made = client.api.create_task(parent=QUEUE, task=task)
    loop.settle()
    seen = client.api.get_task(name=made.name)
    assert (seen.dispatch_count, seen.last_attempt.response_status.code) == (1, 5)


def test_task_of_31_days_is_deleted_undispatched(client: TasksClient, loop: Loop) -> None:
    client.create_queue()
    client.api.pause_queue(name=QUEUE)
    task = client.create_task(ELSEWHERE)
    loop.advance(days=30, hours=23)
    assert client.api.get_task(name=task.name).name == task.name
    loop.advance(hours=1)
    assert client.pending() == []
    with pytest.raises(exceptions.NotFound):
        client.api.get_task(name=task.name)


def test_retry_after_may_be_a_date(client: TasksClient, receiver: HttpReceiver, loop: Loop) -> None:
    loop.ground.clock.freeze(datetime(2050, 1, 1, tzinfo=UTC))
    date = format_datetime(datetime(2050, 1, 1, 0, 5, tzinfo=UTC), usegmt=True)
    receiver.answer_with(503, **{"Retry-After": date})
    client.create_queue()
    task = client.create_task(receiver.url)
    loop.settle()
    due: Any = client.api.get_task(name=task.name).schedule_time
    assert due == datetime(2050, 1, 1, 0, 5, tzinfo=UTC)


def test_run_task_of_a_failing_target_waits_from_the_call(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    receiver.answer_with(500)
    client.create_queue(retry_config={"min_backoff": {"seconds": 60}})
    called = loop.ground.clock.now()
    task = client.create_task(receiver.url, at=called + timedelta(hours=1))
    client.api.run_task(name=task.name)
    loop.settle()
    due: Any = client.api.get_task(name=task.name).schedule_time
    assert due == called + timedelta(seconds=60)


def test_redirects_without_end_are_a_failure(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    receiver.answer_with(307, Location="/again")
    client.create_queue(retry_config={"max_attempts": 1})
    client.create_task(receiver.url)
    loop.settle()
    assert client.pending() == []


def test_redirect_to_nowhere_is_a_failure(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    receiver.answer_with(302, 200)
    client.create_queue()
    client.create_task(receiver.url)
    loop.advance(seconds=1)
    assert receiver.requests[1].headers["X-CloudTasks-TaskPreviousResponse"] == "302"
