"""The SchemaService of google.pubsub.v1, and what a topic with a schema lets in.

Definitions are parsed when they come in, and messages are held against them.
"""

from collections.abc import Callable, Iterable
from datetime import datetime

import grpc

from emulators.api.paging import page
from emulators.api.refusals import invalid
from emulators.engine import Ground
from emulators.journal import Journal
from emulators.pubsub import rules
from emulators.pubsub.avro import Avro, InvalidAvro, parse
from emulators.pubsub.protobuf import InvalidProtobuf, Protobuf
from emulators.pubsub.wire import (
    Empty,
    Proto,
    Schema,
    already_exists,
    message_class,
    not_found,
    unary,
    unsupported,
)

DELETED_SCHEMA = "_deleted-schema_"
MOST_DEFINITION_BYTES = 300 << 10
_AVRO = Schema.Type.Value("AVRO")
_PROTOBUF = Schema.Type.Value("PROTOCOL_BUFFER")
_PARSERS: dict[int, Callable[[str], Avro | Protobuf]] = {_AVRO: parse, _PROTOBUF: Protobuf}
_INVALID = (InvalidAvro, InvalidProtobuf)
_JSON, _BINARY = 1, 2
_BASIC, _FULL = 1, 2
_ENCODING = "googclient_schemaencoding"
_NAME = "googclient_schemaname"
_REVISION_ID = "googclient_schemarevisionid"


class Schemas:
    """Each schema is the list of its revisions, oldest first; journaled as `schema/<name>`.

    `forget` is told of names that are gone.
    """

    def __init__(self, ground: Ground, journal: Journal, forget: Callable[[str], None]) -> None:
        self._ground = ground
        self._journal = journal
        self._forget = forget
        self._revisions: dict[str, list[Proto]] = {}
        self._parsed: dict[tuple[int, str], Avro | Protobuf] = {}
        for key, record in journal.items("schema/"):
            kept = message_class("ListSchemaRevisionsResponse").FromString(record)
            self._revisions[key.removeprefix("schema/")] = list(kept.schemas)

    def __contains__(self, name: object) -> bool:
        return name in self._revisions

    def handler(self) -> grpc.GenericRpcHandler:
        revisions = "ListSchemaRevisions"
        methods = {
            "CreateSchema": unary(self.create_schema, "CreateSchemaRequest", "Schema"),
            "GetSchema": unary(self.get_schema, "GetSchemaRequest", "Schema"),
            "ListSchemas": unary(self.list_schemas, "ListSchemasRequest", "ListSchemasResponse"),
            revisions: unary(self.list_revisions, f"{revisions}Request", f"{revisions}Response"),
            "CommitSchema": unary(self.commit_schema, "CommitSchemaRequest", "Schema"),
            "RollbackSchema": unary(self.rollback_schema, "RollbackSchemaRequest", "Schema"),
            "DeleteSchemaRevision": unary(
                self.delete_revision, "DeleteSchemaRevisionRequest", "Schema"
            ),
            "DeleteSchema": unary(self.delete_schema, "DeleteSchemaRequest", "Empty"),
            "ValidateSchema": unary(
                self.validate_schema, "ValidateSchemaRequest", "ValidateSchemaResponse"
            ),
            "ValidateMessage": unary(
                self.validate_message, "ValidateMessageRequest", "ValidateMessageResponse"
            ),
        }
        return grpc.method_handlers_generic_handler("google.pubsub.v1.SchemaService", methods)

    # The service

    def create_schema(self, request: Proto) -> Proto:
        rules.check_project(request.parent)
        name = f"{request.parent}/schemas/{request.schema_id}"
        rules.check_name("schemas", name)
        _check_definition(request.schema)
        if name in self._revisions:
            raise already_exists(name)
        return self._add(name, request.schema)

    def _add(self, name: str, schema: Proto) -> Proto:
        """Add a revision with an id and a time of its own."""
        revision = Schema()
        revision.CopyFrom(schema)
        revision.name = name
        revision.revision_id = f"{self._ground.random.getrandbits(32):08x}"
        now: datetime = self._ground.clock.now()
        revision.revision_create_time.FromDatetime(now)
        self._save(name, [*self._revisions.get(name, []), revision])
        return revision

    def _save(self, name: str, revisions: list[Proto]) -> None:
        kept = message_class("ListSchemaRevisionsResponse")(schemas=revisions)
        self._journal.put(f"schema/{name}", kept.SerializeToString())
        self._revisions[name] = revisions

    def get_schema(self, request: Proto) -> Proto:
        found = self._revision(request.name)
        return _basic(found) if request.view == _BASIC else found

    def _of(self, name: str) -> list[Proto]:
        if name not in self._revisions:
            rules.check_name("schemas", name)
            raise not_found(name)
        return self._revisions[name]

    def _revision(self, name: str) -> Proto:
        """The revision that `name@id` names, or the last one of `name`."""
        name, at, revision_id = name.partition("@")
        revisions = self._of(name)
        if not at:
            return revisions[-1]
        for revision in revisions:
            if revision.revision_id == revision_id:
                return revision
        raise not_found(f"{name}@{revision_id}")

    def list_schemas(self, request: Proto) -> Proto:
        rules.check_project(request.parent)
        mine = (name for name in self._revisions if name.startswith(f"{request.parent}/"))
        names, token = page(mine, request, rules.MOST_LISTED)
        return message_class("ListSchemasResponse")(
            schemas=[_viewed(self._revisions[name][-1], request.view) for name in names],
            next_page_token=token,
        )

    def list_revisions(self, request: Proto) -> Proto:
        """Oldest first."""
        revisions = self._of(request.name)
        numbered = {f"{number:06d}": each for number, each in enumerate(revisions)}
        numbers, token = page(numbered, request, rules.MOST_LISTED)
        return message_class("ListSchemaRevisionsResponse")(
            schemas=[_viewed(numbered[number], request.view) for number in numbers],
            next_page_token=token,
        )

    def commit_schema(self, request: Proto) -> Proto:
        present = self._of(request.name)[-1]
        if request.schema.name not in ("", request.name):
            raise invalid("The schema's name is not that of the request.")
        _check_definition(request.schema)
        if request.schema.type_ != present.type_:
            raise invalid("The type of a schema cannot change between revisions.")
        return self._add(request.name, request.schema)

    def rollback_schema(self, request: Proto) -> Proto:
        self._of(request.name)
        return self._add(request.name, self._revision(f"{request.name}@{request.revision_id}"))

    def delete_revision(self, request: Proto) -> Proto:
        """Answers the revision that is gone; the only one cannot be deleted."""
        if "@" not in request.name:
            raise invalid("The name must hold a revision id: projects/*/schemas/*@*.")
        name = request.name.partition("@")[0]
        unwanted = self._revision(request.name)
        left = [each for each in self._of(name) if each is not unwanted]
        if not left:
            raise invalid("Cannot delete the last revision; use DeleteSchema.")
        self._save(name, left)
        return unwanted

    def delete_schema(self, request: Proto) -> Proto:
        self._of(request.name)
        self._journal.delete(f"schema/{request.name}")
        del self._revisions[request.name]
        self._forget(request.name)
        return Empty()

    def validate_schema(self, request: Proto) -> Proto:
        rules.check_project(request.parent)
        _check_definition(request.schema)
        return message_class("ValidateSchemaResponse")()

    def validate_message(self, request: Proto) -> Proto:
        rules.check_project(request.parent)
        given = request.WhichOneof("schema_spec")
        if given is None:
            raise invalid("A schema or the name of one must be given.")
        if given == "schema":
            _check_definition(request.schema)
        schema = request.schema if given == "schema" else self._revision(request.name)
        _check_encoding(request.encoding)
        try:
            self._check(schema, request.message, request.encoding)
        except _INVALID as error:
            raise invalid(f"Invalid message: {error}.") from None
        return message_class("ValidateMessageResponse")()

    # Topics with a schema

    def check_topic(self, topic: Proto) -> None:
        """What a topic may ask for: a schema and revisions that exist, and an encoding."""
        if not topic.HasField("schema_settings"):
            return
        settings = topic.schema_settings
        self._of(settings.schema)
        _check_encoding(settings.encoding)
        for revision_id in (settings.first_revision_id, settings.last_revision_id):
            if revision_id:
                self._revision(f"{settings.schema}@{revision_id}")

    def admit(self, settings: Proto, messages: Iterable[Proto]) -> None:
        """INVALID_ARGUMENT unless all messages conform to a revision that the topic allows.

        They are stamped with the schema's name, the revision and the encoding, as documented.
        """
        if settings.schema not in self._revisions:
            raise not_found(DELETED_SCHEMA)
        allowed = self._allowed(settings)
        for message in messages:
            revision = self._first_fit(allowed, message.data, settings.encoding)
            message.attributes[_ENCODING] = "JSON" if settings.encoding == _JSON else "BINARY"
            message.attributes[_NAME] = settings.schema
            message.attributes[_REVISION_ID] = revision.revision_id

    def _allowed(self, settings: Proto) -> list[Proto]:
        """The revisions in the topic's range, newest first; a deleted bound is no bound."""
        revisions = self._revisions[settings.schema]
        ids = [each.revision_id for each in revisions]
        first, last = settings.first_revision_id, settings.last_revision_id
        start = ids.index(first) if first in ids else 0
        end = ids.index(last) + 1 if last in ids else len(ids)
        return revisions[start:end][::-1]

    def _first_fit(self, revisions: list[Proto], data: bytes, encoding: int) -> Proto:
        reason = "no revision is allowed"
        for revision in revisions:
            try:
                self._check(revision, data, encoding)
            except _INVALID as error:
                reason = str(error)
            else:
                return revision
        raise invalid(f"Request contains a message that does not fit the schema: {reason}.")

    def _check(self, schema: Proto, data: bytes, encoding: int) -> None:
        key = (schema.type_, schema.definition)
        if key not in self._parsed:
            self._parsed[key] = _PARSERS[schema.type_](schema.definition)
        if encoding == _JSON:
            self._parsed[key].check_json(data)
        else:
            self._parsed[key].check_binary(data)


def _check_encoding(encoding: int) -> None:
    if encoding not in (_JSON, _BINARY):
        raise invalid("The encoding must be JSON or BINARY.")


def _check_definition(schema: Proto) -> None:
    if schema.type_ not in _PARSERS:
        raise invalid("Invalid schema type.")
    if schema.HasField("compiled_proto_schema"):
        raise unsupported("compiled_proto_schema is not supported.")
    if len(schema.definition.encode()) > MOST_DEFINITION_BYTES:
        raise invalid(f"A schema definition has at most {MOST_DEFINITION_BYTES} bytes.")
    try:
        _PARSERS[schema.type_](schema.definition)
    except _INVALID as error:
        raise invalid(f"Invalid schema definition: {error}.") from None


def _viewed(schema: Proto, view: int) -> Proto:
    """As in listings, where the definition is left out unless asked for."""
    return schema if view == _FULL else _basic(schema)


def _basic(schema: Proto) -> Proto:
    basic = Schema()
    basic.CopyFrom(schema)
    basic.ClearField("definition")
    return basic
