"""How Alembic runs here: as the owner, alone, a transaction each, never waiting long for a lock.

Whoever wants a lock on a table makes everybody queue up behind them. So every transaction (and
every step outside one) begins with a short `lock_timeout`; a revision that did not get its lock
leaves the queue, and is tried again from its beginning a moment later.
"""

import time
from typing import Any

import sqlalchemy
from alembic import context
from sqlalchemy import Connection, NullPool
from sqlalchemy.exc import DBAPIError

from shared.platform.database_errors import sqlstate
from shared.platform.migrations import BRIEFLY, timeouts
from shared.platform.telemetry import log

_LOCK = 7_263_001
"""An advisory lock: two deployments at once migrate one after the other."""
_PATIENCE = 600
"""Seconds to wait until another deployment has migrated."""
_LONGEST = 20_000
"""Milliseconds for a statement: a net under the rules, which let none take long under a lock."""
_TRIES = 60
_PAUSE = 1.5
"""Seconds in which those who queued up behind a waiting revision are served."""
_NOT_GOT = "55P03"


def run() -> None:
    engine = sqlalchemy.create_engine(context.config.attributes["url"], poolclass=NullPool)
    sqlalchemy.event.listen(engine, "begin", _hurry)
    with engine.connect() as connection:
        _be_alone(connection)
        _migrate(connection)


def _hurry(connection: Connection) -> None:
    """Begin with short time-outs, whatever was set before."""
    driver: Any = connection.connection.driver_connection
    driver.execute_simple(timeouts(BRIEFLY, _LONGEST))


def _be_alone(connection: Connection) -> None:
    """Take the advisory lock, until the connection closes.

    It is asked for again and again and not waited for: a session that waits holds a snapshot, for
    which `CREATE INDEX CONCURRENTLY` of the other would wait in turn.
    """
    deadline = time.monotonic() + _PATIENCE
    query = f"SELECT pg_try_advisory_lock({_LOCK})"
    while True:
        with connection.begin():
            if connection.exec_driver_sql(query).scalar():
                return
        if time.monotonic() > deadline:
            raise TimeoutError("another migration has been running for too long")
        time.sleep(1)


def _migrate(connection: Connection) -> None:
    """Apply what is missing. What was applied before a lock was not got stays applied."""
    for tries in range(1, _TRIES + 1):
        context.configure(connection=connection, transaction_per_migration=True)
        try:
            with context.begin_transaction():
                context.run_migrations()
        except DBAPIError as error:
            connection.rollback()
            if sqlstate(error) != _NOT_GOT or tries == _TRIES:
                raise
            log.warning("migration_gave_way", tries=tries)
            time.sleep(_PAUSE)
        else:
            return


run()
