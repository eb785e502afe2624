"""Durable state for engines: a small keyed store that survives kill -9, or none at all."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_PUT = "INSERT OR REPLACE INTO entry VALUES (?, ?)"
_DELETE = "DELETE FROM entry WHERE key = ?"


class Journal:
    """Keyed bytes of one engine. `put` and `delete` are durable when they return.

    Without a folder it keeps nothing: engines hold their state in memory anyway and read the
    journal only when they start. Inside `batch` several writes become durable together, at its end;
    `items` does not see them before.
    """

    def __init__(self, folder: Path | None, engine: str) -> None:
        self._database: sqlite3.Connection | None = None
        self._pending: dict[str, bytes | None] | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(folder / f"{engine}.sqlite", isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS entry (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID"
            )

    @property
    def lasting(self) -> bool:
        """Whether what is put here is kept at all."""
        return self._database is not None

    def put(self, key: str, value: bytes | Callable[[], bytes]) -> None:
        """Keep `value`; one that has to be made is made, at once, only where anything is kept."""
        if self._database is None:
            return
        made = value if isinstance(value, bytes) else value()
        if self._pending is not None:
            self._pending[key] = made
        else:
            self._database.execute(_PUT, (key, made))

    def delete(self, key: str) -> None:
        if self._pending is not None:
            self._pending[key] = None
        elif self._database is not None:
            self._database.execute(_DELETE, (key,))

    def items(self, prefix: str = "") -> list[tuple[str, bytes]]:
        """The entries whose key starts with `prefix`, in key order."""
        if self._database is None:
            return []
        rows = self._database.execute(
            "SELECT key, value FROM entry WHERE substr(key, 1, ?) = ? ORDER BY key",
            (len(prefix), prefix),
        )
        return list(rows)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Nothing of it is written when the block raises. A batch inside a batch is part of it."""
        if self._database is None or self._pending is not None:
            yield
            return
        self._pending = {}
        try:
            yield
            pending = self._pending
        finally:
            self._pending = None
        self._write(self._database, pending)

    def _write(self, database: sqlite3.Connection, pending: dict[str, bytes | None]) -> None:
        puts = [(key, value) for key, value in pending.items() if value is not None]
        deletes = [(key,) for key, value in pending.items() if value is None]
        database.execute("BEGIN")
        try:
            database.executemany(_PUT, puts)
            database.executemany(_DELETE, deletes)
            database.execute("COMMIT")
        except BaseException:
            database.execute("ROLLBACK")
            raise

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
