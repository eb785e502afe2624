"""Rows that are mirrored, read as the documents that mirror them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

from sqlalchemy import Column, Select, Table, bindparam, select

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
        found = sql(work).execute(self._query, {"subjects": subjects})
        references = [column.name for column in self._references]
        return [self._document(row, references) for row in found]

    @cached_property
    def _references(self) -> list[Column[Any]]:
        return [c for c in self.table.c if isinstance(c.type, IdType) and c.name != "id"]

    @cached_property
    def _query(self) -> Select[Any]:
        """Built once: building a statement takes longer than running it."""
        rows = self.table.c
        columns = [rows.id, rows.status, rows.version, rows.updated_at, *self._references]
        return select(*columns).where(rows.id.in_(bindparam("subjects", expanding=True)))

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
