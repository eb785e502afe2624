"""Queues of Cloud Tasks: settings, filters, policies, and what becomes of their names.

There is no official emulator. Messages and codes are those recorded from the service itself in the
conformance tests of https://github.com/aertje/cloud-tasks-emulator.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import tasks_v2
from google.protobuf.field_mask_pb2 import FieldMask

from tests.emulators.conftest import Loop
from tests.emulators.tasks_client import LOCATION, QUEUE, URL, TasksClient


def test_new_queue_gets_the_defaults(tasks: TasksClient) -> None:
    queue = tasks.api.get_queue(name=QUEUE)
    assert queue.state == tasks_v2.Queue.State.RUNNING
    assert queue.rate_limits.max_dispatches_per_second == 500
    assert queue.rate_limits.max_burst_size == 100
    assert queue.rate_limits.max_concurrent_dispatches == 1000
    assert queue.retry_config.max_attempts == 100
    assert queue.retry_config.min_backoff == timedelta(milliseconds=100)
    assert queue.retry_config.max_backoff == timedelta(hours=1)
    assert queue.retry_config.max_doublings == 16


def test_queue_exists_once(tasks: TasksClient) -> None:
    with pytest.raises(exceptions.AlreadyExists):
        tasks.create_queue()


def test_queues_are_listed_in_pages(tasks: TasksClient) -> None:
    for letter in "abc":
        tasks.create_queue(f"{LOCATION}/queues/{letter}")
    pager = tasks.api.list_queues(request={"parent": LOCATION, "page_size": 2})
    pages = [[queue.name.rpartition("/")[2] for queue in page.queues] for page in pager.pages]
    assert pages == [["a", "b"], ["c", "timers"]]


def test_queues_are_filtered_by_state(tasks: TasksClient) -> None:
    tasks.create_queue(f"{LOCATION}/queues/quiet")
    tasks.api.pause_queue(name=f"{LOCATION}/queues/quiet")
    found = tasks.api.list_queues(request={"parent": LOCATION, "filter": "state: PAUSED"})
    assert [queue.name for queue in found] == [f"{LOCATION}/queues/quiet"]


def test_update_changes_only_the_masked_fields(tasks: TasksClient) -> None:
    queue = tasks_v2.Queue({"name": QUEUE, "retry_config": {"max_attempts": 7, "max_doublings": 1}})
    mask = FieldMask(paths=["retry_config.max_attempts"])
    updated = tasks.api.update_queue(queue=queue, update_mask=mask)
    assert (updated.retry_config.max_attempts, updated.retry_config.max_doublings) == (7, 16)


def test_update_creates_a_missing_queue(tasks: TasksClient) -> None:
    name = f"{LOCATION}/queues/new"
    tasks.api.update_queue(queue=tasks_v2.Queue(name=name))
    assert tasks.api.get_queue(name=name).name == name


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
def test_bad_queue_is_refused(tasks: TasksClient, settings: dict[str, Any]) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        tasks.create_queue(**({"name": f"{LOCATION}/queues/bad"} | settings))


def test_deleted_queue_leaves_its_name_taken_for_three_days(tasks: TasksClient, loop: Loop) -> None:
    tasks.api.delete_queue(name=QUEUE)
    with pytest.raises(exceptions.NotFound):
        tasks.api.get_queue(name=QUEUE)
    with pytest.raises(exceptions.NotFound):
        tasks.create_task(URL)
    loop.advance(days=2, hours=23)
    with pytest.raises(exceptions.FailedPrecondition, match="existed too recently"):
        tasks.create_queue()
    loop.advance(hours=1)
    assert tasks.create_queue().name == QUEUE


def test_missing_queue_is_not_found(tasks: TasksClient) -> None:
    name = f"{LOCATION}/queues/nobody"
    calls: list[Callable[..., Any]] = [
        tasks.api.get_queue,
        tasks.api.delete_queue,
        tasks.api.purge_queue,
        tasks.api.pause_queue,
        tasks.api.resume_queue,
    ]
    for call in calls:
        with pytest.raises(exceptions.NotFound):
            call(name=name)
    with pytest.raises(exceptions.NotFound):
        list(tasks.api.list_tasks(parent=name))


def test_output_only_fields_of_a_queue_are_ignored(tasks: TasksClient) -> None:
    given = {
        "name": f"{LOCATION}/queues/new",
        "state": tasks_v2.Queue.State.PAUSED,
        "rate_limits": {"max_burst_size": -5, "max_dispatches_per_second": 20},
    }
    queue = tasks.api.create_queue(parent=LOCATION, queue=tasks_v2.Queue(given))
    assert queue.state == tasks_v2.Queue.State.RUNNING
    assert queue.rate_limits.max_burst_size == 20


def test_update_with_an_unknown_field_is_refused(tasks: TasksClient) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        tasks.api.update_queue(
            queue=tasks_v2.Queue(name=QUEUE), update_mask=FieldMask(paths=["colour"])
        )


def test_masked_field_that_is_unset_returns_to_its_default(tasks: TasksClient) -> None:
    settings = {"name": QUEUE, "retry_config": {"max_attempts": 7}}
    tasks.api.update_queue(queue=tasks_v2.Queue(settings))
    updated = tasks.api.update_queue(
        queue=tasks_v2.Queue(name=QUEUE), update_mask=FieldMask(paths=["retry_config"])
    )
    assert updated.retry_config.max_attempts == 100


def test_whole_seconds_are_kept_of_a_backoff(tasks: TasksClient) -> None:
    retry = {"min_backoff": {"seconds": 1, "nanos": 5 * 10**8}, "max_backoff": {"seconds": 9}}
    queue = tasks.create_queue(f"{LOCATION}/queues/new", retry_config=retry)
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
def test_queues_are_filtered_by_any_field(tasks: TasksClient, text: str, names: list[str]) -> None:
    tasks.create_queue(f"{LOCATION}/queues/brisk", rate_limits={"max_dispatches_per_second": 50})
    tasks.create_queue(
        f"{LOCATION}/queues/slow",
        rate_limits={"max_dispatches_per_second": 1},
        retry_config={"max_attempts": 3, "min_backoff": {"seconds": 2}},
    )
    tasks.api.pause_queue(name=f"{LOCATION}/queues/slow")
    found = tasks.api.list_queues(request={"parent": LOCATION, "filter": text})
    assert [queue.name.rpartition("/")[2] for queue in found] == names


@pytest.mark.parametrize("text", ["state", "colour: RED", "state: (", "rate_limits: 5", "a ~ b"])
def test_bad_filter_is_refused(tasks: TasksClient, text: str) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        list(tasks.api.list_queues(request={"parent": LOCATION, "filter": text}))


def test_page_token_holds_only_for_its_filter(tasks: TasksClient) -> None:
    tasks.create_queue(f"{LOCATION}/queues/other")
    first = next(tasks.api.list_queues(request={"parent": LOCATION, "page_size": 1}).pages)
    token = first.next_page_token
    for request in (
        {"parent": LOCATION, "page_token": "no token"},
        {"parent": LOCATION, "page_token": token, "filter": "state:RUNNING"},
        {"parent": LOCATION, "page_size": -1},
    ):
        with pytest.raises(exceptions.InvalidArgument):
            list(tasks.api.list_queues(request=request))


def test_policy_of_a_queue_is_kept(tasks: TasksClient) -> None:
    assert list(tasks.api.get_iam_policy({"resource": QUEUE}).bindings) == []
    binding = {"role": "roles/cloudtasks.enqueuer", "members": ["user:a@example.com"]}
    tasks.api.set_iam_policy({"resource": QUEUE, "policy": {"bindings": [binding]}})
    policy = tasks.api.get_iam_policy({"resource": QUEUE})
    assert [(each.role, list(each.members)) for each in policy.bindings] == [
        ("roles/cloudtasks.enqueuer", ["user:a@example.com"])
    ]


def test_stale_policy_is_refused(tasks: TasksClient) -> None:
    stale = tasks.api.get_iam_policy({"resource": QUEUE})
    tasks.api.set_iam_policy(
        {"resource": QUEUE, "policy": {"bindings": [{"role": "roles/viewer"}]}}
    )
    with pytest.raises(exceptions.Aborted):
        tasks.api.set_iam_policy({"resource": QUEUE, "policy": {"etag": stale.etag}})


def test_permissions_are_held_on_queues_that_exist(tasks: TasksClient) -> None:
    wanted = ["cloudtasks.tasks.create"]
    held = tasks.api.test_iam_permissions({"resource": QUEUE, "permissions": wanted})
    missing = tasks.api.test_iam_permissions({"resource": f"{QUEUE}x", "permissions": wanted})
    assert (list(held.permissions), list(missing.permissions)) == (wanted, [])
    with pytest.raises(exceptions.NotFound):
        tasks.api.get_iam_policy({"resource": f"{QUEUE}x"})


def test_encryption_key_of_a_location_is_kept(tasks: TasksClient) -> None:
    name = f"{LOCATION}/cmekConfig"
    assert tasks.api.get_cmek_config(name=name).kms_key == ""
    tasks.api.update_cmek_config(cmek_config=tasks_v2.CmekConfig(name=name, kms_key="k"))
    assert tasks.api.get_cmek_config(name=name).kms_key == "k"


def test_locations_are_listed(tasks: TasksClient) -> None:
    answer = tasks.api.list_locations({"name": "projects/clinicloop-local"})
    assert LOCATION in [location.name for location in answer.locations]
    assert tasks.api.get_location({"name": LOCATION}).location_id == "us-central1"
    with pytest.raises(exceptions.NotFound):
        tasks.api.get_location({"name": "projects/clinicloop-local/locations/the-moon"})
