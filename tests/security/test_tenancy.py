"""One clinic never sees or touches another's rows, by the code's mistake or by raw SQL."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pg8000.native
import pytest
from pg8000.exceptions import DatabaseError
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import make_url

from shared.kernel.ids import ClinicId
from shared.platform import postgres
from shared.platform.migrations import draft
from shared.platform.schema import IdType
from shared.platform.unit_of_work import Cause, sql, transaction
from tests.conftest import BERLIN, KOLKATA, House
from tests.reliability.probe import concurrently

_BY_TYPE: dict[type[Any], Any] = {
    Text: "x",
    Boolean: False,
    Integer: 1,
    BigInteger: 1,
    Date: date(2026, 1, 1),
    DateTime: datetime(2026, 1, 1, tzinfo=UTC),
    JSONB: "{}",
    LargeBinary: b"x",
    Uuid: UUID("0198c0de-0000-7000-8000-00000000beef"),
    IdType: UUID("0198c0de-0000-7000-8000-00000000beef"),
}
TABLES = [t for t in draft.declared().sorted_tables if t.info["owner"] == "clinic"]
tables = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.fullname)


def row(table: Table, clinic: ClinicId) -> dict[str, Any]:
    """Some row of the table; the same for every clinic, so that only `clinic_id` differs."""
    needed = [c for c in table.columns if not c.nullable and c.server_default is None]
    return {c.name: _value(c) for c in needed} | {"clinic_id": clinic}


def _value(column: Column[Any]) -> Any:
    return _BY_TYPE[type(column.type)]


def insert(table: Table, values: dict[str, Any]) -> str:
    """An INSERT with named parameters."""
    names = ", ".join(values)
    slots = ", ".join(
        f"CAST(:{name} AS jsonb)" if isinstance(table.c[name].type, JSONB) else f":{name}"
        for name in values
    )
    return f"INSERT INTO {table.fullname} ({names}) VALUES ({slots})"


@pytest.fixture
def rows_of_both(house: House) -> House:
    """A row of each clinic in every clinic's table."""
    for table in TABLES:
        for clinic in (BERLIN, KOLKATA):
            values = row(table, clinic)
            house.rows(insert(table, values), **values)
    return house


class Login:
    """A session of the application's own role, without any of our code."""

    def __init__(self, house: House) -> None:
        url = make_url(house.cloud.env["DATABASE_URL"])
        self._connection = pg8000.native.Connection(
            url.username or "", password=url.password, host=url.host or "", port=url.port or 0,
            database=url.database,
        )  # fmt: skip

    def run(self, query: str, **values: Any) -> list[Any]:
        return self._connection.run(query, **values) or []

    def changed(self, query: str, **values: Any) -> int:
        self._connection.run(query, **values)
        return int(self._connection.row_count)

    def enter(self, clinic: ClinicId | None) -> None:
        self.run("SELECT set_config('app.clinic_id', :id, false)", id=str(clinic or ""))

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def login(rows_of_both: House) -> Iterator[Login]:
    made = Login(rows_of_both)
    yield made
    made.close()


@tables
def test_raw_sql_sees_its_own_clinics_rows_only(login: Login, table: Table) -> None:
    login.enter(BERLIN)
    assert login.run(f"SELECT DISTINCT clinic_id FROM {table.fullname}") == [[BERLIN]]


@tables
def test_raw_sql_sees_nothing_without_a_clinic(login: Login, table: Table) -> None:
    assert login.run(f"SELECT count(*) FROM {table.fullname}") == [[0]]
    login.enter(BERLIN)
    login.enter(None)
    assert login.run(f"SELECT count(*) FROM {table.fullname}") == [[0]]


@tables
def test_raw_sql_cannot_write_into_another_clinic(login: Login, table: Table) -> None:
    login.enter(BERLIN)
    values = row(table, KOLKATA)
    with pytest.raises(DatabaseError, match="row-level security"):
        login.run(insert(table, values), **values)


@tables
def test_raw_sql_cannot_give_rows_away(login: Login, table: Table) -> None:
    login.enter(BERLIN)
    with pytest.raises(DatabaseError, match="row-level security"):
        login.run(f"UPDATE {table.fullname} SET clinic_id = :other", other=KOLKATA)


@tables
def test_raw_sql_cannot_change_or_delete_anothers_rows(login: Login, table: Table) -> None:
    login.enter(BERLIN)
    mine = f"SET clinic_id = clinic_id WHERE clinic_id = '{KOLKATA}'"
    assert login.changed(f"UPDATE {table.fullname} {mine}") == 0
    assert login.changed(f"DELETE FROM {table.fullname} WHERE clinic_id = '{KOLKATA}'") == 0


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE customers.customers DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE customers.customers NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY clinic_rows ON customers.customers",
        "CREATE POLICY mine ON customers.customers USING (true)",
        "TRUNCATE customers.customers CASCADE",
        "DROP TABLE customers.customers CASCADE",
        "SET ROLE postgres",
        "SET SESSION AUTHORIZATION postgres",
        "ALTER ROLE clinicloop_app BYPASSRLS",
        "CREATE ROLE another LOGIN",
        "CREATE TABLE customers.stolen AS SELECT 1 AS one",
        "CREATE TABLE public.stolen AS SELECT 1 AS one",
        "COPY customers.customers TO PROGRAM 'cat'",
        "COPY customers.customers TO '/tmp/stolen'",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT * FROM pg_authid",
    ],
)
def test_the_application_cannot_lift_the_fence(login: Login, statement: str) -> None:
    login.enter(BERLIN)
    with pytest.raises(DatabaseError, match=r"permission|owner|row-level security"):
        login.run(statement)


def test_the_application_cannot_look_past_the_fence(login: Login) -> None:
    login.run("SET row_security = off")
    with pytest.raises(DatabaseError, match="row-level security"):
        login.run("SELECT * FROM customers.customers")


def visible(clinic: ClinicId | None) -> set[ClinicId]:
    """Whose customers our own code sees in a transaction for `clinic`."""
    with transaction(clinic, "test", Cause("test")) as work:
        found = sql(work).execute(text("SELECT clinic_id FROM customers.customers"))
        return {ClinicId(int=value.int) for value in found.scalars()}


def test_a_pooled_connection_forgets_the_clinic_after_a_commit(rows_of_both: House) -> None:
    assert [visible(clinic) for clinic in (BERLIN, None, KOLKATA, None)] == [
        {BERLIN},
        set(),
        {KOLKATA},
        set(),
    ]


def test_a_pooled_connection_forgets_the_clinic_after_a_failure(rows_of_both: House) -> None:
    def fail(statement: str) -> None:
        with transaction(BERLIN, "test", Cause("test")) as work:
            sql(work).execute(text(statement))
            raise KeyError

    for statement in ("SELECT 1", "SELECT 1/0"):
        with pytest.raises(Exception, match=r"zero|^$"):
            fail(statement)
        assert visible(None) == set()


def test_outside_a_transaction_no_clinic_is_entered(rows_of_both: House) -> None:
    visible(BERLIN)
    with postgres.engine().connect() as connection:
        found = connection.execute(text("SELECT count(*) FROM customers.customers")).scalar()
    assert found == 0


def test_clinics_at_the_same_time_do_not_mix(rows_of_both: House) -> None:
    def many(clinic: ClinicId) -> list[set[ClinicId]]:
        return [visible(clinic) for _ in range(25)]

    clinics = [BERLIN, KOLKATA] * 3
    seen = concurrently(*[lambda c=c: many(c) for c in clinics])
    assert seen == [[{clinic}] * 25 for clinic in clinics]


def test_work_in_another_clinic_ends_with_its_block(rows_of_both: House) -> None:
    def seen(work: Any) -> list[Any]:
        found = sql(work).execute(text("SELECT DISTINCT clinic_id FROM customers.customers"))
        return list(found.scalars())

    with transaction(BERLIN, "test", Cause("test")) as work:
        with work.within(KOLKATA):
            assert (seen(work), work.clinic_id) == ([KOLKATA], KOLKATA)
        assert (seen(work), work.clinic_id) == ([BERLIN], BERLIN)


def test_a_failure_in_another_clinic_ends_with_its_block(rows_of_both: House) -> None:
    with transaction(BERLIN, "test", Cause("test")) as work:
        with pytest.raises(KeyError), work.within(KOLKATA):
            raise KeyError
        assert work.clinic_id == BERLIN


def test_work_without_a_clinic_has_none(house: House) -> None:
    with (
        transaction(None, "test", Cause("test")) as work,
        pytest.raises(LookupError, match="no clinic is entered"),
    ):
        work.clinic_id  # noqa: B018 -- reading it is the test
