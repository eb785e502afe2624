"""Batches of tasks, made and deleted as long-running operations that are done at once."""

import uuid
from collections.abc import Callable, Iterable
from typing import Any

import grpc
from google.cloud import tasks_v2
from google.longrunning import operations_pb2
from google.rpc import status_pb2

from emulators.api.refusals import Refused, invalid, not_found
from emulators.api.times import stamp
from emulators.api.unary import Empty, Methods, handlers
from emulators.clock import VirtualClock
from emulators.journal import Journal
from emulators.tasks import rules

Operation: Any = operations_pb2.Operation
Status: Any = status_pb2.Status
_Get: Any = operations_pb2.GetOperationRequest
_Created: Any = tasks_v2.BatchCreateTasksResponse.pb()
_CreateMetadata: Any = tasks_v2.BatchCreateTasksMetadata.pb()
_DeleteMetadata: Any = tasks_v2.BatchDeleteTasksMetadata.pb()
_MOST_CREATED = 100
_MOST_DELETED = 1000
_REMEMBERED = 1000
_NONE = "None of the requests succeeded, refer to {} for individual error details"


class Batches:
    """`create` and `delete` do the work of CreateTask and DeleteTask for one request."""

    def __init__(
        self,
        clock: VirtualClock,
        journal: Journal,
        create: Callable[[Any], Any],
        delete: Callable[[str], None],
    ) -> None:
        self._clock = clock
        self._journal = journal
        self._create = create
        self._delete = delete
        stored = journal.items("operation/")
        self._operations = {
            key.partition("/")[2]: Operation.FromString(value) for key, value in stored
        }

    def methods(self) -> Methods:
        return {
            self.batch_create_tasks: (tasks_v2.BatchCreateTasksRequest, Operation),
            self.batch_delete_tasks: (tasks_v2.BatchDeleteTasksRequest, Operation),
        }

    def operations_service(self) -> grpc.GenericRpcHandler:
        return handlers("google.longrunning.Operations", {self.get_operation: (_Get, Operation)})

    def batch_create_tasks(self, request: Any) -> Any:
        """Make up to 100 tasks; those that cannot be made are told in the metadata."""
        rules.check_queue_name(request.parent)
        if not 1 <= len(request.requests) <= _MOST_CREATED:
            raise invalid(f"A batch has 1 to {_MOST_CREATED} requests.")
        if any(each.parent != request.parent for each in request.requests):
            raise invalid("The parent of each request must be the parent of the batch.")
        name = _name(request.parent, request.request_id)
        if name in self._operations:
            return self._operations[name]
        metadata, answer = _CreateMetadata(), _Created()

        def create(each: Any) -> None:
            answer.tasks.append(self._create(each))

        return self._run(name, request.requests, create, metadata, answer)

    def batch_delete_tasks(self, request: Any) -> Any:
        """Delete up to 1000 tasks; those that cannot be deleted are told in the metadata."""
        rules.check_queue_name(request.parent)
        if not 1 <= len(request.names) <= _MOST_DELETED:
            raise invalid(f"A batch has 1 to {_MOST_DELETED} names.")
        if any(rules.queue_of(each) != request.parent for each in request.names):
            raise invalid("All tasks must be of the queue that is the batch's parent.")
        name = _name(request.parent, request.request_id)
        if name in self._operations:
            return self._operations[name]
        return self._run(name, request.names, self._delete, _DeleteMetadata(), Empty())

    def get_operation(self, request: Any) -> Any:
        if request.name not in self._operations:
            raise not_found("Operation does not exist.")
        return self._operations[request.name]

    def _run(
        self,
        name: str,
        requests: Iterable[Any],
        work: Callable[[Any], None],
        metadata: Any,
        answer: Any,
    ) -> Any:
        stamp(metadata.start_time, self._clock.now())
        done = 0
        for index, each in enumerate(requests):
            try:
                work(each)
                done += 1
            except Refused as refusal:
                status = Status(code=refusal.code.value[0], message=refusal.message)
                metadata.failed_requests[index].CopyFrom(status)
        stamp(metadata.end_time, self._clock.now())
        is_whole = not metadata.failed_requests
        metadata.state = metadata.SUCCEEDED if is_whole else metadata.PARTIALLY_SUCCEEDED
        operation = Operation(name=name, done=True)
        if done:
            operation.response.Pack(answer)
        else:
            kind = f"{metadata.DESCRIPTOR.name}.failed_requests"
            operation.error.CopyFrom(
                Status(code=grpc.StatusCode.ABORTED.value[0], message=_NONE.format(kind))
            )
        operation.metadata.Pack(metadata)
        self._journal.put(f"operation/{name}", operation.SerializeToString())
        self._operations[name] = operation
        if len(self._operations) > _REMEMBERED:
            oldest = next(iter(self._operations))
            del self._operations[oldest]
            self._journal.delete(f"operation/{oldest}")
        return operation


def _name(queue: str, request_id: str) -> str:
    """The same for the same request id, so that a batch that is sent again is not done again."""
    mark = uuid.uuid5(uuid.NAMESPACE_URL, f"{queue}\n{request_id}") if request_id else uuid.uuid4()
    return f"{rules.location_of(queue)}/operations/{mark}"
