"""Unary gRPC methods over raw protobuf classes, with refusals as exceptions."""

import base64
import binascii
import inspect
import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import grpc
from google.protobuf import empty_pb2

from emulators.clock import micros

log = logging.getLogger(__name__)
T = TypeVar("T")
Empty: Any = empty_pb2.Empty
"""What the deleting methods answer."""
Methods = dict[Callable[[Any], Any], tuple[Any, Any]]
"""Function -> (request, response), proto-plus or raw protobuf classes."""

# The ranges of google/protobuf/duration.proto and timestamp.proto.
_DURATION_SECONDS = 315_576_000_000
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
_NANOS = 10**9


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


def handlers(service: str, methods: Methods) -> grpc.GenericRpcHandler:
    """Serve `methods`. An RPC is named as its function: `create_queue` serves `CreateQueue`."""
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
        except Exception:
            log.exception("%s failed", method.__name__)
            return await context.abort(grpc.StatusCode.INTERNAL, "Internal error encountered.")

    return answer


def page(
    items: Sequence[T], name: Callable[[T], str], size: int, token: str, most: int, scope: str = ""
) -> tuple[list[T], str]:
    """The items after `token`'s, in order of name, and the next page's token.

    A token holds only for the `scope` (a parent, a filter) it was made for.
    """
    if size < 0:
        raise invalid("The page size must not be negative.")
    after = _read_token(token, scope)
    rest = sorted((item for item in items if name(item) > after), key=name)
    cut = rest[: min(size or most, most)]
    more = len(rest) > len(cut)
    return cut, _make_token(name(cut[-1]), scope) if more else ""


def _make_token(name: str, scope: str) -> str:
    return base64.urlsafe_b64encode(f"{scope}\n{name}".encode()).decode()


def _read_token(token: str, scope: str) -> str:
    if not token:
        return ""
    try:
        made_for, _, name = base64.urlsafe_b64decode(token).decode().rpartition("\n")
    except (binascii.Error, ValueError):
        raise invalid("The page token is not valid.") from None
    if made_for != scope:
        raise invalid("The page token belongs to another request.")
    return name


def stamp(timestamp: Any, instant: Any) -> None:
    """Set a protobuf Timestamp to an aware instant, to the microsecond."""
    timestamp.FromMicroseconds(micros(instant))


def check_timestamp(timestamp: Any, name: str) -> None:
    """Refuse a Timestamp outside the years 1 to 9999."""
    in_range = _FIRST_SECOND <= timestamp.seconds <= _LAST_SECOND
    if not in_range or not 0 <= timestamp.nanos < _NANOS:
        raise invalid(f"{name} is not a valid timestamp.")


def span(duration: Any, name: str) -> timedelta:
    """The value of a protobuf Duration, which must be well-formed and not negative."""
    seconds, nanos = duration.seconds, duration.nanos
    if seconds < 0 or nanos < 0:
        raise invalid(f"{name} cannot be negative.")
    if seconds > _DURATION_SECONDS or nanos >= _NANOS:
        raise invalid(f"{name} is not a valid duration.")
    return timedelta(seconds=seconds, microseconds=nanos // 1000)
