"""Batches of tasks, long-running operations that are done at once."""

from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import tasks_v2

from tests.emulators.tasks_client import QUEUE, URL, TasksClient


def test_batch_makes_its_tasks(tasks: TasksClient) -> None:
    tasks.api.pause_queue(name=QUEUE)
    request = {"parent": QUEUE, "task": {"http_request": {"url": URL}}}
    operation: Any = tasks.api.batch_create_tasks(
        request={"parent": QUEUE, "requests": [request, request]}
    )
    made = [task.name.rpartition("/")[2] for task in operation.result(timeout=10).tasks]
    assert sorted(made) == tasks.pending()
    kept = tasks.api.get_operation({"name": operation.operation.name})
    assert kept.done


def test_batch_tells_which_tasks_could_not_be_made(tasks: TasksClient) -> None:
    tasks.api.pause_queue(name=QUEUE)
    task = {"name": f"{QUEUE}/tasks/once", "http_request": {"url": URL}}
    request = {"parent": QUEUE, "task": task}
    operation: Any = tasks.api.batch_create_tasks(
        request={"parent": QUEUE, "requests": [request, request]}
    )
    assert len(operation.result(timeout=10).tasks) == 1
    assert operation.metadata.state == tasks_v2.BatchCreateTasksMetadata.State.PARTIALLY_SUCCEEDED
    assert {at: status.code for at, status in operation.metadata.failed_requests.items()} == {1: 6}
    failed: Any = tasks.api.batch_create_tasks(request={"parent": QUEUE, "requests": [request]})
    with pytest.raises(exceptions.Aborted):
        failed.result(timeout=10)


def test_batch_that_is_sent_again_is_not_done_again(tasks: TasksClient) -> None:
    tasks.api.pause_queue(name=QUEUE)
    each = {"parent": QUEUE, "task": {"http_request": {"url": URL}}}
    request = {"parent": QUEUE, "requests": [each], "request_id": "r1"}
    first = tasks.api.batch_create_tasks(request=request)
    again = tasks.api.batch_create_tasks(request=request)
    assert first.operation.name == again.operation.name
    assert len(tasks.pending()) == 1


def test_batch_deletes_its_tasks(tasks: TasksClient) -> None:
    tasks.api.pause_queue(name=QUEUE)
    names = [tasks.create_task(URL).name for _ in range(3)]
    deleting: Any = tasks.api.batch_delete_tasks(request={"parent": QUEUE, "names": names[:2]})
    deleting.result(timeout=10)
    assert tasks.pending() == [names[2].rpartition("/")[2]]


def test_batch_over_two_queues_is_refused(tasks: TasksClient) -> None:
    other = {"parent": f"{QUEUE}x", "task": {"http_request": {"url": URL}}}
    with pytest.raises(exceptions.InvalidArgument):
        tasks.api.batch_create_tasks(request={"parent": QUEUE, "requests": [other]})
    with pytest.raises(exceptions.InvalidArgument):
        tasks.api.batch_delete_tasks(request={"parent": QUEUE, "names": [f"{QUEUE}x/tasks/t"]})
