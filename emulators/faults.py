"""Outages on demand, for every engine and vendor of the local cloud."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from random import Random
from typing import Any

import grpc
from aiohttp import web

from emulators.clock import VirtualClock


class FaultKind(StrEnum):
    DOWN = "down"  # the connection is dropped before anything happens
    ERROR = "error"  # 500 or UNAVAILABLE before anything happens
    RATE_LIMIT = "429"
    SLOW = "slow"  # two real seconds late
    HANG = "hang"  # no answer until the fault is cleared
    FAIL_AFTER_SUCCESS = "fail-after-success"  # done, but the caller sees a dropped connection
    DUPLICATE = "duplicate"  # pubsub and webhooks: delivered twice
    REORDER = "reorder"  # pubsub and webhooks: delivered in another order


@dataclass
class Fault:
    """A fault of `target` (`pubsub`, `chargebee` ...) for a `share` of the calls.

    It ends at the virtual instant `until` and after `count` strikes, whichever comes first; `path`
    limits it to calls whose path or gRPC method contains it.
    """

    target: str
    kind: FaultKind
    share: float = 1.0
    until: datetime | None = None
    count: int | None = None
    path: str = ""


class Faults:
    """The faults in force. Seeded: the same calls in the same order are struck alike."""

    def __init__(self, clock: VirtualClock, random: Random) -> None:
        self._clock = clock
        self._random = random
        self._faults: list[Fault] = []
        self._cleared = asyncio.Event()

    def add(self, fault: Fault) -> None:
        self._faults.append(fault)

    def clear(self, target: str | None = None) -> None:
        """Remove the faults of `target`, or all, and let hanging calls go."""
        self._faults = [f for f in self._faults if target is not None and f.target != target]
        self._cleared.set()
        self._cleared = asyncio.Event()

    def in_force(self) -> list[Fault]:
        now = self._clock.now()
        self._faults = [
            f for f in self._faults if (f.until is None or now < f.until) and f.count != 0
        ]
        return list(self._faults)

    def strike(self, target: str, path: str = "", *kinds: FaultKind) -> FaultKind | None:
        """The fault that this call meets, if any; `kinds` limits what the caller can act out."""
        for fault in self.in_force():
            if fault.target != target or fault.path not in path:
                continue
            if kinds and fault.kind not in kinds:
                continue
            if fault.share >= 1 or self._random.random() < fault.share:
                if fault.count is not None:
                    fault.count -= 1
                return fault.kind
        return None

    async def cleared(self) -> None:
        """Wait until faults are cleared."""
        await self._cleared.wait()


_CALL_KINDS = tuple(k for k in FaultKind if k not in (FaultKind.DUPLICATE, FaultKind.REORDER))


def http_middleware(faults: Faults, target: str) -> Any:
    """An aiohttp middleware that acts the faults of `target` out on every request."""

    def drop(request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=503)

    @web.middleware
    async def middleware(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        kind = faults.strike(target, request.path, *_CALL_KINDS)
        if kind is FaultKind.DOWN:
            return drop(request)
        if kind is FaultKind.ERROR:
            return web.json_response({"error": "internal"}, status=500)
        if kind is FaultKind.RATE_LIMIT:
            return web.json_response(
                {"error": "too many requests"}, status=429, headers={"Retry-After": "1"}
            )
        if kind is FaultKind.SLOW:
            await asyncio.sleep(2)
        if kind is FaultKind.HANG:
            await faults.cleared()
        response = await handler(request)
        if kind is FaultKind.FAIL_AFTER_SUCCESS:
            return drop(request)
        return response

    return middleware


class FaultInterceptor(grpc.aio.ServerInterceptor):
    """Acts the faults of `target` out on unary gRPC calls; streams meet only DOWN and ERROR."""

    def __init__(self, faults: Faults, target: str) -> None:
        self._faults = faults
        self._target = target

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        kind = self._faults.strike(self._target, handler_call_details.method, *_CALL_KINDS)
        if kind is None or handler is None:
            return handler
        if handler.request_streaming or handler.response_streaming:
            return handler if kind not in (FaultKind.DOWN, FaultKind.ERROR) else _refuse(handler)
        inner: Any = handler.unary_unary

        async def faulty(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            if kind in (FaultKind.DOWN, FaultKind.ERROR):
                await context.abort(grpc.StatusCode.UNAVAILABLE, "The service is unavailable.")
            if kind is FaultKind.RATE_LIMIT:
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Quota exceeded.")
            if kind is FaultKind.SLOW:
                await asyncio.sleep(2)
            if kind is FaultKind.HANG:
                await self._faults.cleared()
            answer = await inner(request, context)
            if kind is FaultKind.FAIL_AFTER_SUCCESS:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "The connection was lost.")
            return answer

        return grpc.unary_unary_rpc_method_handler(
            faulty, handler.request_deserializer, handler.response_serializer
        )


def _refuse(handler: Any) -> Any:
    async def refuse(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "The service is unavailable.")

    factories = {
        (True, True): grpc.stream_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
    }
    factory = factories[(handler.request_streaming, handler.response_streaming)]
    return factory(refuse, handler.request_deserializer, handler.response_serializer)
