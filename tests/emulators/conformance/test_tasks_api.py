"""Names, limits, views, paging and error codes of the Cloud Tasks API.

There is no official emulator. Messages and codes are those recorded from the service itself in the
conformance tests of https://github.com/aertje/cloud-tasks-emulator.
"""

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
        {"rate_limits": {"max_dispatches_per_second": -1}},
        {"rate_limits": {"max_concurrent_dispatches": -1}},
        {"retry_config": {"max_doublings": -1}},
        {"retry_config": {"min_backoff": {"seconds": -1}}},
        {"retry_config": {"min_backoff": {"seconds": 60}, "max_backoff": {"seconds": 59}}},
        {"stackdriver_logging_config": {"sampling_ratio": 1.5}},
        {"http_target": {"uri_override": {"host": ""}}},
        {"http_target": {"uri_override": {"port": -1}}},
        {"http_target": {"oidc_token": {"service_account_email": "a@b"}}},
        {"http_target": {"oauth_token": {"service_account_email": "a@b"}}},
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
    task = client.api.create_task(parent=QUEUE, task={"app_engine_http_request": request})
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
    stored.view = tasks_v2.Task.View.VIEW_UNSPECIFIED
    room = (1 << 20) - 7 - tasks_v2.Task.pb(stored).ByteSize() + (1 << 19)
    client.create_task(URL, name="n2", at=at, request={"body": b"x" * room})
    with pytest.raises(exceptions.InvalidArgument, match="Task size too large"):
        client.create_task(URL, name="n3", at=at, request={"body": b"x" * (room + 1)})


def test_deleted_queue_leaves_its_name_taken_for_three_days(
    client: TasksClient, loop: Loop
) -> None:
    client.api.delete_queue(name=QUEUE)
    with pytest.raises(exceptions.NotFound):
        client.api.get_queue(name=QUEUE)
    with pytest.raises(exceptions.NotFound):
        client.create_task(URL)
    loop.advance(days=2, hours=23)
    with pytest.raises(exceptions.FailedPrecondition, match="existed too recently"):
        client.create_queue()
    loop.advance(hours=1)
    assert client.create_queue().name == QUEUE


def test_missing_queue_is_not_found(client: TasksClient) -> None:
    name = f"{LOCATION}/queues/nobody"
    calls: list[Callable[..., Any]] = [
        client.api.get_queue,
        client.api.delete_queue,
        client.api.purge_queue,
        client.api.pause_queue,
        client.api.resume_queue,
    ]
    for call in calls:
        with pytest.raises(exceptions.NotFound):
            call(name=name)
    with pytest.raises(exceptions.NotFound):
        list(client.api.list_tasks(parent=name))


def test_executed_task_is_told_from_one_that_never_was(client: TasksClient, loop: Loop) -> None:
    with pytest.raises(exceptions.NotFound, match="Requested entity was not found"):
        client.api.get_task(name=f"{QUEUE}/tasks/never")
    client.create_task(URL, name="gone", at=loop.ground.clock.now() + LATER)
    client.api.delete_task(name=f"{QUEUE}/tasks/gone")
    with pytest.raises(exceptions.NotFound, match="existed recently"):
        client.api.get_task(name=f"{QUEUE}/tasks/gone")


def test_output_only_fields_of_a_queue_are_ignored(client: TasksClient) -> None:
    given = {
        "name": f"{LOCATION}/queues/new",
        "state": tasks_v2.Queue.State.PAUSED,
        "rate_limits": {"max_burst_size": -5, "max_dispatches_per_second": 20},
    }
    queue = client.api.create_queue(parent=LOCATION, queue=given)
    assert queue.state == tasks_v2.Queue.State.RUNNING
    assert queue.rate_limits.max_burst_size == 20


def test_update_with_an_unknown_field_is_refused(client: TasksClient) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        client.api.update_queue(
            queue=tasks_v2.Queue(name=QUEUE), update_mask=FieldMask(paths=["colour"])
        )


def test_masked_field_that_is_unset_returns_to_its_default(client: TasksClient) -> None:
    settings = {"name": QUEUE, "retry_config": {"max_attempts": 7}}
    client.api.update_queue(queue=tasks_v2.Queue(settings))
    updated = client.api.update_queue(
        queue=tasks_v2.Queue(name=QUEUE), update_mask=FieldMask(paths=["retry_config"])
    )
    assert updated.retry_config.max_attempts == 100


def test_whole_seconds_are_kept_of_a_backoff(client: TasksClient) -> None:
    retry = {"min_backoff": {"seconds": 1, "nanos": 5 * 10**8}, "max_backoff": {"seconds": 9}}
    queue = client.create_queue(f"{LOCATION}/queues/new", retry_config=retry)
    assert queue.retry_config.min_backoff == timedelta(seconds=1)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("state: PAUSED", ["slow"]),
        ("state=RUNNING AND rate_limits.max_dispatches_per_second<100", ["brisk"]),
        (
            "rateLimits.maxDispatchesPerSecond >= 5 retry_config.max_attempts != 3",
            ["brisk", "timers"],
        ),
        ("NOT (state:PAUSED OR state:RUNNING)", []),
        ('name:"queues/BRISK" OR retry_config.max_attempts = 3', ["brisk", "slow"]),
        ("retry_config.min_backoff > 1s", ["slow"]),
        ("-state:PAUSED", ["brisk", "timers"]),
        ("purge_time:*", []),
    ],
)
def test_queues_are_filtered_by_any_field(client: TasksClient, text: str, names: list[str]) -> None:
    client.create_queue(f"{LOCATION}/queues/brisk", rate_limits={"max_dispatches_per_second": 50})
    client.create_queue(
        f"{LOCATION}/queues/slow",
        rate_limits={"max_dispatches_per_second": 1},
        retry_config={"max_attempts": 3, "min_backoff": {"seconds": 2}},
    )
    client.api.pause_queue(name=f"{LOCATION}/queues/slow")
    found = client.api.list_queues(request={"parent": LOCATION, "filter": text})
    assert [queue.name.rpartition("/")[2] for queue in found] == names


@pytest.mark.parametrize("text", ["state", "colour: RED", "state: (", "rate_limits: 5", "a ~ b"])
def test_bad_filter_is_refused(client: TasksClient, text: str) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        list(client.api.list_queues(request={"parent": LOCATION, "filter": text}))


def test_page_token_holds_only_for_its_filter(client: TasksClient) -> None:
    client.create_queue(f"{LOCATION}/queues/other")
    first = next(client.api.list_queues(request={"parent": LOCATION, "page_size": 1}).pages)
    token = first.next_page_token
    for request in (
        {"parent": LOCATION, "page_token": "no token"},
        {"parent": LOCATION, "page_token": token, "filter": "state:RUNNING"},
        {"parent": LOCATION, "page_size": -1},
    ):
        with pytest.raises(exceptions.InvalidArgument):
            list(client.api.list_queues(request=request))


def test_policy_of_a_queue_is_kept(client: TasksClient) -> None:
    assert list(client.api.get_iam_policy({"resource": QUEUE}).bindings) == []
    binding = {"role": "roles/cloudtasks.enqueuer", "members": ["user:a@example.com"]}
    client.api.set_iam_policy({"resource": QUEUE, "policy": {"bindings": [binding]}})
    policy = client.api.get_iam_policy({"resource": QUEUE})
    assert [(each.role, list(each.members)) for each in policy.bindings] == [
        ("roles/cloudtasks.enqueuer", ["user:a@example.com"])
    ]


def test_stale_policy_is_refused(client: TasksClient) -> None:
    stale = client.api.get_iam_policy({"resource": QUEUE})
    client.api.set_iam_policy({"resource": QUEUE, "policy": {"bindings": [{"role": "r"}]}})
    with pytest.raises(exceptions.Aborted):
        client.api.set_iam_policy({"resource": QUEUE, "policy": {"etag": stale.etag}})


def test_permissions_are_held_on_queues_that_exist(client: TasksClient) -> None:
    wanted = ["cloudtasks.tasks.create"]
    held = client.api.test_iam_permissions({"resource": QUEUE, "permissions": wanted})
    missing = client.api.test_iam_permissions({"resource": f"{QUEUE}x", "permissions": wanted})
    assert (list(held.permissions), list(missing.permissions)) == (wanted, [])
    with pytest.raises(exceptions.NotFound):
        client.api.get_iam_policy({"resource": f"{QUEUE}x"})


def test_encryption_key_of_a_location_is_kept(client: TasksClient) -> None:
    name = f"{LOCATION}/cmekConfig"
    assert client.api.get_cmek_config(name=name).kms_key == ""
    client.api.update_cmek_config(cmek_config=tasks_v2.CmekConfig(name=name, kms_key="k"))
    assert client.api.get_cmek_config(name=name).kms_key == "k"


def test_locations_are_listed(client: TasksClient) -> None:
    answer = client.api.list_locations({"name": "projects/clinicloop-local"})
    assert LOCATION in [location.name for location in answer.locations]
    assert client.api.get_location({"name": LOCATION}).location_id == "us-central1"
    with pytest.raises(exceptions.NotFound):
        client.api.get_location({"name": "projects/clinicloop-local/locations/the-moon"})


def test_batch_makes_its_tasks(client: TasksClient) -> None:
    client.api.pause_queue(name=QUEUE)
    request = {"parent": QUEUE, "task": {"http_request": {"url": URL}}}
    operation = client.api.batch_create_tasks(
        request={"parent": QUEUE, "requests": [request, request]}
    )
    made = [task.name.rpartition("/")[2] for task in operation.result(timeout=10).tasks]
    assert sorted(made) == client.pending()
    kept = client.api.get_operation({"name": operation.operation.name})
    assert kept.done


def test_batch_tells_which_tasks_could_not_be_made(client: TasksClient) -> None:
    client.api.pause_queue(name=QUEUE)
    task = {"name": f"{QUEUE}/tasks/once", "http_request": {"url": URL}}
    request = {"parent": QUEUE, "task": task}
    operation = client.api.batch_create_tasks(
        request={"parent": QUEUE, "requests": [request, request]}
    )
    assert len(operation.result(timeout=10).tasks) == 1
    assert operation.metadata.state == tasks_v2.BatchCreateTasksMetadata.State.PARTIALLY_SUCCEEDED
    assert {at: status.code for at, status in operation.metadata.failed_requests.items()} == {1: 6}
    with pytest.raises(exceptions.Aborted):
        client.api.batch_create_tasks(request={"parent": QUEUE, "requests": [request]}).result(
            timeout=10
        )


def test_batch_that_is_sent_again_is_not_done_again(client: TasksClient) -> None:
    client.api.pause_queue(name=QUEUE)
    each = {"parent": QUEUE, "task": {"http_request": {"url": URL}}}
    request = {"parent": QUEUE, "requests": [each], "request_id": "r1"}
    first = client.api.batch_create_tasks(request=request)
    again = client.api.batch_create_tasks(request=request)
    assert first.operation.name == again.operation.name
    assert len(client.pending()) == 1


def test_batch_deletes_its_tasks(client: TasksClient) -> None:
    client.api.pause_queue(name=QUEUE)
    names = [client.create_task(URL).name for _ in range(3)]
    client.api.batch_delete_tasks(request={"parent": QUEUE, "names": names[:2]}).result(timeout=10)
    assert client.pending() == [names[2].rpartition("/")[2]]


def test_batch_over_two_queues_is_refused(client: TasksClient) -> None:
    other = {"parent": f"{QUEUE}x", "task": {"http_request": {"url": URL}}}
    with pytest.raises(exceptions.InvalidArgument):
        client.api.batch_create_tasks(request={"parent": QUEUE, "requests": [other]})
    with pytest.raises(exceptions.InvalidArgument):
        client.api.batch_delete_tasks(request={"parent": QUEUE, "names": [f"{QUEUE}x/tasks/t"]})
