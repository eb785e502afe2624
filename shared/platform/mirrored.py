"""Rows that are mirrored, read as the documents that mirror them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Table, select

from shared.kernel.ids import TypedId
from shared.kernel.work import Work
from shared.platform.firestore import Document
from shared.platform.schema import IdType
from shared.platform.unit_of_work import sql


@dataclass(frozen=True)
class Mirrored:
    """A table of a context (`id`, `status`, `version`, `updated_at`) and its collection.

    Every other column that holds a typed id becomes a reference; no other column is read.
    """

    collection: str
    table: Table
    statuses: type[StrEnum]

    def documents(self, subjects: Sequence[TypedId], work: Work) -> list[Document]:
        """The documents of those subjects that the entered clinic has."""
        rows = self.table.c
        references = [c for c in rows if isinstance(c.type, IdType) and c.name != "id"]
        columns = [rows.id, rows.status, rows.version, rows.updated_at, *references]
        found = sql(work).execute(select(*columns).where(rows.id.in_(subjects)))
        return [self._document(row, [column.name for column in references]) for row in found]

    def _document(self, row: Any, references: list[str]) -> Document:
        named = {name: getattr(row, name) for name in references}
        return Document(
            collection=self.collection,
            subject=row.id,
            status=self.statuses(row.status),
            version=row.version,
            updated_at=row.updated_at,
            references={name: value for name, value in named.items() if value is not None},
        )

    def subjects(
        self, after: TypedId | None, since: datetime | None, most: int, work: Work
    ) -> list[TypedId]:
        """At most `most` subjects of the entered clinic (changed since), in the order of ids."""
        rows = self.table.c
        query = select(rows.id).order_by(rows.id).limit(most)
        if after is not None:
            query = query.where(rows.id > after)
        if since is not None:
            query = query.where(rows.updated_at >= since)
        return list(sql(work).execute(query).scalars())
