"""Round trips are counted as the network sees them, whatever the driver does."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pg8000.native
import pytest
from sqlalchemy.engine import make_url

from bench.trips import Trips, counted
from shared.platform import postgres
from shared.platform.postgres import DatabaseSettings
from tests.conftest import House


@contextmanager
def connected(trips: Trips) -> Iterator[pg8000.native.Connection]:
    """The driver's own connection, through the proxy."""
    url = make_url(trips.environment["DATABASE_URL"])
    with closing(
        pg8000.native.Connection(
            url.username or "", password=url.password, host=url.host or "", port=url.port or 0,
            database=url.database,
        )
    ) as connection:  # fmt: skip
        yield connection


@pytest.mark.usefixtures("house")
def test_a_statement_in_one_message_is_one_round_trip() -> None:
    with counted() as trips, connected(trips) as connection:
        assert trips.each(lambda: connection.run("SELECT 1; SELECT 2"), times=5) == 1


@pytest.mark.usefixtures("house")
def test_a_long_answer_does_not_count_more() -> None:
    with counted() as trips, connected(trips) as connection:
        query = "SELECT repeat('x', 1000) FROM generate_series(1, 2000)"
        assert trips.each(lambda: connection.run(query), times=3) == 1


@pytest.mark.usefixtures("house")
def test_a_driver_that_parses_and_describes_first_is_seen_to() -> None:
    with counted() as trips, connected(trips) as connection:
        assert trips.each(lambda: connection.run("SELECT :n::int", n=1), times=5) == 3


def test_ours_takes_one_for_the_opening_one_a_statement_and_one_to_commit(house: House) -> None:
    clinic = house.rows("SELECT id FROM platform.clinics LIMIT 1")[0]["id"]
    with counted() as trips:
        through = DatabaseSettings(database_url=trips.environment["DATABASE_URL"])
        engine = postgres.make_engine(through)
        statement = "SELECT count(*) FROM contracts.contracts WHERE version > %s"

        def work() -> None:
            with engine.connect() as connection:
                opening = f"BEGIN; {postgres.tenant_statement(clinic)}"
                postgres.run_simple(connection, opening)
                connection.exec_driver_sql(statement, (1,)).one()
                connection.commit()

        try:
            assert trips.each(work, times=5) == 3
        finally:
            engine.dispose()


@pytest.mark.usefixtures("house")
def test_the_proxy_leaves_the_settings_of_the_process_alone() -> None:
    before = os.environ["DATABASE_URL"]
    with counted() as trips:
        assert trips.environment["DATABASE_URL"] != before
    assert os.environ["DATABASE_URL"] == before
