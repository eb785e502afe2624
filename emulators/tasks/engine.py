"""The Cloud Tasks API: queues and tasks, durable, dispatched on virtual time."""

import asyncio
import itertools
import uuid
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Any

import grpc
from google.cloud import tasks_v2
from google.protobuf import field_mask_pb2

from emulators.clock import from_micros, micros
from emulators.engine import Ground, GrpcServer
from emulators.http_target import Reply
from emulators.tasks import rules
from emulators.tasks.queue import Queue, Record, TaskMessage
from emulators.unary import Empty, Refused, handlers, invalid, not_found, page, stamp

QueueMessage: Any = tasks_v2.Queue.pb()
_QUEUE_FIELDS = ("rate_limits", "retry_config", "stackdriver_logging_config")
_REMEMBERED = 200


class Tasks:
    """Cloud Tasks v2 for HTTP targets, at least once, as the service promises it.

    Not served: App Engine targets, queue-level HTTP targets, batches, CMEK and IAM.
    """

    name = "tasks"

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._server = GrpcServer(ground, self.name)
        self._journal = ground.journal(self.name)
        self._queues: dict[str, Queue] = {}
        self._resting: dict[str, datetime] = {}  # names taken after their task's end, oldest first
        self._executed: deque[dict[str, Any]] = deque(maxlen=_REMEMBERED)
        self._load()

    def _load(self) -> None:
        for _, value in self._journal.items("queue/"):
            self._open(QueueMessage.FromString(value))
        rests = [(key[5:], from_micros(int(v))) for key, v in self._journal.items("rest/")]
        self._resting = dict(sorted(rests, key=lambda rest: rest[1]))
        records = [Record.from_bytes(value) for _, value in self._journal.items("task/")]
        records.sort(key=lambda record: record.number)
        self._numbers = itertools.count(records[-1].number + 1 if records else 0)
        for record in records:
            self._queues[rules.queue_of(record.name)].tasks[record.name] = record

    async def start(self, port: int = 0) -> int:
        """Serve on `port` (any free one for 0), and dispatch what the journal held."""
        for queue in self._queues.values():
            for record in list(queue.tasks.values()):
                queue.add(record)
        methods: dict[Callable[[Any], Any], tuple[Any, Any]] = {
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
        return await self._server.start(
            [handlers("google.cloud.tasks.v2.CloudTasks", methods)], port
        )

    async def stop(self) -> None:
        await self._server.stop()
        attempts = [attempt for queue in self._queues.values() for attempt in queue.close()]
        await asyncio.gather(*attempts, return_exceptions=True)
        self._journal.close()

    def create_queue(self, request: Any) -> Any:
        rules.check_location(request.parent)
        rules.check_queue_name(request.queue.name)
        if not request.queue.name.startswith(f"{request.parent}/queues/"):
            raise invalid("The queue's name must begin with the parent.")
        if request.queue.name in self._queues:
            raise Refused(grpc.StatusCode.ALREADY_EXISTS, "Queue already exists")
        message = QueueMessage(name=request.queue.name, state=tasks_v2.Queue.State.RUNNING)
        for name in _QUEUE_FIELDS:
            if request.queue.HasField(name):
                getattr(message, name).CopyFrom(getattr(request.queue, name))
        _refuse_queue_target(request.queue)
        rules.complete_queue(message)
        self._save_queue(message)
        self._open(message)
        return message

    def get_queue(self, request: Any) -> Any:
        return self._queue(request.name).message

    def list_queues(self, request: Any) -> Any:
        rules.check_location(request.parent)
        state = _state_filter(request.filter)
        found = [
            queue.message
            for name, queue in self._queues.items()
            if name.startswith(f"{request.parent}/queues/") and state in (None, queue.message.state)
        ]
        cut, token = page(
            found, lambda queue: str(queue.name), request.page_size, request.page_token, 9800
        )
        return tasks_v2.ListQueuesResponse.pb()(queues=cut, next_page_token=token)

    def update_queue(self, request: Any) -> Any:
        """Change settings; a queue that does not exist is created, as the service does."""
        rules.check_queue_name(request.queue.name)
        _refuse_queue_target(request.queue)
        queue = self._queues.get(request.queue.name)
        if queue is None:
            parent = request.queue.name.partition("/queues/")[0]
            create = tasks_v2.CreateQueueRequest.pb()(parent=parent, queue=request.queue)
            return self.create_queue(create)
        message = QueueMessage()
        message.CopyFrom(queue.message)
        _merge_queue(request.queue, message, list(request.update_mask.paths))
        rules.complete_queue(message)
        self._save_queue(message)
        queue.message.CopyFrom(message)
        queue.reconsider()
        return message

    def delete_queue(self, request: Any) -> Any:
        queue = self._queue(request.name)
        with self._journal.batch():
            self._drop_tasks(queue)
            self._journal.delete(f"queue/{request.name}")
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
        queue = self._queue(request.parent, grpc.StatusCode.FAILED_PRECONDITION)
        now = self._ground.clock.now()
        task = TaskMessage()
        task.CopyFrom(request.task)
        for output in ("create_time", "first_attempt", "last_attempt", "view"):
            task.ClearField(output)
        task.dispatch_count = task.response_count = 0
        is_named = bool(task.name)
        task.name = task.name or f"{request.parent}/tasks/{uuid.uuid4().int}"
        self._check_free(task.name, request.parent)
        rules.check_task(task, now)
        stamp(task.create_time, now.replace(microsecond=0))
        if task.schedule_time.ToMicroseconds() < micros(now):
            stamp(task.schedule_time, now)
        if not task.dispatch_deadline.ToTimedelta():
            task.dispatch_deadline.FromTimedelta(rules.DEFAULT_DEADLINE)
        record = Record(task, next(self._numbers), is_named)
        self._save_task(record)
        answer = _view(task, request.response_view)
        queue.add(record)
        return answer

    def get_task(self, request: Any) -> Any:
        return _view(self._record(request.name).task, request.response_view)

    def list_tasks(self, request: Any) -> Any:
        queue = self._queue(request.parent)
        tasks = [record.task for record in queue.tasks.values()]
        cut, token = page(
            tasks, lambda task: str(task.name), request.page_size, request.page_token, 1000
        )
        shown = [_view(task, request.response_view) for task in cut]
        return tasks_v2.ListTasksResponse.pb()(tasks=shown, next_page_token=token)

    def delete_task(self, request: Any) -> Any:
        record = self._record(request.name)
        self._queues[rules.queue_of(request.name)].remove(record)
        self._drop(record)
        return Empty()

    def run_task(self, request: Any) -> Any:
        """Dispatch now, whatever limits and state; answers the task as it is dispatched."""
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

    def _queue(self, name: str, missing: grpc.StatusCode = grpc.StatusCode.NOT_FOUND) -> Queue:
        rules.check_queue_name(name)
        if name not in self._queues:
            raise Refused(missing, "Queue does not exist.")
        return self._queues[name]

    def _record(self, name: str) -> Record:
        rules.check_task_name(name)
        queue = self._queues.get(rules.queue_of(name))
        if queue is not None and name in queue.tasks:
            return queue.tasks[name]
        if self._is_resting(name):
            raise not_found(
                "The task no longer exists, though a task with this name existed recently. The task"
                " either executed successfully or was deleted."
            )
        raise not_found("Task does not exist.")

    def _check_free(self, name: str, parent: str) -> None:
        rules.check_task_name(name)
        if rules.queue_of(name) != parent:
            raise invalid("The task's name must begin with the name of its queue.")
        if name in self._queues[parent].tasks:
            raise Refused(grpc.StatusCode.ALREADY_EXISTS, "Requested entity already exists")
        if self._is_resting(name):
            raise Refused(
                grpc.StatusCode.ALREADY_EXISTS,
                "The task cannot be created because a task with this name existed too recently.",
            )

    def _is_resting(self, name: str) -> bool:
        now = self._ground.clock.now()
        while self._resting and (oldest := next(iter(self._resting.items())))[1] <= now:
            del self._resting[oldest[0]]
            self._journal.delete(f"rest/{oldest[0]}")
        return name in self._resting

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
        self._journal.put(f"task/{record.name}", record.to_bytes())


def _view(task: Any, view: int) -> Any:
    shown = TaskMessage()
    shown.CopyFrom(task)
    shown.view = view or tasks_v2.Task.View.BASIC
    if shown.view == tasks_v2.Task.View.BASIC:
        shown.http_request.body = b""
    return shown


def _pending(record: Record) -> dict[str, Any]:
    task = record.task
    return {
        "name": record.name,
        "schedule_time": task.schedule_time.ToJsonString(),
        "url": task.http_request.url,
        "attempts": task.dispatch_count,
        "last_status": record.previous or record.reason or None,
    }


def _by_time(queue: Queue) -> list[Record]:
    return sorted(
        queue.tasks.values(), key=lambda r: (r.task.schedule_time.ToMicroseconds(), r.number)
    )


def _state_filter(text: str) -> int | None:
    """The state of a filter such as `state: PAUSED`, the only kind that is served."""
    if not text.strip():
        return None
    field, _, value = text.replace("=", ":").partition(":")
    states = tasks_v2.Queue.State.__members__
    if field.strip() != "state" or value.strip() not in states:
        raise Refused(grpc.StatusCode.UNIMPLEMENTED, f'The filter "{text}" is not served.')
    return int(states[value.strip()])


def _refuse_queue_target(queue: Any) -> None:
    if queue.HasField("http_target") or queue.HasField("app_engine_routing_override"):
        raise Refused(grpc.StatusCode.UNIMPLEMENTED, "Targets of queues are not served.")


def _merge_queue(source: Any, destination: Any, paths: list[str]) -> None:
    """Copy the fields of an update mask, or all that may be changed; others are output only."""
    mask = field_mask_pb2.FieldMask(paths=paths or _QUEUE_FIELDS)
    if not mask.IsValidForDescriptor(QueueMessage.DESCRIPTOR):
        raise invalid("The update mask names unknown fields.")
    mask.paths[:] = [path for path in mask.paths if path.split(".")[0] in _QUEUE_FIELDS]
    mask.MergeMessage(source, destination, replace_message_field=True, replace_repeated_field=True)
