"""How tables are declared: who owns the rows, which columns are PHI; policies derive from it."""

from typing import Any

from sqlalchemy import Column, MetaData, Table, Uuid

from shared.kernel.ids import ClinicId, TypedId

APPLICATION_ROLE = "clinicloop_app"
TENANT = "NULLIF(current_setting('app.clinic_id', true), '')::uuid"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class IdType(Uuid[Any]):
    """A uuid column that is read as the given typed id."""

    cache_ok = True

    def __init__(self, kind: type[TypedId]) -> None:
        super().__init__()
        self.kind = kind

    def result_processor(self, dialect: Any, coltype: Any) -> Any:  # noqa: ARG002
        kind = self.kind

        def process(value: Any) -> Any:
            return None if value is None else kind(int=value.int)

        return process


def id_column(name: str, kind: type[TypedId], **options: Any) -> Column[Any]:
    """A column that holds ids of one kind."""
    options.setdefault("nullable", False)
    return Column(name, IdType(kind), **options)


def phi_column(name: str, kind: Any, **options: Any) -> Column[Any]:
    """A column that holds PHI; everything that must not leak knows it by this mark."""
    return Column(name, kind, info={"phi": True}, **options)


def clinic_table(schema: str, name: str, *parts: Any) -> Table:
    """A table whose rows belong to the clinic in their `clinic_id`; nobody else sees them."""
    owner = id_column("clinic_id", ClinicId)
    return Table(name, metadata, owner, *parts, schema=schema, info={"owner": "clinic"})


def platform_table(name: str, *parts: Any) -> Table:
    """A table of the machinery itself (schema `platform`), read across clinics."""
    return Table(name, metadata, *parts, schema="platform", info={"owner": "platform"})
