"""Rows of a vendor's state: JSON objects by key, in memory and in the journal."""

import json
from typing import Any

from emulators.journal import Journal

Row = dict[str, Any]


class Table(dict[str, Row]):
    """Rows by key under `<name>/` in the journal. Read it as a dict; change it by `save`, `drop`.

    A row changed in place is durable once it is saved again.
    """

    def __init__(self, journal: Journal, name: str) -> None:
        prefix = f"{name}/"
        super().__init__(
            (key.removeprefix(prefix), json.loads(value)) for key, value in journal.items(prefix)
        )
        self._journal = journal
        self._prefix = prefix

    def save(self, key: str, row: Row) -> Row:
        """Durable when it returns."""
        self._journal.put(self._prefix + key, lambda: json.dumps(row).encode())
        self[key] = row
        return row

    def drop(self, key: str) -> None:
        self._journal.delete(self._prefix + key)
        self.pop(key, None)
