"""Queues of Cloud Tasks: settings, filters, policies, and what becomes of their names.

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
        {"http_target": {"uri_override": {"host": "a/b"}}},
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


def test_output_only_fields_of_a_queue_are_ignored(client: TasksClient) -> None:
    given = {
        "name": f"{LOCATION}/queues/new",
        "state": tasks_v2.Queue.State.PAUSED,
        "rate_limits": {"max_burst_size": -5, "max_dispatches_per_second": 20},
    }
    queue = client.api.create_queue(parent=LOCATION, queue=tasks_v2.Queue(given))
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
    client.api.set_iam_policy(
        {"resource": QUEUE, "policy": {"bindings": [{"role": "roles/viewer"}]}}
    )
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
