"""gRPC requests whose bytes are no protobuf: INVALID_ARGUMENT, as from Google's front end.

Left to itself, grpc.aio answers UNKNOWN and logs a traceback.
"""

import inspect
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class Decoding(grpc.GenericRpcHandler):
    """Another generic handler, with the decoding of requests taken out of grpc's hands."""

    def __init__(self, inner: grpc.GenericRpcHandler) -> None:
        self._inner = inner
        self._guarded: dict[str, _Handler] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "_Handler | None":
        method = handler_call_details.method
        if method not in self._guarded:
            handler = self._inner.service(handler_call_details)
            if handler is None:
                return None
            self._guarded[method] = _guard(handler)
        return self._guarded[method]


def _guard(handler: Any) -> _Handler:
    decode, encode = handler.request_deserializer, handler.response_serializer
    if not handler.request_streaming and not handler.response_streaming:
        return grpc.unary_unary_rpc_method_handler(
            _unary(handler.unary_unary, decode), None, encode
        )
    if not handler.request_streaming:
        return grpc.unary_stream_rpc_method_handler(
            _unary_stream(handler.unary_stream, decode), None, encode
        )
    return grpc.stream_stream_rpc_method_handler(
        _stream_stream(handler.stream_stream, decode), None, encode
    )


async def _decoded(sent: bytes, decode: Any, context: _Context) -> Any:
    try:
        return decode(sent)
    except DecodeError:
        await context.abort(
            grpc.StatusCode.INVALID_ARGUMENT, "The request is no message of its protobuf type."
        )


def _unary(call: Any, decode: Any) -> Any:
    async def answer(sent: bytes, context: _Context) -> Any:
        return await call(await _decoded(sent, decode, context), context)

    return answer


def _unary_stream(call: Any, decode: Any) -> Any:
    async def answer(sent: bytes, context: _Context) -> AsyncIterator[Any]:
        async for response in call(await _decoded(sent, decode, context), context):
            yield response

    return answer


def _stream_stream(call: Any, decode: Any) -> Any:
    async def requests(sent: AsyncIterator[bytes], context: _Context) -> AsyncIterator[Any]:
        async for each in sent:
            yield await _decoded(each, decode, context)

    async def write(sent: AsyncIterator[bytes], context: _Context) -> None:
        await call(requests(sent, context), context)

    async def answer(sent: AsyncIterator[bytes], context: _Context) -> AsyncIterator[Any]:
        async for response in call(requests(sent, context), context):
            yield response

    return answer if inspect.isasyncgenfunction(call) else write
