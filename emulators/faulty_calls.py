"""Acts faults out on calls: an aiohttp middleware and a gRPC interceptor."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import grpc
from aiohttp import web

from emulators.faults import LATE, Fault, FaultKind, Faults, OpenStream, call_kinds


async def _late(fault: Fault) -> None:
    """Keep a call waiting as SLOW, DELAY and HANG do."""
    if fault.kind is FaultKind.HANG:
        await fault.ended.wait()
    elif fault.kind in LATE:
        await asyncio.sleep(fault.late)


# HTTP


def google_refusal(status: int) -> web.Response:
    """An error as Google's REST APIs word it: https://cloud.google.com/apis/design/errors"""
    name, message = {
        429: ("RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
        500: ("INTERNAL", "Internal error encountered."),
    }[status]
    return web.json_response(
        {"error": {"code": status, "message": message, "status": name}}, status=status
    )


def http_middleware(faults: Faults, target: str) -> Any:
    """An aiohttp middleware that acts the faults of `target` out on every request."""

    @web.middleware
    async def middleware(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        fault = faults.struck(target, request.path, *call_kinds(target))
        if fault is None:
            return await handler(request)
        kind = fault.kind
        if kind is FaultKind.DOWN:
            return _drop(request)
        if kind in (FaultKind.ERROR, FaultKind.RATE_LIMIT):
            refuse = faults.refusals.get(target, google_refusal)
            return refuse(429 if kind is FaultKind.RATE_LIMIT else 500)
        await request.read()  # a client that gives up meanwhile has sent it, and it is done
        await _late(fault)
        response = await handler(request)
        if kind is FaultKind.FAIL_AFTER_SUCCESS:
            return _drop(request)
        if kind is FaultKind.DROP_CONNECTION:
            return await _cut(request, response)
        return response

    return middleware


def _drop(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=503)


async def _cut(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Send half of the answer's body and close the connection."""
    body = response.body if isinstance(response, web.Response) else None
    if not isinstance(body, bytes) or not body or request.transport is None:
        return _drop(request)
    begun = web.StreamResponse(status=response.status, headers=response.headers)
    begun.content_length = len(body)
    await begun.prepare(request)
    await begun.write(body[: len(body) // 2])
    request.transport.close()
    return begun


# gRPC

Context = grpc.aio.ServicerContext[Any, Any]
_REFUSALS = {
    FaultKind.DOWN: (grpc.StatusCode.UNAVAILABLE, "The service is unavailable."),
    FaultKind.ERROR: (grpc.StatusCode.UNAVAILABLE, "The service is unavailable."),
    FaultKind.RATE_LIMIT: (grpc.StatusCode.RESOURCE_EXHAUSTED, "Quota exceeded."),
}
_LOST = (grpc.StatusCode.UNAVAILABLE, "The connection was lost.")
_ANSWERS_LOST = (FaultKind.FAIL_AFTER_SUCCESS, FaultKind.DROP_CONNECTION)
_OPENING = (*_REFUSALS, FaultKind.HANG, FaultKind.FAIL_AFTER_SUCCESS)


class FaultInterceptor(grpc.aio.ServerInterceptor):
    """Acts the faults of `target` out on gRPC calls.

    A stream meets refusals when it is opened, and with each of its responses SLOW, DELAY, HANG and
    DROP_CONNECTION anew. When DOWN or DROP_CONNECTION comes in force, open streams are cut.
    """

    def __init__(self, faults: Faults, target: str) -> None:
        self._faults = faults
        self._target = target
        self._kinds = call_kinds(target)
        self._midst = (*(k for k in self._kinds if k not in _OPENING), FaultKind.HANG)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        if handler.response_streaming:
            return self._streaming(handler, method)
        fault = self._faults.struck(self._target, method, *self._kinds)
        return handler if fault is None else _faulty(handler, fault)

    def _streaming(self, handler: Any, method: str) -> Any:
        inner = handler.stream_stream or handler.unary_stream
        if handler.request_streaming:
            make = grpc.stream_stream_rpc_method_handler
        else:
            make = grpc.unary_stream_rpc_method_handler

        async def serve(request: Any, context: Context) -> AsyncIterator[Any]:
            fault = self._faults.struck(self._target, method, *_OPENING)
            if fault is not None:
                await _refuse(fault, context)
            with self._faults.streaming(self._target, method) as stream:
                async with aclosing(inner(request, context)) as responses:
                    while (response := await _next(stream, responses)) is not _END:
                        midst = self._faults.struck(self._target, method, *self._midst)
                        if midst is not None:
                            await _late(midst)
                        yield response
                        stream.cut |= midst is not None and midst.kind in _ANSWERS_LOST
            if stream.cut or (fault is not None and fault.kind in _ANSWERS_LOST):
                await context.abort(*_LOST)

        return make(serve, handler.request_deserializer, handler.response_serializer)


_END = object()


async def _next(stream: OpenStream, responses: Any) -> Any:
    """The next response; `_END` after the last, or when the stream is cut."""
    if stream.cut:
        return _END
    stream.waits = True
    try:
        return await anext(responses, _END)
    except asyncio.CancelledError:
        if not stream.cut:
            raise
        stream.task.uncancel()
        return _END
    finally:
        stream.waits = False


async def _refuse(fault: Fault, context: Context) -> None:
    """End the call if it is to be refused before anything happens; else wait as long as it must."""
    if fault.kind in _REFUSALS:
        await context.abort(*_REFUSALS[fault.kind])
    await _late(fault)


def _faulty(handler: Any, fault: Fault) -> Any:
    """A handler of one answer that meets `fault`."""
    inner = handler.stream_unary or handler.unary_unary

    async def serve(request: Any, context: Context) -> Any:
        await _refuse(fault, context)
        answer = await inner(request, context)
        if fault.kind in _ANSWERS_LOST:
            await context.abort(*_LOST)
        return answer

    if handler.request_streaming:
        make = grpc.stream_unary_rpc_method_handler
    else:
        make = grpc.unary_unary_rpc_method_handler
    return make(serve, handler.request_deserializer, handler.response_serializer)
