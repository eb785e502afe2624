"""Unary gRPC methods over raw protobuf classes, with refusals as exceptions."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import grpc
from google.protobuf import empty_pb2

from emulators.clock import micros

T = TypeVar("T")
Empty: Any = empty_pb2.Empty
"""What the deleting methods answer."""


class Refused(Exception):
    """A call is answered with this gRPC status code and message, and nothing was changed."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def invalid(message: str) -> Refused:
    return Refused(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str = "Requested entity was not found.") -> Refused:
    return Refused(grpc.StatusCode.NOT_FOUND, message)


def handlers(
    service: str, methods: dict[Callable[[Any], Any], tuple[Any, Any]]
) -> grpc.GenericRpcHandler:
    """Serve `methods`: function -> (request, response), proto-plus or raw protobuf classes.

    The RPC is named as the function in camel case: `create_queue` serves `CreateQueue`.
    """
    return grpc.method_handlers_generic_handler(
        service,
        {
            method.__name__.title().replace("_", ""): grpc.unary_unary_rpc_method_handler(
                _answering(method),
                request_deserializer=raw(request).FromString,
                response_serializer=raw(response).SerializeToString,
            )
            for method, (request, response) in methods.items()
        },
    )


def raw(message: Any) -> Any:
    """The protobuf class behind a proto-plus class; a raw class is answered as it is."""
    return message.pb() if hasattr(message, "pb") else message


def _answering(method: Callable[[Any], Any]) -> Any:
    async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            result = method(request)
            return await result if inspect.isawaitable(result) else result
        except Refused as refusal:
            return await context.abort(refusal.code, refusal.message)

    return answer


def page(
    items: Sequence[T], name: Callable[[T], str], size: int, token: str, most: int
) -> tuple[list[T], str]:
    """The items after the one named `token`, in order of name, and the next page's token."""
    if size < 0:
        raise invalid("The page size must not be negative.")
    rest = sorted((item for item in items if name(item) > token), key=name)
    cut = rest[: min(size or most, most)]
    return cut, name(cut[-1]) if len(rest) > len(cut) else ""


def stamp(timestamp: Any, instant: Any) -> None:
    """Set a protobuf Timestamp to an aware instant, to the microsecond."""
    timestamp.FromMicroseconds(micros(instant))
