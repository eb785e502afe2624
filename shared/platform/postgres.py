"""PostgreSQL through SQLAlchemy Core and pg8000, with round trips kept few.

pg8000 takes three round trips for a statement with parameters. Here every connection remembers its
statements as named prepared ones (one round trip), and a transaction opens in one message that
also sets the tenant. Entering another takes none: it leaves together with the next statement.
"""

import re
import socket
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, ClassVar
from uuid import UUID

import pg8000.legacy
import sqlalchemy
from pg8000.converters import timestamptz_in
from pg8000.core import SYNC_MSG, Context, _flush, _write, make_params
from pg8000.dbapi import convert_paramstyle
from pg8000.exceptions import DatabaseError, InterfaceError
from sqlalchemy import Connection, Engine

from shared.platform.settings import Misconfigured, Settings, load
from shared.platform.steps import Step, taking

_REMEMBERED = 300
_TIMESTAMPTZ = 1184
_EXECUTE = re.compile(r"EXECUTE (\w+)")
_WORD = re.compile(r"[\w.:-]+", re.ASCII)


@lru_cache(maxsize=2000)
def _numbered(query: str) -> str:
    numbered: str = convert_paramstyle("format", query, ())[0]
    return numbered


def _convert(style: str, query: str, arguments: Any) -> Any:
    """pg8000 reads every statement letter by letter on every use, a tenth of its CPU time."""
    if style == "format":
        return _numbered(query), arguments
    return convert_paramstyle(style, query, arguments)


pg8000.legacy.convert_paramstyle = _convert


class Prepared:
    """A statement that rides in a message with others, by name: planned once per connection.

    `types` are those of its parameters $1, $2 ... Planning it anew takes longer than running it.
    """

    known: ClassVar[dict[str, str]] = {}

    def __init__(self, name: str, types: str, statement: str) -> None:
        self._name = name
        self.known[name] = f"PREPARE {name} ({types}) AS {statement}"

    def __call__(self, *values: str) -> str:
        """SQL that runs it. Values come from `literal` or `quoted`."""
        return f"EXECUTE {self._name} ({', '.join(values)})"


def _instant(text: str) -> Any:
    """What `timestamptz_in` of pg8000 reads, without parsing a format anew for every value."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return timestamptz_in(text)


class DatabaseSettings(Settings):
    """Either DATABASE_URL, or CLOUD_SQL_INSTANCE (`project:region:instance`) with user and name.

    POOL_SIZE times the number of instances must stay below `max_connections` less a reserve.
    """

    database_url: str | None = None
    cloud_sql_instance: str | None = None
    database_user: str = "clinicloop_app"
    database_name: str = "clinicloop"
    pool_size: int = 8
    statement_timeout_ms: int = 20_000


@cache
def engine() -> Engine:
    """The process's one engine; it connects on first use."""
    return make_engine(load(DatabaseSettings))


def make_engine(settings: DatabaseSettings) -> Engine:
    """An engine over a URL, or over the Cloud SQL connector with IAM authentication."""
    options: dict[str, Any] = {
        "pool_size": settings.pool_size,
        "max_overflow": 0,
        "pool_timeout": 10,
        "pool_use_lifo": True,
    }
    if settings.cloud_sql_instance:
        url = "postgresql+pg8000://"
        options["creator"] = _cloud_sql_creator(settings)
    elif settings.database_url:
        url = settings.database_url
    else:
        raise Misconfigured("missing: DATABASE_URL or CLOUD_SQL_INSTANCE")
    made = sqlalchemy.create_engine(url, **options)

    limit = settings.statement_timeout_ms
    sqlalchemy.event.listen(made, "connect", lambda connection, _: _make_ours(connection, limit))
    return made


def _make_ours(connection: Any, statement_timeout_ms: int) -> None:
    """Settle what holds for a new connection of pg8000 for as long as it lives."""
    # pg8000 leaves Nagle's algorithm on: a large parameter then waits 40 ms for its last bytes.
    connection._usock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.register_in_adapter(_TIMESTAMPTZ, _instant)
    connection.execute_simple(
        f"SET statement_timeout = {statement_timeout_ms};"
        "SET TIME ZONE 'UTC';"
        "SET standard_conforming_strings = on"  # `quoted` counts on it
    )
    connection.trips = _Trips(connection)


def _cloud_sql_creator(settings: DatabaseSettings) -> Any:
    from google.cloud.sql.connector import Connector

    instance = settings.cloud_sql_instance or ""
    connector = Connector(refresh_strategy="lazy")

    def connect() -> Any:
        return connector.connect(
            instance,
            "pg8000",
            user=settings.database_user,
            db=settings.database_name,
            enable_iam_auth=True,
            ip_type="private",
        )

    return connect


class _Trips:
    """How a connection speaks with the server, in the place of pg8000's own methods.

    Statements are parsed once per connection, then each is one round trip. What was put `ahead`
    leaves with the next one; at the end of the transaction it is void.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._unnamed = connection.execute_unnamed
        self._simple = connection.execute_simple
        self._parsed: OrderedDict[tuple[str, tuple[int, ...]], Any] = OrderedDict()
        self._prepared: set[str] = set()
        self.ahead: list[str] = []
        connection.execute_unnamed, connection.execute_simple = self.execute, self.simple
        connection.commit, connection.rollback = self.commit, self.rollback

    def simple(self, script: str) -> Any:
        """One or more statements without parameters, in one message."""
        for name in {*_EXECUTE.findall(script)} & (Prepared.known.keys() - self._prepared):
            self._simple(Prepared.known[name])
            self._prepared.add(name)
        script, self.ahead = ";".join([*self.ahead, script]), []
        return self._simple(script)

    def execute(
        self, statement: str, vals: Sequence[Any] = (), oids: Sequence[int] = (), stream: Any = None
    ) -> Any:
        if stream is not None:
            return self._unnamed(statement, vals=vals, oids=oids, stream=stream)
        if not vals:
            return self.simple(statement)
        key = (statement, tuple(oids))
        name, columns, converters = self._parse(key)
        parameters = make_params(self._connection.py_types, vals)
        try:
            return self._named(name, parameters, Context(statement, None, columns, converters))
        except DatabaseError as error:
            if error.args and isinstance(error.args[0], dict) and error.args[0].get("C") == "0A000":
                self._parsed.pop(key, None)  # the table changed shape under the cached plan
            raise

    def _named(self, name: bytes, parameters: Any, context: Any) -> Any:
        """Run a parsed statement. What is ahead is a message of its own, sent in the same go."""
        connection, ahead = self._connection, ";".join(self.ahead)
        self.ahead = []
        if ahead:
            connection.send_QUERY(ahead)
        connection.send_BIND(name, parameters)
        connection.send_EXECUTE()
        _write(connection._sock, SYNC_MSG)
        _flush(connection._sock)
        if ahead:
            try:
                connection.handle_messages(Context(ahead))
            except DatabaseError:
                with suppress(DatabaseError):  # its answer must be read in any case
                    connection.handle_messages(context)
                raise
        connection.handle_messages(context)
        return context

    def _parse(self, key: tuple[str, tuple[int, ...]]) -> Any:
        if key in self._parsed:
            self._parsed.move_to_end(key)
        else:
            self._parsed[key] = self._connection.prepare_statement(*key)
            if len(self._parsed) > _REMEMBERED:
                _, (oldest, _, _) = self._parsed.popitem(last=False)
                self._connection.close_prepared_statement(oldest)
        return self._parsed[key]

    def commit(self) -> None:
        """One round trip; none when nothing was sent, or when it was committed already."""
        self._end("COMMIT")

    def rollback(self) -> None:
        self._end("ROLLBACK")

    def _end(self, how: str) -> None:
        self.ahead = []
        if self._connection._in_transaction:
            self._simple(how)


def lead(connection: Connection, statement: str) -> None:
    """Let `statement` (no parameters) run ahead of the transaction's next one, in its message."""
    driver: Any = connection.connection.driver_connection
    driver.trips.ahead.append(statement)


def _end(connection: Connection, closing: str, then: str) -> Any:
    """Commit, with the last statements ahead of it and `then` after it in the same message."""
    driver: Any = connection.connection.driver_connection
    if not (closing or then):
        driver.commit()
        return None
    try:
        return driver.execute_simple(f"{closing}; COMMIT; {then}").rows
    except DatabaseError:
        if driver._in_transaction:
            raise
        return None


def run_simple(connection: Connection, script: str) -> Any:
    """Send `script` (one or more statements without parameters) in a single round trip.

    Answers the rows of its last statement. Values in it must come from `literal`.
    """
    driver: Any = connection.connection.driver_connection
    return driver.execute_simple(script).rows


def run_once(step: Step, script: str) -> Any:
    """Run `script` as a transaction of its own, in a single round trip, outside any tenant."""
    with taking(step):
        return read_once(script)


def read_once(query: str) -> Any:
    """The rows of a query that changes nothing, in a single round trip, outside any tenant."""
    with engine().connect() as connection:
        return _alive(connection, query)


def _alive(connection: Connection, script: str) -> Any:
    """Run the first script of a pooled connection; one that died meanwhile is replaced, once."""
    try:
        return run_simple(connection, script)
    except (InterfaceError, OSError):
        connection.invalidate()
        return run_simple(connection, script)


def literal(value: UUID | datetime | int | str | Sequence[Any] | None) -> str:
    """`value` as an SQL literal. Strings must be plain words: anything else has its parameters."""
    if value is None:
        return "NULL"
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, UUID):
        return f"'{value}'::uuid"
    if isinstance(value, datetime):
        return f"'{value.isoformat()}'::timestamptz"
    if isinstance(value, str):
        if not _WORD.fullmatch(value):
            raise ValueError("only plain words can be literals")
        return f"'{value}'"
    return f"ARRAY[{', '.join(literal(item) for item in value)}]"


def delete_some(connection: Connection, table: str, where: str, most: int, **values: Any) -> int:
    """Delete at most `most` rows of `table` that meet `where`; answers how many.

    Small transactions keep locks short and let the clean-up of a neglected table be resumed.
    """
    statement = f"""
        DELETE FROM {table} WHERE ctid = ANY(ARRAY(
          SELECT ctid FROM {table} WHERE {where} LIMIT :most FOR UPDATE SKIP LOCKED))"""
    return connection.execute(sqlalchemy.text(statement), values | {"most": most}).rowcount


def quoted(text: str) -> str:
    """Any text as an SQL literal. Raises `ValueError` for text that Postgres cannot hold."""
    if "\0" in text:
        raise ValueError("text with a NUL character")
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True)
class Opening:
    """How a transaction begins: the step its commit is, and what it claims, if anything.

    `sql` rides in the opening message (values by `literal`), which is then the step `claim`.
    """

    commit: Step
    claim: Step | None = None
    sql: str = ""


@dataclass
class Opened:
    """A transaction under way. `rows` are the answer to the `sql` that opened it.

    `closing` are statements that leave with the COMMIT, and `then` one that runs after it in a
    transaction of its own, all in a single message; values come from `literal` or `quoted`. The
    rows of `then` are `after`; should it fail, the commit stands and `after` stays None.
    """

    connection: Connection
    rows: Any
    closing: str = ""
    then: str = ""
    after: Any = None


@contextmanager
def begin(clinic_id: UUID | None, opening: Opening) -> Iterator[Opened]:
    """A transaction for a tenant; it commits at the end of the block, or rolls back on an error."""
    with engine().connect() as connection:
        script = f"BEGIN; {tenant_statement(clinic_id)}; {opening.sql}"
        with nullcontext() if opening.claim is None else taking(opening.claim):
            opened = Opened(connection, _alive(connection, script))
        with connection.begin():
            yield opened
            with taking(opening.commit):
                opened.after = _end(connection, opened.closing, opened.then)


def tenant_statement(clinic_id: UUID | None) -> str:
    """SQL that makes the rows of `clinic_id` visible until the transaction ends."""
    return f"SET LOCAL app.clinic_id = '{clinic_id or ''}'"
