"""The SchemaService, and topics with a schema."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core import exceptions
from google.pubsub_v1 import types

from tests.emulators.conformance.conftest import Target
from tests.emulators.conformance.pubsub_client import Api, api_of, avro


@pytest.fixture
def api(pubsub_target: Target) -> Iterator[Api]:
    with api_of(pubsub_target) as made:
        yield made


def test_a_schema_is_answered_as_it_was_created(api: Api) -> None:
    created = api.make_schema()
    assert created.name == api.schema
    assert created.type_ is types.Schema.Type.AVRO
    assert len(created.revision_id) == 8
    assert api.schemas.get_schema(name=api.schema) == created


def test_a_schema_is_created_once(api: Api) -> None:
    api.make_schema()
    with pytest.raises(exceptions.AlreadyExists):
        api.make_schema()


@pytest.mark.parametrize(
    "definition",
    [
        "",
        "no JSON",
        "{}",
        '{"type": "record"}',
        '{"type": "record", "name": "R"}',
        '{"type": "record", "name": "R", "fields": [{"name": "a", "type": "no type"}]}',
        '{"type": "record", "name": "R", "fields": [{"name": "a"}]}',
    ],
)
def test_what_is_no_avro_is_refused(api: Api, definition: str) -> None:
    schema = types.Schema(type_=types.Schema.Type.AVRO, definition=definition)
    with pytest.raises(exceptions.InvalidArgument):
        api.schemas.create_schema(parent=api.project, schema=schema, schema_id="payload")
    with pytest.raises(exceptions.InvalidArgument):
        api.schemas.validate_schema(parent=api.project, schema=schema)


def test_a_schema_needs_a_type(api: Api) -> None:
    schema = types.Schema(definition=avro(a="string").definition)
    with pytest.raises(exceptions.InvalidArgument):
        api.schemas.create_schema(parent=api.project, schema=schema, schema_id="payload")


@pytest.mark.parametrize("schema_id", ["", "ab", "1st", "goog"])
def test_names_outside_the_rules_are_refused(api: Api, schema_id: str) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        api.schemas.create_schema(parent=api.project, schema=avro(a="string"), schema_id=schema_id)


def test_an_absent_schema_is_not_found(api: Api) -> None:
    for call in (api.schemas.get_schema, api.schemas.delete_schema):
        with pytest.raises(exceptions.NotFound):
            call(name=api.schema)


def test_schemas_are_listed(api: Api) -> None:
    api.make_schema()
    basic, full = types.SchemaView.BASIC, types.SchemaView.FULL
    request = {"parent": api.project, "view": basic}
    assert [each.definition for each in api.schemas.list_schemas(request=request)] == [""]
    (listed,) = api.schemas.list_schemas(request={"parent": api.project, "view": full})
    assert listed.definition
    assert not api.schemas.get_schema(request={"name": api.schema, "view": basic}).definition


def test_a_schema_has_revisions(api: Api) -> None:
    first = api.make_schema()
    second = api.schemas.commit_schema(
        name=api.schema, schema=avro(api.schema, a="string", b="int")
    )
    assert first.revision_id != second.revision_id
    assert api.schemas.get_schema(name=api.schema) == second
    assert api.schemas.get_schema(name=f"{api.schema}@{first.revision_id}") == first
    listed = api.schemas.list_schema_revisions(name=api.schema)
    assert {each.revision_id for each in listed} == {first.revision_id, second.revision_id}


def test_a_rollback_is_a_new_revision(api: Api) -> None:
    first = api.make_schema()
    api.schemas.commit_schema(name=api.schema, schema=avro(api.schema, a="string", b="int"))
    back = api.schemas.rollback_schema(name=api.schema, revision_id=first.revision_id)
    assert back.definition == first.definition
    assert back.revision_id != first.revision_id
    assert len(list(api.schemas.list_schema_revisions(name=api.schema))) == 3


def test_a_revision_can_be_deleted_unless_it_is_the_only_one(api: Api) -> None:
    first = api.make_schema()
    second = api.schemas.commit_schema(
        name=api.schema, schema=avro(api.schema, a="string", b="int")
    )
    api.schemas.delete_schema_revision(name=f"{api.schema}@{first.revision_id}")
    assert [each.revision_id for each in api.schemas.list_schema_revisions(name=api.schema)] == [
        second.revision_id
    ]
    with pytest.raises(exceptions.InvalidArgument):
        api.schemas.delete_schema_revision(name=f"{api.schema}@{second.revision_id}")


def test_an_absent_revision_is_not_found(api: Api) -> None:
    api.make_schema()
    with pytest.raises(exceptions.NotFound):
        api.schemas.get_schema(name=f"{api.schema}@0000beef")
    with pytest.raises(exceptions.NotFound):
        api.schemas.rollback_schema(name=api.schema, revision_id="0000beef")


def validate(api: Api, message: bytes, encoding: int = 1, **fields: Any) -> None:
    request = {"parent": api.project, "name": api.schema, "message": message, "encoding": encoding}
    api.schemas.validate_message(request=request)


NESTED = {
    "text": "string",
    "number": "long",
    "flag": "boolean",
    "maybe": ["null", "string"],
    "list": {"type": "array", "items": "int"},
    "map": {"type": "map", "values": "double"},
    "kind": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]},
    "inner": {"type": "record", "name": "Inner", "fields": [{"name": "x", "type": "bytes"}]},
}
FITTING = {
    "text": "späti",
    "number": 1 << 40,
    "flag": True,
    "maybe": {"string": "x"},
    "list": [1, 2],
    "map": {"a": 1.5},
    "kind": "B",
    "inner": {"x": "\u00ff"},
}


def test_json_that_fits_is_valid(api: Api) -> None:
    api.make_schema(**NESTED)
    validate(api, json.dumps(FITTING).encode())
    validate(api, json.dumps(FITTING | {"maybe": None}).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"text": 1},
        {"number": "1"},
        {"number": 1 << 70},
        {"flag": "true"},
        {"maybe": {"int": 1}},
        {"list": ["a"]},
        {"map": {"a": "b"}},
        {"kind": "C"},
        {"inner": {}},
    ],
)
def test_json_that_does_not_fit_is_not(api: Api, change: dict[str, Any]) -> None:
    api.make_schema(**NESTED)
    with pytest.raises(exceptions.InvalidArgument):
        validate(api, json.dumps(FITTING | change).encode())


@pytest.mark.parametrize("message", [b"", b"{", b"[]", b'{"text": "x"}'])
def test_what_is_no_whole_record_is_not_valid(api: Api, message: bytes) -> None:
    api.make_schema(**NESTED)
    with pytest.raises(exceptions.InvalidArgument):
        validate(api, message)


BINARY = b"\x02x" + b"\x04" + b"\x02\x02y"
"""text "x", number 2, maybe "y"."""


def test_binary_that_fits_is_valid(api: Api) -> None:
    api.make_schema(text="string", number="int", maybe=["null", "string"])
    validate(api, BINARY, 2)
    validate(api, b"\x02x\x04\x00", 2)


@pytest.mark.parametrize("message", [b"", BINARY[:-1], b"\x02x\x04\x06", b"\xff" * 12])
def test_binary_that_does_not_fit_is_not(api: Api, message: bytes) -> None:
    api.make_schema(text="string", number="int", maybe=["null", "string"])
    with pytest.raises(exceptions.InvalidArgument):
        validate(api, message, 2)


def test_an_encoding_must_be_told(api: Api) -> None:
    api.make_schema()
    with pytest.raises(exceptions.InvalidArgument):
        validate(api, b'{"a": "x"}', 0)
    with pytest.raises(exceptions.InvalidArgument):
        api.make_topic(schema_settings={"schema": api.schema})


def test_a_topic_s_schema_must_exist(api: Api) -> None:
    with pytest.raises(exceptions.NotFound):
        api.make_topic(schema_settings={"schema": api.schema, "encoding": 1})


def test_a_topic_takes_and_loses_a_schema(api: Api) -> None:
    api.make_schema()
    api.make_topic()
    settings = {"schema": api.schema, "encoding": 1}
    assert api.update_topic("schema_settings", schema_settings=settings).schema_settings
    with pytest.raises(exceptions.InvalidArgument):
        api.publish("x")
    assert not api.update_topic("schema_settings").schema_settings
    assert api.publish("x")


def test_a_topic_lets_in_what_fits_its_schema(api: Api) -> None:
    revision = api.make_schema().revision_id
    api.make_topic(schema_settings={"schema": api.schema, "encoding": 1})
    api.subscribe()
    api.publish('{"a": "x"}')
    (received,) = api.pulled(1)
    attributes = received.message.attributes
    assert attributes["googclient_schemaencoding"] == "JSON"
    assert attributes["googclient_schemaname"] == api.schema
    assert attributes["googclient_schemarevisionid"] == revision
    with pytest.raises(exceptions.InvalidArgument):
        api.publish('{"a": "x"}', '{"b": "x"}')
    assert api.pull() == []


def test_a_topic_of_a_deleted_schema_lets_nothing_in(api: Api) -> None:
    api.make_schema()
    api.make_topic(schema_settings={"schema": api.schema, "encoding": 1})
    api.schemas.delete_schema(name=api.schema)
    topic = api.publisher.get_topic(topic=api.topic)
    assert topic.schema_settings.schema == "_deleted-schema_"
    with pytest.raises(exceptions.NotFound):
        api.publish('{"a": "x"}')


PROTOBUF = pytest.mark.differs("answers UNIMPLEMENTED to schemas of Protocol Buffers")
DEFINITION = """
    syntax = "proto3";  // the version
    package orders;
    message Order {
      string customer = 1;
      optional int32 count = 2 [deprecated = true];
      repeated Item items = 3;
      map<string, int64> prices = 4;
      oneof paid_by { string card = 5; Wallet wallet = 6; }
      reserved 7, 9 to 11;
      message Item { bytes code = 1; Order of = 2; }
      enum Wallet { NONE = 0; PHONE = 1; }
    }
"""


def protobuf(definition: str) -> types.Schema:
    return types.Schema(type_=types.Schema.Type.PROTOCOL_BUFFER, definition=definition)


def make_protobuf(api: Api, definition: str = DEFINITION) -> Any:
    return api.schemas.create_schema(
        parent=api.project, schema=protobuf(definition), schema_id="payload"
    )


@PROTOBUF
def test_a_schema_of_protocol_buffers_is_kept(api: Api) -> None:
    created = make_protobuf(api)
    assert created.definition == DEFINITION
    assert api.schemas.get_schema(name=api.schema) == created


@pytest.mark.parametrize(
    "definition",
    [
        "",
        "message",
        "message M {",
        "message M { string a = ; }",
        "message M { Unknown a = 1; }",
        "message M { string a = 1; string b = 1; }",
        "message M { string a = 99999999999; }",
        "message M { string a = 1 [",
        "message M {} message N {}",
        'import "other.proto"; message M {}',
        'syntax = "proto4"; message M {}',
    ],
)
@PROTOBUF
def test_what_is_no_protocol_buffers_schema_is_refused(api: Api, definition: str) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        make_protobuf(api, definition)


@pytest.mark.parametrize(
    ("message", "encoding"),
    [
        (b"{}", 1),
        (b'{"customer": "x", "count": 1, "items": [{"code": "eA=="}]}', 1),
        (b'{"prices": {"a": "5"}, "wallet": "PHONE"}', 1),
        (b"", 2),
        (b"\n\x01x\x10\x05", 2),
    ],
)
@PROTOBUF
def test_protocol_buffers_that_fit_are_valid(api: Api, message: bytes, encoding: int) -> None:
    make_protobuf(api)
    validate(api, message, encoding)


@pytest.mark.parametrize(
    ("message", "encoding"),
    [
        (b"", 1),
        (b"[]", 1),
        (b'{"unknown": 1}', 1),
        (b'{"count": "many"}', 1),
        (b'{"wallet": "SHOE"}', 1),
        (b"\xff", 1),
        (b"\xff\xff", 2),
        (b"\n\x05x", 2),
    ],
)
@PROTOBUF
def test_protocol_buffers_that_do_not_fit_are_not(api: Api, message: bytes, encoding: int) -> None:
    make_protobuf(api)
    with pytest.raises(exceptions.InvalidArgument):
        validate(api, message, encoding)


@PROTOBUF
def test_a_topic_lets_in_protocol_buffers_that_fit(api: Api) -> None:
    make_protobuf(api)
    api.make_topic(schema_settings={"schema": api.schema, "encoding": 2})
    api.subscribe()
    api.publish_raw({"data": b"\n\x01x"})
    (received,) = api.pulled(1)
    assert received.message.attributes["googclient_schemaencoding"] == "BINARY"
    with pytest.raises(exceptions.InvalidArgument):
        api.publish("no such message")
