"""Unary gRPC methods over raw protobuf classes."""

import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

import grpc
from google.protobuf import empty_pb2

from emulators.api.refusals import Context, end_call

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Empty: Any = empty_pb2.Empty
"""What the deleting methods answer."""
Methods = dict[Callable[[Any], Any], tuple[Any, Any]]
"""Function -> (request, response), proto-plus or raw protobuf classes."""


def handlers(service: str, methods: Methods) -> grpc.GenericRpcHandler:
    """Serve `methods`. An RPC is named as its function: `create_queue` serves `CreateQueue`."""
    return grpc.method_handlers_generic_handler(
        service,
        {
            method.__name__.title().replace("_", ""): handler(method, request, response)
            for method, (request, response) in methods.items()
        },
    )


def raw(message: Any) -> Any:
    """The protobuf class behind a proto-plus class; a raw class is answered as it is."""
    return message.pb() if hasattr(message, "pb") else message


def handler(method: Callable[[Any], Any], request: Any, response: Any) -> Handler:
    """Answer with what `method`, a coroutine function or not, makes of a request."""

    async def answer(message: Any, context: Context) -> Any:
        try:
            result = method(message)
            return await result if inspect.isawaitable(result) else result
        except Exception as error:  # noqa: BLE001 -- the caller is told a status
            await end_call(error, method.__name__, context)

    return grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=raw(request).FromString,
        response_serializer=raw(response).SerializeToString,
    )
