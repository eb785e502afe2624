"""PostgreSQL through SQLAlchemy Core and pg8000, with round trips kept few.

A statement takes one (see `driver`). Opening a transaction and entering a tenant, the first or
another, take none: they leave together with the next statement.
"""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy
from pg8000.exceptions import DatabaseError, InterfaceError
from sqlalchemy import Connection, Engine

from shared.platform.database_errors import Undone, connection_lost, undone
from shared.platform.driver import make_ours
from shared.platform.settings import Misconfigured, Settings, load
from shared.platform.steps import Step, taking
from shared.platform.telemetry import metrics

_WORD = re.compile(r"[\w.:-]+", re.ASCII)


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
    settings = load(DatabaseSettings)
    made = make_engine(settings)
    pool: Any = made.pool
    metrics.POOL.read = lambda: [(pool.checkedout(), ("used",)), (pool.checkedin(), ("idle",))]
    metrics.POOL_MAX.read = lambda: [(settings.pool_size, ())]
    return made


def _connected() -> Connection:
    """A connection of the pool; how long it took is measured."""
    began = time.monotonic()
    connection = engine().connect()
    metrics.POOL_WAIT.record(time.monotonic() - began)
    return connection


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
    sqlalchemy.event.listen(made, "connect", lambda connection, _: make_ours(connection, limit))
    return made


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
        if driver._in_transaction or driver.trips.unopened:  # the COMMIT was not come to
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
    with _connected() as connection:
        return _alive(connection, query)


def _open(connection: Connection, script: str, awaited: bool) -> Any:
    """Begin a transaction; what is not `awaited` takes no round trip, but leaves with the first
    statement. Not so on a connection that seems dead, which `_alive` replaces; one that dies just
    then is found by that statement (`Undone`).
    """
    driver: Any = connection.connection.driver_connection
    if awaited or not driver.trips.quiet:
        return _alive(connection, script)
    driver.trips.used = True
    driver.trips.begin(script)
    return None


def _alive(connection: Connection, script: str) -> Any:
    """Run the first script of a pooled connection, which may have died in the pool.

    It is then replaced by the pool's next, which may have died as well, until one is new.
    """
    while True:
        driver: Any = connection.connection.driver_connection
        pooled, driver.trips.used = driver.trips.used, True
        try:
            return run_simple(connection, script)
        except (DatabaseError, InterfaceError) as error:
            if not (pooled and connection_lost(error)):
                raise
            connection.invalidate()


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
    """A transaction for a tenant; it commits at the end of the block, or rolls back on an error.

    Raises `Undone` instead of the error when that is so. Any other error of the database leaves
    open whether the transaction took effect, if it came with the COMMIT.
    """
    ending = False
    with _connected() as connection:
        script = f"BEGIN; {tenant_statement(clinic_id)}; {opening.sql}"
        try:
            with nullcontext() if opening.claim is None else taking(opening.claim):
                opened = Opened(connection, _open(connection, script, bool(opening.sql)))
            with connection.begin():
                yield opened
                with taking(opening.commit):
                    ending = True
                    opened.after = _end(connection, opened.closing, opened.then)
        except Exception as error:
            if undone(error, ending):
                raise Undone from error
            raise


def tenant_statement(clinic_id: UUID | None) -> str:
    """SQL that makes the rows of `clinic_id` visible until the transaction ends."""
    return f"SET LOCAL app.clinic_id = '{clinic_id or ''}'"
