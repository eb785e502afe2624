"""Every RPC of a Google client, read off its own transport, and arbitrary requests for it."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import strategies as st

_DEPTH = 4
_TEXTS = [
    "",
    "/",
    "projects//topics/x",
    "projects/p",
    "*",
    "\x00",
    "é" * 40,
    "x" * 2000,
    "__x__",
    "..",
    "-1",
    "a.b",
    "`",
    "http://127.0.0.1:1/x",
    "not an address",
    "attributes.kind = ",
    "* * * * *",
    "Europe/Berlin",
]
_INTEGERS = [0, 1, -1, 9, 10, 600, 1001, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)]
_FLOATS = [0.0, -1.0, 0.5, 1e308, math.inf, math.nan]


@dataclass(frozen=True)
class Rpc:
    """One RPC: its path on the wire, the protobuf class of its request, its arity."""

    path: str
    request: Any
    arity: str

    def __str__(self) -> str:
        return self.path.rpartition(".")[2]


class _Recorder:
    """Stands where a transport keeps its channel and notes which RPCs it would call."""

    def __init__(self) -> None:
        self.found: list[Rpc] = []

    def __getattr__(self, arity: str) -> Callable[..., Any]:
        def note(path: str, request_serializer: Any = None, **_: Any) -> Any:
            # The serializer of a proto-plus class is bound to it, that of a raw class is not.
            plus = getattr(request_serializer, "__self__", None)
            self.found.append(Rpc(path, plus.pb() if plus is not None else _raw(path), arity))
            return lambda: None

        return note


def _raw(path: str) -> Any:
    """The request class of a mixed-in RPC; some services serve IAM's under their own name."""
    pool, (service, name) = descriptor_pool.Default(), path[1:].split("/")
    service = "google.iam.v1.IAMPolicy" if "Iam" in name else service
    method = pool.FindMethodByName(f"{service}.{name}")
    return message_factory.GetMessageClass(method.input_type)


def rpcs(transport: Any) -> list[Rpc]:
    """All RPCs that the transport class of a Google client knows, in order of path."""
    recorder = _Recorder()
    with grpc.insecure_channel("127.0.0.1:1") as channel:
        made = transport(channel=channel)
    made._logged_channel, made._stubs = recorder, {}
    for name in dir(type(made)):
        if isinstance(getattr(type(made), name), property):
            getattr(made, name)
    return sorted({rpc.path: rpc for rpc in recorder.found}.values(), key=lambda rpc: rpc.path)


@st.composite
def requests(draw: st.DrawFn, rpc: Rpc, names: list[str], valid: Any = None) -> Any:
    """A request of any shape for `rpc`: a `valid` one with some fields changed, or quite arbitrary.

    Texts are often one of `names`, the things that exist.
    """
    texts = st.one_of(st.sampled_from(names), st.sampled_from(_TEXTS), st.text(max_size=30))
    if valid is None or draw(st.integers(0, 3)) == 0:
        request = rpc.request()
        _fill(draw, request, texts, _DEPTH)
        return request
    request = rpc.request.FromString(valid.SerializeToString())
    for _ in range(draw(st.integers(0, 3))):
        _change(draw, request, texts)
    return request


def _change(draw: st.DrawFn, place: Any, texts: Any) -> None:
    """Clear a field of a message or of one within it, or set it to something else."""
    fields: list[FieldDescriptor] = list(place.DESCRIPTOR.fields)
    if not fields:
        return
    field = draw(st.sampled_from(fields))
    inner = _inner(place, field)
    deeper = draw(st.integers(0, 3)) > 0
    if inner and deeper:
        _change(draw, draw(st.sampled_from(inner)), texts)
        return
    place.ClearField(field.name)
    if draw(st.integers(0, 3)):
        _put(draw, place, field, texts, 2)


def _inner(place: Any, field: FieldDescriptor) -> list[Any]:
    """The messages that `field` of `place` holds."""
    if field.message_type is None or _is_map(field):
        return []
    if field.is_repeated:
        return list(getattr(place, field.name))
    return [getattr(place, field.name)] if place.HasField(field.name) else []


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _fill(draw: st.DrawFn, message: Any, texts: Any, depth: int) -> None:
    fields = [f for f in message.DESCRIPTOR.fields if depth or f.message_type is None]
    if fields:
        for field in draw(st.lists(st.sampled_from(fields), max_size=5)):
            _put(draw, message, field, texts, depth)


def _put(draw: st.DrawFn, place: Any, field: FieldDescriptor, texts: Any, depth: int) -> None:
    """Set a field to something of its type; messages within go `depth` deep."""
    held = getattr(place, field.name)
    if field.message_type is not None and _is_map(field):
        key, value = (field.message_type.fields_by_name[at] for at in ("key", "value"))
        at = draw(_scalar(key, texts))
        if value.message_type is not None:
            _fill(draw, held[at], texts, max(depth - 1, 0))
        else:
            held[at] = draw(_scalar(value, texts))
    elif field.is_repeated:
        for _ in range(draw(st.integers(1, 3))):
            if field.message_type is not None:
                _fill(draw, held.add(), texts, max(depth - 1, 0))
            else:
                held.append(draw(_scalar(field, texts)))
    elif field.message_type is not None:
        held.SetInParent()
        _fill(draw, held, texts, max(depth - 1, 0))
    else:
        setattr(place, field.name, draw(_scalar(field, texts)))


def _scalar(field: FieldDescriptor, texts: Any) -> st.SearchStrategy[Any]:
    kind = field.cpp_type
    if field.enum_type is not None:
        return st.sampled_from([*(value.number for value in field.enum_type.values), 77])
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return st.binary(max_size=20) if field.type == FieldDescriptor.TYPE_BYTES else texts
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    if kind in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return st.sampled_from(_FLOATS)
    wide = kind in (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)
    signed = kind in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64)
    low, high = (-(2**63), 2**63 - 1) if wide else (-(2**31), 2**31 - 1)
    low = low if signed else 0
    return st.sampled_from([number for number in _INTEGERS if low <= number <= high])


def call(channel: grpc.Channel, rpc: Rpc, sent: list[bytes], timeout: float) -> grpc.StatusCode:
    """The status with which the RPC ends; OK for a stream still open after `timeout` seconds."""
    method = getattr(channel, rpc.arity)(rpc.path)
    try:
        if rpc.arity == "unary_unary":
            method(sent[0], timeout=timeout)
        else:
            answers: Iterator[Any] = method(
                sent[0] if rpc.arity == "unary_stream" else iter(sent), timeout=timeout
            )
            for _ in answers:
                pass
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK
