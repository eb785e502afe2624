"""Steps of a migration that take long, or that Postgres runs outside a transaction only.

A revision consists of such steps alone or has none. Each commits by itself and may be done again,
since a revision that stops halfway starts over. None keeps others from their rows for long.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy
from alembic import op

from shared.platform.migrations import BRIEFLY, timeouts

WAITING = 30_000
"""Milliseconds to wait for a lock that nobody's reading or writing queues up behind; a statement
of the application takes less."""


@contextmanager
def _by_itself(lock: int) -> Iterator[None]:
    """Outside a transaction, each statement committed by itself, however long it runs."""
    with op.get_context().autocommit_block():
        driver: Any = op.get_bind().connection.driver_connection
        driver.rollback()  # Alembic's look at the isolation level opened a transaction
        op.execute(timeouts(lock, 0))
        yield


def index(
    name: str,
    table: str,
    columns: Sequence[str],
    *,
    unique: bool = False,
    where: str | None = None,
) -> None:
    """Index `table` (`schema.name`) while it is written to."""
    schema = table.partition(".")[0]
    kind = "UNIQUE INDEX" if unique else "INDEX"
    only = f" WHERE {where}" if where else ""
    with _by_itself(WAITING):
        if _broken(f"{schema}.{name}"):
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {schema}.{name}")
        what = f"{table} ({', '.join(columns)}){only}"
        op.execute(f"CREATE {kind} CONCURRENTLY IF NOT EXISTS {name} ON {what}")


def _broken(name: str) -> bool:
    """Whether an earlier try left an index that is not used."""
    query = f"SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{name}')"
    return bool(op.get_bind().exec_driver_sql(query).scalar())


def backfill(
    table: str,
    *,
    assign: str,
    where: str,
    key: Sequence[str] = ("clinic_id", "id"),
    most: int = 1000,
) -> None:
    """`UPDATE table SET assign WHERE where`, by at most `most` rows of the primary `key` a time.

    `where` leaves out what is done already. Run it when all code that writes rows fills them: what
    older code writes meanwhile is not found again. Row-level security binds the owner too and is
    lifted for the owner alone.
    """
    names = ", ".join(key)
    with _by_itself(BRIEFLY):
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        rows, after = op.get_bind(), ""
        while last := _last_of_batch(rows, table, names, after, most):
            up_to = f"({names}) <= ({last})"
            op.execute(
                f"UPDATE {table} SET {assign} WHERE {after or 'true'} AND {up_to} AND ({where})"
            )
            after = f"({names}) > ({last})"
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def _last_of_batch(rows: Any, table: str, names: str, after: str, most: int) -> str:
    """The key of the last row of the batch that follows `after`, as literals; none is left: ''."""
    literals = ", ".join(f"quote_literal({name})" for name in names.split(", "))
    query = f"""
        SELECT concat_ws(', ', {literals})
        FROM (SELECT {names} FROM {table} WHERE {after or "true"} ORDER BY {names} LIMIT {most})
          AS batch
        ORDER BY ROW({names}) DESC LIMIT 1"""
    last: str = rows.execute(sqlalchemy.text(query)).scalar() or ""
    return last.replace(":", r"\:")  # in a text of SQLAlchemy's a colon begins a parameter


def constrain(table: str, name: str, rule: str) -> None:
    """Let `rule` (`CHECK (...)`, `FOREIGN KEY ...`) hold for new rows, then prove it of the old."""
    with _by_itself(BRIEFLY):
        op.execute(
            f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name},"
            f" ADD CONSTRAINT {name} {rule} NOT VALID"
        )
    with _by_itself(WAITING):
        op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def require(table: str, column: str) -> None:
    """Make `column` NOT NULL; Postgres takes the proven constraint's word and reads no row."""
    proof = f"ck_{table.partition('.')[2]}_{column}_given"
    constrain(table, proof, f"CHECK ({column} IS NOT NULL)")
    with _by_itself(BRIEFLY):
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL")
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {proof}")
