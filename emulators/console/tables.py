"""What the console reads from PostgreSQL: rows of `platform`, an empty list where it has none."""

import asyncio
import json
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

_QUERIES = {
    "outbox": """
        SELECT id, topic, ordering_key, type, clinic_id, payload, attributes, created_at, sent_at
        FROM platform.outbox ORDER BY seq DESC LIMIT 300""",
    "timers": """
        SELECT id, kind, subject, clinic_id, due_at, version, state, queued_at
        FROM platform.timers ORDER BY state <> 'scheduled', due_at LIMIT 300""",
    "dead_letters": """
        SELECT id, function, handler, path, reason, attributes, substring(body FOR 20000) AS body,
          length(body) AS bytes, created_at, replayed_at
        FROM platform.dead_letters
        ORDER BY replayed_at IS NOT NULL, created_at DESC LIMIT 300""",
}
_NO_SUCH = {"3F000", "42P01", "42703"}  # schema, table, column: before or between migrations


class Tables:
    """Reads with the superuser's URL over one connection, which is made anew when it breaks."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._login = {
            "user": parts.username,
            "password": parts.password,
            "host": parts.hostname,
            "port": parts.port or 5432,
            "database": parts.path.lstrip("/"),
            "timeout": 5,
        }
        self._connection: Any = None
        self._alone = asyncio.Lock()

    async def read(self) -> dict[str, list[dict[str, Any]]]:
        """The newest rows of each table, JSON-ready; all empty while there is no database."""
        async with self._alone:
            return await asyncio.to_thread(self._read)

    async def dead_letter_function(self, letter: UUID) -> str | None:
        """Which function could not handle the message; None when there is no such row."""
        async with self._alone:
            return await asyncio.to_thread(self._dead_letter_function, letter)

    def _dead_letter_function(self, letter: UUID) -> str | None:
        rows = self._rows(f"SELECT function FROM platform.dead_letters WHERE id = '{letter}'")  # noqa: S608
        return str(rows[0]["function"]) if rows else None

    async def close(self) -> None:
        async with self._alone:
            await asyncio.to_thread(self._disconnect)

    def _read(self) -> dict[str, list[dict[str, Any]]]:
        from pg8000.exceptions import DatabaseError  # type: ignore[import-untyped, unused-ignore]

        rows: dict[str, list[dict[str, Any]]] = {name: [] for name in _QUERIES}
        for name, query in _QUERIES.items():
            try:
                rows[name] = self._rows(query)
            except DatabaseError as error:
                if error.args[0].get("C") not in _NO_SUCH:
                    self._disconnect()
                    break
            except Exception:  # noqa: BLE001 -- pg8000 raises many kinds when a server goes away
                self._disconnect()
                break
        return rows

    def _rows(self, query: str) -> list[dict[str, Any]]:
        from pg8000.native import Connection  # type: ignore[import-untyped, unused-ignore]

        if self._connection is None:
            self._connection = Connection(**self._login)
        found = self._connection.run(query)
        names = [column["name"] for column in self._connection.columns]
        return [
            {name: _plain(value) for name, value in zip(names, row, strict=True)} for row in found
        ]

    def _disconnect(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            try:
                connection.close()
            except Exception:  # noqa: BLE001 -- it is broken; nothing is left to close
                return


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case UUID():
            return str(value)
        case bytes() | memoryview():
            text = bytes(value).decode(errors="replace")
            try:
                return json.loads(text)
            except ValueError:
                return text
        case _:
            return value
