"""pg8000 as it is used here: few round trips, little work in Python, errors of one kind.

pg8000 takes three round trips for a statement with parameters. Here every connection remembers its
statements as named prepared ones: one round trip each.
"""

import re
import select
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import lru_cache, wraps
from typing import Any, ClassVar, ParamSpec, TypeVar

import pg8000.legacy
from pg8000.converters import timestamptz_in
from pg8000.core import IDLE, IN_TRANSACTION, SYNC_MSG, Context, _flush, _write, make_params
from pg8000.dbapi import convert_paramstyle
from pg8000.exceptions import DatabaseError, InterfaceError

from shared.platform.database_errors import replanned

P = ParamSpec("P")
R = TypeVar("R")

_REMEMBERED = 300
_TIMESTAMPTZ = 1184
_EXECUTE = re.compile(r"EXECUTE (\w+)")


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


def make_ours(connection: Any, statement_timeout_ms: int) -> None:
    """Settle what holds for a new connection of pg8000 for as long as it lives."""
    # pg8000 leaves Nagle's algorithm on: a large parameter then waits 40 ms for its last bytes.
    connection._usock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.register_in_adapter(_TIMESTAMPTZ, _instant)
    connection.execute_simple(
        f"SET statement_timeout = {statement_timeout_ms};"
        # A process that stands still in a transaction must not keep its locks for ever: nobody
        # thinks longer between two statements than one may take.
        f"SET idle_in_transaction_session_timeout = {statement_timeout_ms};"
        "SET TIME ZONE 'UTC';"
        "SET standard_conforming_strings = on"  # `quoted` counts on it
    )
    connection.trips = Trips(connection)


def _heard(speak: Callable[P, R]) -> Callable[P, R]:
    """What comes back instead of an answer is looked at."""

    @wraps(speak)
    def spoken(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return speak(*args, **kwargs)
        except DatabaseError as error:
            if replanned(error):
                Trips.outdated = time.monotonic()
            raise
        except OSError as error:  # pg8000 lets some through, and SQLAlchemy would not know them
            raise InterfaceError("network error") from error

    return spoken


class Trips:
    """How a connection speaks with the server, in the place of pg8000's own methods.

    Statements are parsed once per connection, then each is one round trip. What was put `ahead`
    leaves with the next one; at the end of the transaction it is void. Once a table was found to
    have changed under a plan, every connection forgets its statements before its next transaction.
    """

    outdated: ClassVar[float] = 0.0

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._unnamed = connection.execute_unnamed
        self._simple = connection.execute_simple
        self._parsed: OrderedDict[tuple[str, tuple[int, ...]], Any] = OrderedDict()
        self._prepared: set[str] = set()
        self._planned = time.monotonic()
        self._incoming = select.poll()
        self._incoming.register(connection._usock, select.POLLIN)
        self.unopened = False
        self.ahead: list[str] = []
        self.used = False
        connection.execute_unnamed, connection.execute_simple = self.execute, self.simple
        connection.commit, connection.rollback = self.commit, self.rollback

    @property
    def quiet(self) -> bool:
        """Whether the server has said nothing unasked: a last word is all it says so, mostly."""
        return not self._incoming.poll(0)

    def begin(self, script: str) -> None:
        """Open a transaction by `script` with its first statement, in one go; without one, never.

        pg8000 is told that it is in a transaction, or it would open one by itself.
        """
        if self._planned < self.outdated:
            self._forget()
        self.ahead, self.unopened = [script], True
        self._connection._transaction_status = IN_TRANSACTION

    @_heard
    def simple(self, script: str) -> Any:
        """One or more statements without parameters, in one message."""
        if self._planned < self.outdated and not self._connection._in_transaction:
            self._forget()
        for name in {*_EXECUTE.findall(script)} & (Prepared.known.keys() - self._prepared):
            self._simple(Prepared.known[name])
            self._prepared.add(name)
        return self._simple(";".join([*self._leaving(), script]))

    @_heard
    def execute(
        self, statement: str, vals: Sequence[Any] = (), oids: Sequence[int] = (), stream: Any = None
    ) -> Any:
        if stream is not None:
            self.simple("")  # what is ahead
            return self._unnamed(statement, vals=vals, oids=oids, stream=stream)
        if not vals:
            return self.simple(statement)
        key = (statement, tuple(oids))
        name, columns, converters = self._parse(key)
        parameters = make_params(self._connection.py_types, vals)
        return self._named(name, parameters, Context(statement, None, columns, converters))

    def _forget(self) -> None:
        self._planned = time.monotonic()
        self._simple("DEALLOCATE ALL")
        self._parsed.clear()
        self._prepared.clear()
        self._connection._statement_nums.clear()

    def _named(self, name: bytes, parameters: Any, context: Any) -> Any:
        """Run a parsed statement. What is ahead is a message of its own, sent in the same go."""
        connection, ahead = self._connection, ";".join(self._leaving())
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

    def _leaving(self) -> list[str]:
        """What leaves ahead of the statement that is next."""
        leaving, self.ahead, self.unopened = self.ahead, [], False
        return leaving

    @_heard
    def _end(self, how: str) -> None:
        if self.unopened:
            self._connection._transaction_status = IDLE
        self._leaving()
        if self._connection._in_transaction:
            self._simple(how)
