"""Tasks are dispatched once, when due, with the headers and tokens of Cloud Tasks."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import jwt
import pytest
from aiohttp import web
from google.api_core import exceptions

from emulators import http_target
from emulators.faults import Fault, FaultKind
from emulators.tasks import Tasks
from tests.emulators.conftest import Loop, Start
from tests.emulators.http_receiver import HttpReceiver, Request, accept
from tests.emulators.tasks_client import QUEUE, TasksClient


@pytest.fixture
def client(loop: Loop, start_engine: Start) -> Iterator[TasksClient]:
    loop.ground.clock.freeze()
    client = TasksClient(start_engine(Tasks)[1])
    client.create_queue()
    yield client
    client.channel.close()


def test_task_due_now_is_dispatched(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    client.create_task(f"{receiver.url}/run?x=1", request={"body": b"hello"})
    loop.settle()
    [request] = receiver.requests
    assert (request.method, request.path, request.body) == ("POST", "/run?x=1", b"hello")


def test_executed_task_is_gone(client: TasksClient, receiver: HttpReceiver, loop: Loop) -> None:
    task = client.create_task(receiver.url)
    loop.settle()
    with pytest.raises(exceptions.NotFound):
        client.api.get_task(name=task.name)


def test_first_attempt_carries_the_documented_headers(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    headers = {"X-Mine": "1", "User-Agent": "me", "X-CloudTasks-TaskName": "forged"}
    client.create_task(receiver.url, name="renew-1", request={"headers": headers})
    loop.settle()
    sent = receiver.requests[0].headers
    assert sent["User-Agent"] == "Google-Cloud-Tasks"
    assert sent["X-CloudTasks-QueueName"] == "timers"
    assert sent["X-CloudTasks-TaskName"] == "renew-1"
    assert sent["X-CloudTasks-TaskRetryCount"] == "0"
    assert sent["X-CloudTasks-TaskExecutionCount"] == "0"
    assert float(sent["X-CloudTasks-TaskETA"]) == pytest.approx(loop.ground.clock.time())
    assert sent["X-Mine"] == "1"
    assert "X-CloudTasks-TaskPreviousResponse" not in sent
    assert "X-CloudTasks-TaskRetryReason" not in sent
    assert "Content-Type" not in sent


def test_retry_carries_what_happened_before(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    receiver.answer_with(500, 404, 200)
    client.create_task(receiver.url)
    loop.advance(minutes=1)
    seen = [
        (
            request.headers["X-CloudTasks-TaskRetryCount"],
            request.headers["X-CloudTasks-TaskExecutionCount"],
            request.headers.get("X-CloudTasks-TaskPreviousResponse"),
            request.headers.get("X-CloudTasks-TaskRetryReason"),
        )
        for request in receiver.requests
    ]
    assert seen == [
        ("0", "0", None, None),
        ("1", "0", "500", ""),
        ("2", "1", "404", ""),
    ]


def test_oidc_token_is_signed_for_the_given_audience(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    token = {"service_account_email": "tasks@local.iam", "audience": "https://agent"}
    client.create_task(receiver.url, request={"oidc_token": token})
    loop.settle()
    claims = _bearer(receiver)
    assert (claims["aud"], claims["email"], claims["email_verified"]) == (
        "https://agent",
        "tasks@local.iam",
        True,
    )


def test_oidc_audience_is_the_url_by_default(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    url = f"{receiver.url}/agent"
    client.create_task(url, request={"oidc_token": {"service_account_email": "tasks@local.iam"}})
    loop.settle()
    assert _bearer(receiver)["aud"] == url


def test_oauth_token_carries_the_scope(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    token = {"service_account_email": "tasks@local.iam"}
    client.create_task(receiver.url, request={"oauth_token": token})
    loop.settle()
    assert _bearer(receiver)["scope"] == "https://www.googleapis.com/auth/cloud-platform"


def test_later_task_waits_for_its_time(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    client.create_task(receiver.url, at=loop.ground.clock.now() + timedelta(days=20))
    loop.advance(days=19, hours=23)
    assert receiver.requests == []
    loop.advance(hours=1)
    assert len(receiver.requests) == 1


def test_tasks_run_in_order_of_their_time(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    now = loop.ground.clock.now()
    for minutes in (30, 10, 20):
        client.create_task(f"{receiver.url}/{minutes}", at=now + timedelta(minutes=minutes))
    loop.advance(hours=1)
    assert receiver.paths == ["/10", "/20", "/30"]


def test_past_schedule_time_becomes_now(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    now = loop.ground.clock.now()
    task = client.create_task(receiver.url, at=now - timedelta(days=1))
    assert task.schedule_time == now


def test_deleted_task_does_not_run(client: TasksClient, receiver: HttpReceiver, loop: Loop) -> None:
    at = loop.ground.clock.now() + timedelta(hours=1)
    task = client.create_task(receiver.url, at=at)
    client.api.delete_task(name=task.name)
    loop.advance(hours=2)
    assert receiver.requests == []


def test_run_task_dispatches_ahead_of_time_on_a_paused_queue(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    client.api.pause_queue(name=QUEUE)
    at = loop.ground.clock.now() + timedelta(hours=1)
    task = client.api.run_task(name=client.create_task(receiver.url, at=at).name)
    loop.settle()
    assert task.dispatch_count == 1
    assert len(receiver.requests) == 1
    loop.advance(hours=2)
    assert len(receiver.requests) == 1


def test_run_of_an_executed_task_is_refused(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    task = client.create_task(receiver.url, name="done")
    loop.settle()
    with pytest.raises(exceptions.NotFound):
        client.api.run_task(name=task.name)


def test_redirect_is_followed_within_one_attempt(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    receiver.answer_with(307, 200, Location="/elsewhere")
    client.create_task(f"{receiver.url}/here")
    loop.advance(hours=1)
    assert receiver.paths == ["/here", "/elsewhere"]


def test_unreachable_target_is_retried(client: TasksClient, loop: Loop) -> None:
    task = client.create_task("http://127.0.0.1:9/")
    loop.settle()
    seen = client.api.get_task(name=task.name)
    assert (seen.dispatch_count, seen.response_count) == (1, 0)
    assert seen.last_attempt.response_status.code == 14


@pytest.fixture
def silent(loop: Loop, receiver: HttpReceiver) -> Iterator[HttpReceiver]:
    """A receiver that answers only when faults are cleared."""

    async def be_silent(request: Request) -> web.Response:
        await loop.ground.faults.cleared()
        return await accept(request)

    receiver.answer = be_silent
    yield receiver
    loop.loop.call_soon_threadsafe(loop.ground.faults.clear)


def test_silent_target_meets_the_deadline(loop: Loop, silent: HttpReceiver) -> None:
    call = http_target.Call("POST", silent.url, {})
    reply = loop.run(http_target.dispatch(loop.ground, call, timedelta(milliseconds=50)))
    assert (reply.status, reply.status_code) == (None, 4)


def test_silent_target_cannot_hold_up_virtual_time(
    client: TasksClient, loop: Loop, silent: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_target, "STALL_SECONDS", 0.2)
    task = client.create_task(silent.url)
    loop.advance(milliseconds=100)
    seen = client.api.get_task(name=task.name)
    assert seen.dispatch_count == 2
    assert (seen.response_count, seen.last_attempt.response_status.code) == (0, 4)
    assert silent.requests[1].headers["X-CloudTasks-TaskPreviousResponse"] == "504"


def test_duplicate_fault_delivers_twice(
    client: TasksClient, receiver: HttpReceiver, loop: Loop
) -> None:
    loop.ground.faults.add(Fault("tasks", FaultKind.DUPLICATE, count=1))
    client.create_task(receiver.url)
    loop.settle()
    assert len(receiver.requests) == 2


def test_console_sees_pending_and_executed_tasks(
    loop: Loop, start_engine: Start, receiver: HttpReceiver
) -> None:
    engine, port = start_engine(Tasks)
    client = TasksClient(port)
    client.create_queue()
    client.create_task(f"{receiver.url}/now", name="now")
    at = loop.ground.clock.now() + timedelta(days=1)
    client.create_task(f"{receiver.url}/later", name="later", at=at)
    loop.settle()
    shown = engine.describe()
    client.channel.close()
    assert [task["name"] for task in shown["queues"][0]["pending"]] == [f"{QUEUE}/tasks/later"]
    assert [(task["name"], task["last_status"]) for task in shown["executed"]] == [
        (f"{QUEUE}/tasks/now", 200)
    ]


def _bearer(receiver: HttpReceiver) -> dict[str, Any]:
    scheme, _, token = receiver.requests[0].headers["Authorization"].partition(" ")
    assert scheme == "Bearer"
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims
