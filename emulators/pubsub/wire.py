"""The raw protobuf classes of google.pubsub.v1, and how refusals and handlers look on the wire."""

from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf import empty_pb2
from google.pubsub_v1 import types
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

Topic = types.Topic.pb()
Subscription = types.Subscription.pb()
Snapshot = types.Snapshot.pb()
Schema = types.Schema.pb()
PubsubMessage = types.PubsubMessage.pb()
PublishRequest = types.PublishRequest.pb()
PullResponse = types.PullResponse.pb()
ReceivedMessage = types.ReceivedMessage.pb()
StreamingPullRequest = types.StreamingPullRequest.pb()
StreamingPullResponse = types.StreamingPullResponse.pb()
Empty = empty_pb2.Empty

Proto = Any  # the protobuf classes above carry no types
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class Refused(Exception):
    """A request that is answered with a status other than OK; nothing has changed.

    `reasons` (what is wrong -> why) go out as the metadata of a google.rpc.ErrorInfo whose reason
    is `kind`.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        reasons: dict[str, str] | None = None,
        kind: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reasons = reasons or {}
        self.kind = kind

    async def answer(self, context: Context) -> NoReturn:
        """End the call with this status."""
        trailing: tuple[tuple[str, bytes], ...] = ()
        if self.reasons:
            number: int = self.code.value[0]
            status = Status(code=number, message=self.message)
            info = ErrorInfo(
                reason=self.kind, domain="pubsub.googleapis.com", metadata=self.reasons
            )
            status.details.add().Pack(info)
            trailing = (("grpc-status-details-bin", status.SerializeToString()),)
        await context.abort(self.code, self.message, trailing)


def invalid(message: str) -> Refused:
    return Refused(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(name: str) -> Refused:
    return Refused(
        grpc.StatusCode.NOT_FOUND, f"Resource not found (resource={name.rpartition('/')[2]})."
    )


def already_exists(name: str) -> Refused:
    short = name.rpartition("/")[2]
    return Refused(
        grpc.StatusCode.ALREADY_EXISTS,
        f"Resource already exists in the project (resource={short}).",
    )


def unmet(message: str) -> Refused:
    return Refused(grpc.StatusCode.FAILED_PRECONDITION, message)


def unsupported(message: str) -> Refused:
    return Refused(grpc.StatusCode.UNIMPLEMENTED, message)


def message_class(name: str) -> Proto:
    """The raw class of a message of google.pubsub.v1, or Empty."""
    return Empty if name == "Empty" else getattr(types, name).pb()


def unary(method: Callable[[Proto], Proto], request: str, response: str) -> Handler:
    """A handler that answers with what `method` returns, or with the status of its `Refused`."""
    return unary_of(method, message_class(request), message_class(response))


def unary_of(method: Callable[[Proto], Proto], request: Proto, response: Proto) -> Handler:
    """As `unary`, for message classes of other packages."""

    async def answer(message: Proto, context: Context) -> Proto:
        try:
            return method(message)
        except Refused as refusal:
            await refusal.answer(context)

    return grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=request.FromString,
        response_serializer=response.SerializeToString,
    )
