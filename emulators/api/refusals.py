"""Refusals: how a gRPC call of any engine ends with a status other than OK."""

import logging
from typing import Any, NoReturn, TypeAlias

import grpc
from google.rpc.status_pb2 import Status

log = logging.getLogger(__name__)
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class Refused(Exception):
    """A call is answered with this status; nothing has changed.

    `detail`, a message of google.rpc such as ErrorInfo, goes out with it.
    """

    def __init__(self, code: grpc.StatusCode, message: str, detail: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.detail = detail

    async def answer(self, context: Context) -> NoReturn:
        """End the call with this status."""
        trailing: tuple[tuple[str, bytes], ...] = ()
        if self.detail is not None:
            number: int = self.code.value[0]
            status = Status(code=number, message=self.message)
            status.details.add().Pack(self.detail)
            trailing = (("grpc-status-details-bin", status.SerializeToString()),)
        await context.abort(self.code, self.message, trailing)


def invalid(message: str) -> Refused:
    return Refused(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str = "Requested entity was not found.") -> Refused:
    return Refused(grpc.StatusCode.NOT_FOUND, message)


async def end_call(error: Exception, method: str, context: Context) -> NoReturn:
    """End a call of `method` with the status of a `Refused`, with INTERNAL for a fault of ours."""
    if isinstance(error, Refused):
        await error.answer(context)
    if isinstance(error, grpc.aio.AbortError):
        raise error
    log.error("%s failed", method, exc_info=error)
    await context.abort(grpc.StatusCode.INTERNAL, "Internal error encountered.")
