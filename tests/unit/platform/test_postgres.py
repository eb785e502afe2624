"""What goes into SQL as text is checked, and connections outlive the server's restarts."""

import threading
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from pg8000.exceptions import DatabaseError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, ResourceClosedError

from shared.kernel.ids import ClinicId
from shared.kernel.work import Work
from shared.platform import postgres
from shared.platform.database_errors import Undone
from shared.platform.driver import Prepared
from shared.platform.postgres import literal
from shared.platform.unit_of_work import PLAIN, Cause, sql, transaction
from tests.conftest import BERLIN, KOLKATA, House
from tests.reliability.probe import concurrently

VALUE = "0198c0de-0000-7000-8000-00000000beef"


@pytest.mark.parametrize(
    "text", ["'", "x'; DROP TABLE y; --", "two words", "", "a\\b", "a\nb", "ä", "$$"]
)
def test_only_plain_words_become_literals(text: str) -> None:
    with pytest.raises(ValueError, match="only plain words"):
        literal(text)


@pytest.mark.parametrize("items", [["fine", "it's"], [["nested'"]]])
def test_lists_are_checked_item_by_item(items: list[Any]) -> None:
    with pytest.raises(ValueError, match="only plain words"):
        literal(items)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "NULL"),
        (7, "7"),
        (True, "True"),
        (UUID(VALUE), f"'{VALUE}'::uuid"),
        (ClinicId(VALUE), f"'{VALUE}'::uuid"),
        (datetime(2026, 1, 1, tzinfo=UTC), "'2026-01-01T00:00:00+00:00'::timestamptz"),
        ("contract.renewal", "'contract.renewal'"),
        (["a", "b"], "ARRAY['a', 'b']"),
    ],
)
def test_a_value_is_written_as_postgres_reads_it(value: Any, written: str) -> None:
    assert literal(value) == written


def ask() -> Any:
    with transaction(BERLIN, "test", Cause("test")) as work:
        return sql(work).execute(text("SELECT CAST(:n AS int)"), {"n": 7}).scalar()


def tenant(work: Work) -> Any:
    return sql(work).execute(text("SELECT current_setting('app.clinic_id')")).scalar()


def test_a_transaction_that_asked_nothing_leaves_nothing_to_the_next(house: House) -> None:
    with transaction(BERLIN, "test", Cause("test")):
        pass
    with transaction(KOLKATA, "test", Cause("test")) as work:
        assert tenant(work) == str(KOLKATA)


def test_a_first_statement_that_is_wrong_leaves_nothing_to_the_next(house: House) -> None:
    with (
        pytest.raises(DBAPIError, match="nowhere"),
        transaction(BERLIN, "test", Cause("test")) as work,
    ):
        sql(work).execute(text("SELECT 1 FROM nowhere WHERE id = :n"), {"n": 7})
    with transaction(KOLKATA, "test", Cause("test")) as work:
        assert tenant(work) == str(KOLKATA)


def test_what_the_first_statement_wrote_is_undone_with_the_rest(house: House) -> None:
    rename = text("UPDATE platform.clinics SET name = :name")
    with (
        pytest.raises(ResourceClosedError),
        transaction(BERLIN, "test", Cause("test")) as work,
    ):
        sql(work).execute(rename, {"name": "renamed"}).one()  # an update answers no rows
    assert house.rows("SELECT 1 FROM platform.clinics WHERE name = 'renamed'") == []


def test_a_closing_that_cannot_be_planned_is_no_commit(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = "PREPARE wrong (int) AS SELECT 1 FROM nowhere"
    monkeypatch.setitem(Prepared.known, "wrong", wrong)
    with pytest.raises(DatabaseError, match="nowhere"), postgres.begin(None, PLAIN) as opened:
        opened.closing = "EXECUTE wrong (1)"
    assert ask() == 7


def test_a_connection_that_died_in_the_pool_is_replaced(house: House) -> None:
    ask()
    house.rows(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE usename = 'clinicloop_app'"
    )
    assert ask() == 7


def test_when_all_connections_of_the_pool_died_nobody_notices(house: House) -> None:
    everybody = threading.Barrier(4)

    def ask_together() -> Any:
        with transaction(BERLIN, "test", Cause("test")):
            everybody.wait(20)
        return ask()

    assert concurrently(*[ask_together] * 4) == [7] * 4
    house.rows(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE usename = 'clinicloop_app'"
    )
    assert [ask() for _ in range(3)] == [7] * 3


def test_a_statement_survives_a_change_of_its_table(house: House) -> None:
    """A server refuses a plan whose result changed shape; then all connections plan anew."""

    def names() -> Any:
        with transaction(BERLIN, "test", Cause("test")) as work:
            found = sql(work).execute(
                text("SELECT * FROM customers.customers WHERE email = :e"), {"e": "x"}
            )
            return len(list(found.keys()))

    before = names()
    house.rows("ALTER TABLE customers.customers ADD COLUMN probe text")
    try:
        with pytest.raises(Undone):
            names()
        assert names() == before + 1
    finally:
        house.rows("ALTER TABLE customers.customers DROP COLUMN probe")
        postgres.engine().dispose()


def test_a_statement_that_takes_too_long_is_ended(house: House) -> None:
    with transaction(BERLIN, "test", Cause("test")) as work:
        limit = sql(work).execute(text("SHOW statement_timeout")).scalar()
    assert limit == "20s"


def test_what_is_put_ahead_runs_before_the_next_statement(house: House) -> None:
    with transaction(BERLIN, "test", Cause("test")) as work:
        postgres.lead(sql(work), "SET LOCAL app.clinic_id = 'elsewhere'")
        found = sql(work).execute(
            text("SELECT current_setting('app.clinic_id') || CAST(:n AS text)"), {"n": 7}
        )
        assert found.scalar() == "elsewhere7"


def test_a_failure_ahead_fails_the_statement_and_leaves_the_connection_in_step(
    house: House,
) -> None:
    with transaction(BERLIN, "test", Cause("test")) as work:
        nested = sql(work).begin_nested()
        postgres.lead(sql(work), "SELECT 1/0")
        with pytest.raises(DBAPIError, match="division by zero"):
            sql(work).execute(text("SELECT CAST(:n AS int)"), {"n": 8})
        nested.rollback()
        assert sql(work).execute(text("SELECT CAST(:n AS int)"), {"n": 9}).scalar() == 9


def test_what_is_ahead_of_no_statement_is_never_run(house: House) -> None:
    with transaction(BERLIN, "test", Cause("test")) as work:
        postgres.lead(sql(work), "SELECT 1/0")
    assert ask() == 7
