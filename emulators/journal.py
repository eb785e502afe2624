"""Durable state for engines: a small keyed store that survives kill -9, or none at all."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Journal:
    """Keyed bytes of one engine. `put` and `delete` are durable when they return.

    Without a folder it keeps nothing: engines hold their state in memory anyway and read the
    journal only when they start. Inside `batch` several writes become durable together, at its end.
    """

    def __init__(self, folder: Path | None, engine: str) -> None:
        self._database: sqlite3.Connection | None = None
        self._depth = 0
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(folder / f"{engine}.sqlite", isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS entry (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID"
            )

    def put(self, key: str, value: bytes) -> None:
        if self._database is not None:
            self._database.execute("INSERT OR REPLACE INTO entry VALUES (?, ?)", (key, value))

    def delete(self, key: str) -> None:
        if self._database is not None:
            self._database.execute("DELETE FROM entry WHERE key = ?", (key,))

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
        if self._database is None or self._depth:
            yield
            return
        self._depth = 1
        self._database.execute("BEGIN")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        finally:
            self._depth = 0

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
