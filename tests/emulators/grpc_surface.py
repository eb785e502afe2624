"""Every RPC of a Google client, read off its own transport, and arbitrary requests for it."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
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


def requests(rpc: Rpc, names: list[str]) -> st.SearchStrategy[Any]:
    """Requests of any shape for `rpc`; texts are often one of `names`, the things that exist."""
    texts = st.one_of(st.sampled_from(names), st.sampled_from(_TEXTS), st.text(max_size=30))
    return _messages(rpc.request.DESCRIPTOR, texts, _DEPTH).map(
        lambda fields: _filled(rpc.request(), fields)
    )


def _messages(kind: Descriptor, texts: Any, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    fields = {f.name: _field(f, texts, depth) for f in kind.fields if depth or not f.message_type}
    return st.fixed_dictionaries({}, optional=fields)


def _field(field: FieldDescriptor, texts: Any, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        key, value = (field.message_type.fields_by_name[n] for n in ("key", "value"))
        return st.dictionaries(
            _scalar(key, texts), _single(value, texts, depth), min_size=1, max_size=2
        )
    single = _single(field, texts, depth)
    repeated = field.is_repeated
    return st.lists(single, min_size=1, max_size=3) if repeated else single


def _single(field: FieldDescriptor, texts: Any, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return st.deferred(lambda: _messages(field.message_type, texts, max(depth - 1, 0)))
    return _scalar(field, texts)


def _scalar(field: FieldDescriptor, texts: Any) -> st.SearchStrategy[Any]:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return st.binary(max_size=20) if field.type == FieldDescriptor.TYPE_BYTES else texts
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        numbers = [value.number for value in field.enum_type.values]
        return st.sampled_from([*numbers, 77])
    if kind in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return st.sampled_from(_FLOATS)
    wide = kind in (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)
    signed = kind in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64)
    low, high = (-(2**63), 2**63 - 1) if wide else (-(2**31), 2**31 - 1)
    low = low if signed else 0
    return st.sampled_from([number for number in _INTEGERS if low <= number <= high])


def _filled(message: Any, fields: dict[str, Any]) -> Any:
    """Set the fields of a message; of a oneof the last one set stays, as in protobuf."""
    for name, value in fields.items():
        _set(message, message.DESCRIPTOR.fields_by_name[name], value)
    return message


def _set(message: Any, field: FieldDescriptor, value: Any) -> None:
    place = getattr(message, field.name)
    if isinstance(value, dict) and field.message_type.GetOptions().map_entry:
        for key, item in value.items():
            if isinstance(item, dict):
                _filled(place[key], item)
            else:
                place[key] = item
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, dict):
                _filled(place.add(), item)
            else:
                place.append(item)
    elif isinstance(value, dict):
        place.SetInParent()
        _filled(place, value)
    else:
        setattr(message, field.name, value)


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
        code: grpc.StatusCode = error.code()  # type: ignore[attr-defined]
        return code
    return grpc.StatusCode.OK
