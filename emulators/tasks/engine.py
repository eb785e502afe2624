"""The Cloud Tasks API: queues and tasks, durable, dispatched on virtual time."""

import asyncio
import itertools
import uuid
from collections import deque
from datetime import UTC, datetime
from typing import Any

import grpc
from google.cloud import tasks_v2

from emulators.api.field_masks import merged, writable
from emulators.api.iam import Policies
from emulators.api.locations import locations_service
from emulators.api.paging import page
from emulators.api.refusals import Refused, invalid, not_found
from emulators.api.times import stamp
from emulators.api.unary import Empty, Methods, handlers
from emulators.clock import from_micros, micros
from emulators.engine import Ground, GrpcServer
from emulators.http_target import Reply
from emulators.tasks import rules
from emulators.tasks.batches import Batches
from emulators.tasks.encryption import Encryption
from emulators.tasks.filters import parse_filter
from emulators.tasks.queue import Queue, Record, TaskMessage

QueueMessage: Any = tasks_v2.Queue.pb()
_QUEUE_FIELDS = (
    "rate_limits",
    "retry_config",
    "stackdriver_logging_config",
    "http_target",
    "app_engine_routing_override",
)
_REMEMBERED = 200
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Tasks:
    """Cloud Tasks v2, at least once, as the service promises it.

    IAM policies and encryption keys are stored, not enforced. Dispatches are not throttled beyond
    the queue's limits and `Retry-After`, and changes of a queue hold at once.
    """

    name = "tasks"

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._server = GrpcServer(ground, self.name)
        self._journal = ground.journal(self.name)
        self._queues: dict[str, Queue] = {}
        self._resting: dict[str, datetime] = {}  # names taken after their task's end, oldest first
        self._deleted: dict[str, datetime] = {}  # names of queues taken until then
        self._executed: deque[dict[str, Any]] = deque(maxlen=_REMEMBERED)
        self._policies = Policies(self._journal, rules.check_queue_name, self._queues.__contains__)
        self._encryption = Encryption(self._journal)
        self._batches = Batches(ground.clock, self._journal, self.create_task, self._delete)
        self._load()

    def _load(self) -> None:
        for _, value in self._journal.items("queue/"):
            self._open(QueueMessage.FromString(value))
        self._resting = dict(sorted(self._instants("rest/"), key=lambda rest: rest[1]))
        self._deleted = dict(self._instants("deleted/"))
        records = [Record.from_bytes(value) for _, value in self._journal.items("task/")]
        records.sort(key=lambda record: record.number)
        self._numbers = itertools.count(records[-1].number + 1 if records else 0)
        for record in records:
            self._queues[rules.queue_of(record.name)].tasks[record.name] = record

    def _instants(self, prefix: str) -> list[tuple[str, datetime]]:
        stored = self._journal.items(prefix)
        return [(key.removeprefix(prefix), from_micros(int(value))) for key, value in stored]

    async def start(self, port: int = 0) -> int:
        """Serve on `port` (any free one for 0), and dispatch what the journal held."""
        for queue in self._queues.values():
            for record in list(queue.tasks.values()):
                queue.add(record)
        methods: Methods = {
            self.create_queue: (tasks_v2.CreateQueueRequest, tasks_v2.Queue),
            self.get_queue: (tasks_v2.GetQueueRequest, tasks_v2.Queue),
            self.list_queues: (tasks_v2.ListQueuesRequest, tasks_v2.ListQueuesResponse),
            self.update_queue: (tasks_v2.UpdateQueueRequest, tasks_v2.Queue),
            self.delete_queue: (tasks_v2.DeleteQueueRequest, Empty),
            self.purge_queue: (tasks_v2.PurgeQueueRequest, tasks_v2.Queue),
            self.pause_queue: (tasks_v2.PauseQueueRequest, tasks_v2.Queue),
            self.resume_queue: (tasks_v2.ResumeQueueRequest, tasks_v2.Queue),
            self.create_task: (tasks_v2.CreateTaskRequest, tasks_v2.Task),
            self.get_task: (tasks_v2.GetTaskRequest, tasks_v2.Task),
            self.list_tasks: (tasks_v2.ListTasksRequest, tasks_v2.ListTasksResponse),
            self.delete_task: (tasks_v2.DeleteTaskRequest, Empty),
            self.run_task: (tasks_v2.RunTaskRequest, tasks_v2.Task),
        }
        methods |= self._policies.methods() | self._encryption.methods() | self._batches.methods()
        services = [
            handlers("google.cloud.tasks.v2.CloudTasks", methods),
            self._batches.operations_service(),
            locations_service(),
        ]
        return await self._server.start(services, port)

    async def stop(self) -> None:
        await self._server.stop()
        attempts = [attempt for queue in self._queues.values() for attempt in queue.close()]
        await asyncio.gather(*attempts, return_exceptions=True)
        self._journal.close()

    def create_queue(self, request: Any) -> Any:
        rules.check_location(request.parent)
        rules.check_queue_name(request.queue.name)
        name = request.queue.name
        if rules.location_of(name) != request.parent:
            raise invalid(f"{name} must begin with {request.parent}.")
        if name in self._queues:
            raise Refused(grpc.StatusCode.ALREADY_EXISTS, "Queue already exists")
        if self._deleted.get(name, _LONG_AGO) > self._ground.clock.now():
            raise Refused(
                grpc.StatusCode.FAILED_PRECONDITION,
                "The queue cannot be created because a queue with this name existed too recently.",
            )
        message = QueueMessage(name=name, state=tasks_v2.Queue.State.RUNNING)
        for field in _QUEUE_FIELDS:
            if request.queue.HasField(field):
                getattr(message, field).CopyFrom(getattr(request.queue, field))
        rules.complete_queue(message)
        self._save_queue(message)
        self._open(message)
        return message

    def get_queue(self, request: Any) -> Any:
        return self._queue(request.name).message

    def list_queues(self, request: Any) -> Any:
        rules.check_location(request.parent)
        holds = parse_filter(request.filter, QueueMessage)
        found = [
            queue.message
            for name, queue in self._queues.items()
            if rules.location_of(name) == request.parent and holds(queue.message)
        ]
        cut, token = page(found, request, 9800, lambda queue: str(queue.name))
        return tasks_v2.ListQueuesResponse.pb()(queues=cut, next_page_token=token)

    def update_queue(self, request: Any) -> Any:
        """Change settings; a queue that does not exist is created, as the service does."""
        rules.check_queue_name(request.queue.name)
        queue = self._queues.get(request.queue.name)
        if queue is None:
            parent = request.queue.name.partition("/queues/")[0]
            create = tasks_v2.CreateQueueRequest.pb()(parent=parent, queue=request.queue)
            return self.create_queue(create)
        paths = writable(request.update_mask, _QUEUE_FIELDS, QueueMessage)
        message = merged(queue.message, request.queue, paths)
        rules.complete_queue(message)
        self._save_queue(message)
        queue.message.CopyFrom(message)
        queue.reconsider()
        return message

    def delete_queue(self, request: Any) -> Any:
        rules.check_queue_name(request.name)
        if request.name not in self._queues:
            raise not_found()
        until = self._ground.clock.now() + rules.QUEUE_REST
        with self._journal.batch():
            self._drop_tasks(self._queues[request.name])
            self._policies.forget(request.name)
            self._journal.delete(f"queue/{request.name}")
            self._journal.put(f"deleted/{request.name}", str(micros(until)).encode())
        self._deleted[request.name] = until
        del self._queues[request.name]
        return Empty()

    def purge_queue(self, request: Any) -> Any:
        queue = self._queue(request.name)
        stamp(queue.message.purge_time, self._ground.clock.now())
        with self._journal.batch():
            self._drop_tasks(queue)
            self._save_queue(queue.message)
        return queue.message

    def pause_queue(self, request: Any) -> Any:
        return self._set_state(request.name, tasks_v2.Queue.State.PAUSED)

    def resume_queue(self, request: Any) -> Any:
        return self._set_state(request.name, tasks_v2.Queue.State.RUNNING)

    def create_task(self, request: Any) -> Any:
        """Add a task. One that is due now is under way before this returns."""
        rules.check_queue_name(request.parent)
        _check_view(request.response_view)
        task = TaskMessage()
        task.CopyFrom(request.task)
        for output in ("create_time", "first_attempt", "last_attempt", "view"):
            task.ClearField(output)
        task.dispatch_count = task.response_count = 0
        is_named = bool(task.name)
        task.name = task.name or f"{request.parent}/tasks/{uuid.uuid4().int % 10**20:020d}"
        rules.check_task_name(task.name)
        if rules.queue_of(task.name) != request.parent:
            raise invalid(
                f"The queue name from request ('{request.parent}') must be the same as the queue"
                f" name in the named task ('{rules.queue_of(task.name)}')."
            )
        queue = self._queue(request.parent)
        self._check_free(task.name, queue)
        rules.complete_task(task, self._ground.clock.now())
        record = Record(task, next(self._numbers), is_named)
        self._save_task(record)
        answer = _view(task, request.response_view)
        queue.add(record)
        return answer

    def get_task(self, request: Any) -> Any:
        _check_view(request.response_view)
        return _view(self._record(request.name).task, request.response_view)

    def list_tasks(self, request: Any) -> Any:
        _check_view(request.response_view)
        queue = self._queue(request.parent)
        tasks = [record.task for record in queue.tasks.values()]
        cut, token = page(tasks, request, 1000, lambda task: str(task.name))
        shown = [_view(task, request.response_view) for task in cut]
        return tasks_v2.ListTasksResponse.pb()(tasks=shown, next_page_token=token)

    def delete_task(self, request: Any) -> Any:
        self._delete(request.name)
        return Empty()

    def _delete(self, name: str) -> None:
        record = self._record(name)
        self._queues[rules.queue_of(name)].remove(record)
        self._drop(record)

    def run_task(self, request: Any) -> Any:
        """Dispatch now, whatever limits and state; answers the task as it is dispatched."""
        _check_view(request.response_view)
        record = self._record(request.name)
        self._queues[rules.queue_of(request.name)].run(record)
        return _view(record.task, request.response_view)

    def describe(self) -> dict[str, Any]:
        """Queues with their pending tasks in order of schedule time, and the last ones executed."""
        return {
            "queues": [
                {
                    "name": name,
                    "state": tasks_v2.Queue.State(queue.message.state).name,
                    "pending": [_pending(record) for record in _by_time(queue)],
                }
                for name, queue in sorted(self._queues.items())
            ],
            "executed": list(self._executed),
        }

    def _open(self, message: Any) -> None:
        kept = QueueMessage()
        kept.CopyFrom(message)
        self._queues[message.name] = Queue(self._ground, kept, self._save_task, self._finish)

    def _queue(self, name: str) -> Queue:
        rules.check_queue_name(name)
        if name not in self._queues:
            raise not_found(
                "Queue does not exist. If you just created the queue, wait at least a minute for"
                " the queue to initialize."
            )
        queue = self._queues[name]
        queue.expire()
        return queue

    def _record(self, name: str) -> Record:
        rules.check_task_name(name)
        queue = self._queues.get(rules.queue_of(name))
        if queue is not None:
            queue.expire()
            if name in queue.tasks:
                return queue.tasks[name]
        if self._is_resting(name):
            raise not_found(
                "The task no longer exists, though a task with this name existed recently. The task"
                " either successfully completed or was deleted."
            )
        raise not_found()

    def _check_free(self, name: str, queue: Queue) -> None:
        if name in queue.tasks:
            raise Refused(grpc.StatusCode.ALREADY_EXISTS, "Requested entity already exists")
        if self._is_resting(name):
            raise Refused(
                grpc.StatusCode.ALREADY_EXISTS,
                "The task cannot be created because a task with this name existed too recently.",
            )

    def _is_resting(self, name: str) -> bool:
        now = self._ground.clock.now()
        while self._resting and (oldest := next(iter(self._resting.items())))[1] <= now:
            self._release(oldest[0])
        return name in self._resting

    def _release(self, name: str) -> None:
        del self._resting[name]
        self._journal.delete(f"rest/{name}")

    def _drop(self, record: Record) -> None:
        """Take a task out of the journal; a name the caller chose stays taken for a while."""
        with self._journal.batch():
            self._journal.delete(f"task/{record.name}")
            if record.is_named:
                until = self._ground.clock.now() + rules.NAME_REST
                self._resting[record.name] = until
                self._journal.put(f"rest/{record.name}", str(micros(until)).encode())

    def _drop_tasks(self, queue: Queue) -> None:
        for record in list(queue.tasks.values()):
            queue.remove(record)
            self._drop(record)

    def _finish(self, record: Record, reply: Reply) -> None:
        self._drop(record)
        self._executed.append(
            _pending(record) | {"ended": self._ground.clock.now().isoformat(), "ok": reply.ok}
        )

    def _set_state(self, name: str, state: int) -> Any:
        queue = self._queue(name)
        queue.message.state = state
        self._save_queue(queue.message)
        queue.reconsider()
        return queue.message

    def _save_queue(self, message: Any) -> None:
        self._journal.put(f"queue/{message.name}", message.SerializeToString())

    def _save_task(self, record: Record) -> None:
        self._journal.put(f"task/{record.name}", record.to_bytes)


def _view(task: Any, view: int) -> Any:
    shown = TaskMessage()
    shown.CopyFrom(task)
    shown.view = view or tasks_v2.Task.View.BASIC
    if shown.view == tasks_v2.Task.View.BASIC:
        getattr(shown, shown.WhichOneof("message_type")).ClearField("body")
    return shown


def _pending(record: Record) -> dict[str, Any]:
    task = record.task
    return {
        "name": record.name,
        "schedule_time": task.schedule_time.ToJsonString(),
        "url": task.http_request.url or task.app_engine_http_request.relative_uri,
        "attempts": task.dispatch_count,
        "last_status": record.previous or record.reason or None,
    }


def _by_time(queue: Queue) -> list[Record]:
    return sorted(
        queue.tasks.values(), key=lambda r: (r.task.schedule_time.ToMicroseconds(), r.number)
    )


def _check_view(view: int) -> None:
    if view not in tuple(tasks_v2.Task.View):
        raise invalid(f"{view} is no view of a task.")
