"""How tables are declared: who owns the rows, which columns are PHI; policies derive from it."""

from typing import Any

from sqlalchemy import Column, DateTime, Integer, MetaData, Table, TypeDecorator, Uuid

from shared.kernel.ids import ClinicId, TypedId

APPLICATION_ROLE = "clinicloop_app"
TENANT = "NULLIF(current_setting('app.clinic_id', true), '')::uuid"

ROWS = {
    "clinic": f"clinic_id = {TENANT}",
    "platform": "true",
    "intake": f"{TENANT} IS NULL",
}
"""Which rows the application sees, by who owns a table: the entered clinic's; all; and of what
comes in before it is known whose it is: all, but none inside a clinic."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class IdType(TypeDecorator[Any]):
    """A uuid column that is read as the given typed id."""

    impl = Uuid
    cache_ok = True

    def __init__(self, kind: type[TypedId]) -> None:
        super().__init__()
        self.kind = kind

    def process_result_value(self, value: Any, dialect: Any) -> Any:  # noqa: ARG002
        return None if value is None else self.kind(int=value.int)


def id_column(name: str, kind: type[TypedId], **options: Any) -> Column[Any]:
    """A column that holds ids of one kind."""
    options.setdefault("nullable", False)
    return Column(name, IdType(kind), **options)


def phi_column(name: str, kind: Any, **options: Any) -> Column[Any]:
    """A column that holds PHI; everything that must not leak knows it by this mark."""
    return Column(name, kind, info={"phi": True}, **options)


def revised() -> list[Column[Any]]:
    """The columns of a row that changes: its version, and the business times of first and last."""
    instants = [
        Column(name, DateTime(timezone=True), nullable=False)
        for name in ("created_at", "updated_at")
    ]
    return [Column("version", Integer, nullable=False), *instants]


def clinic_table(schema: str, name: str, *parts: Any) -> Table:
    """A table whose rows belong to the clinic in their `clinic_id`; nobody else sees them."""
    owner = id_column("clinic_id", ClinicId)
    return Table(name, metadata, owner, *parts, schema=schema, info={"owner": "clinic"})


def platform_table(
    name: str, *parts: Any, schema: str = "platform", owner: str = "platform"
) -> Table:
    """A table of the machinery itself, or of a context's own, that is read across clinics."""
    return Table(name, metadata, *parts, schema=schema, info={"owner": owner})
