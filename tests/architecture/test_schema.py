"""Every table is declared with an owner, fenced in the database, and owned by nobody who serves."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Connection, Table, UniqueConstraint

from shared.platform import schema
from shared.platform.migrations import draft
from tests.conftest import House

TABLES = list(draft.declared().tables.values())
CLINIC_TABLES = [table for table in TABLES if table.info.get("owner") == "clinic"]
OURS = sorted({table.schema or "" for table in TABLES})
tables = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.fullname)
clinic_tables = pytest.mark.parametrize("table", CLINIC_TABLES, ids=lambda table: table.fullname)


@tables
def test_a_table_says_who_owns_its_rows(table: Table) -> None:
    assert table.info.get("owner") in schema.ROWS


@clinic_tables
def test_keys_of_a_clinics_table_begin_with_the_clinic(table: Table) -> None:
    unique = [table.primary_key, *(c for c in table.constraints if isinstance(c, UniqueConstraint))]
    keys = [list(key.columns) for key in unique]
    keys += [list(index.columns) for index in table.indexes if index.unique]
    firsts = [key[0].name for key in keys if key]
    assert firsts == ["clinic_id"] * len(keys)


@clinic_tables
def test_a_clinics_table_refers_to_tables_within_the_clinic(table: Table) -> None:
    own = [next(iter(key.columns)).name for key in table.foreign_key_constraints]
    assert own == ["clinic_id"] * len(own)


@tables
def test_columns_that_could_hold_phi_are_marked(table: Table) -> None:
    words = ("email", "phone", "given_name", "family_name", "address", "birth", "body")
    unmarked = {
        column.name
        for column in table.columns
        if column.name.startswith(words) and not column.info.get("phi")
    }
    # A dead letter holds an event, which has no PHI, or a timer's name.
    assert unmarked - ({"body"} if table.name == "dead_letters" else set()) == set()


@pytest.fixture
def owner(house: House) -> Iterator[Connection]:
    """The migrated database, seen by its owner."""
    engine = sqlalchemy.create_engine(house.cloud.admin_url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_migrations_make_what_is_declared(owner: Connection) -> None:
    assert draft.differences(owner).ops == []


def catalogue(house: House, query: str, **values: Any) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in house.rows(query, **values)]


def test_every_table_forces_row_level_security(house: House) -> None:
    open_tables = catalogue(
        house,
        """SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY(:ours)
          AND NOT (c.relrowsecurity AND c.relforcerowsecurity)""",
        ours=OURS,
    )
    assert open_tables == []


def test_every_table_has_the_policy_of_its_owner(house: House) -> None:
    found = {
        f"{where}.{name}": (policy, roles, using, check)
        for where, name, policy, roles, using, check in catalogue(
            house,
            """SELECT schemaname, tablename, policyname, roles::text[], qual, with_check
            FROM pg_policies WHERE schemaname = ANY(:ours)""",
            ours=OURS,
        )
    }
    assert found.keys() == {table.fullname for table in TABLES}
    for table in TABLES:
        policy, roles, using, check = found[table.fullname]
        owned = table.info["owner"]
        assert (policy, roles) == (f"{owned}_rows", [schema.APPLICATION_ROLE])
        assert using == check
        assert ("clinic_id =" in using) == (owned == "clinic")


def test_the_application_owns_nothing(house: House) -> None:
    owned = catalogue(
        house,
        """SELECT c.relname FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
        WHERE r.rolname = :role
        UNION ALL SELECT n.nspname FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner
        WHERE r.rolname = :role
        UNION ALL SELECT d.datname FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba
        WHERE r.rolname = :role""",
        role=schema.APPLICATION_ROLE,
    )
    assert owned == []


def test_the_application_may_bypass_nothing(house: House) -> None:
    (rights,) = catalogue(
        house,
        """SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication, rolinherit,
          EXISTS (SELECT 1 FROM pg_auth_members m WHERE m.member = r.oid)
        FROM pg_roles r WHERE rolname = :role""",
        role=schema.APPLICATION_ROLE,
    )
    assert rights == (False,) * 7


def test_the_application_may_only_read_and_write_rows(house: House) -> None:
    rights = catalogue(
        house,
        """SELECT DISTINCT privilege_type FROM information_schema.role_table_grants
        WHERE grantee = :role ORDER BY 1""",
        role=schema.APPLICATION_ROLE,
    )
    assert rights == [("DELETE",), ("INSERT",), ("SELECT",), ("UPDATE",)]


def test_nobody_else_may_read_anything(house: House) -> None:
    """No grant to PUBLIC on a table or schema of ours."""
    query = """SELECT table_schema, table_name FROM information_schema.role_table_grants
        WHERE grantee = 'PUBLIC' AND table_schema = ANY(:ours)"""
    assert catalogue(house, query, ours=OURS) == []
