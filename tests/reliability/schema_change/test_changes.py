"""A migration gives way, waits its turn, and goes on where it was stopped."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from textwrap import indent
from typing import Any

import pg8000.native
import pytest

from emulators.demo.stage import connect
from emulators.wiring import ROOT
from shared.platform import migrations
from tests import scratch
from tests.conftest import House
from tests.reliability.probe import wait_until

TABLE = "customers.lifetime_values"
_UPGRADE = """
import pathlib, sys
from shared.platform import migrations
migrations.upgrade("head", pathlib.Path(sys.argv[1]), url=sys.argv[2])
"""
KEY = '("clinic_id", "customer_id", "currency")'


@pytest.fixture(scope="module")
def template(_house: House) -> Iterator[str]:
    with scratch.database(_house, "changes") as url:
        migrations.upgrade(url=url)
        yield url


@pytest.fixture
def url(_house: House, template: str) -> Iterator[str]:
    """A migrated database with 25 rows in a table."""
    with scratch.database(_house, "changes_more", template) as url:
        with connect(url) as database:
            database.run(
                f"INSERT INTO {TABLE} SELECT gen_random_uuid(), gen_random_uuid(), 'EUR', n"
                " FROM generate_series(1, 25) n"
            )
        yield url


@pytest.fixture
def session(url: str) -> Iterator[Callable[[], pg8000.native.Connection]]:
    """Opens sessions of others on that database."""
    opened: list[pg8000.native.Connection] = []

    def another() -> pg8000.native.Connection:
        opened.append(connect(url))
        return opened[-1]

    yield another
    for one in opened:
        one.close()


@pytest.fixture
def migrating(url: str, tmp_path: Path) -> Iterator[Callable[[str], "Future[None]"]]:
    """Starts a process that migrates as it is told; Alembic allows no two in one process."""
    with ThreadPoolExecutor() as pool:

        def start(body: str) -> "Future[None]":
            text = (
                "from alembic import op\n"
                "from shared.platform.migrations import changes, newest\n"
                'revision = "9001"\n'
                "down_revision = newest()\n"
                f"def upgrade():\n{indent(body, '    ')}\n"
            )
            (tmp_path / "9001_sample.py").write_text(text)
            return pool.submit(run)

        def run() -> None:
            command = [sys.executable, "-c", _UPGRADE, str(tmp_path), url]
            subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)

        yield start


ADD = f'op.execute("ALTER TABLE {TABLE} ADD COLUMN note text")'
FILL = (
    f'changes.backfill("{TABLE}", key={KEY}, assign="amount = -amount",'
    ' where="amount > 0", most=10)'
)
Session = Callable[[], Any]
Migrating = Callable[[str], "Future[None]"]


def test_a_migration_does_not_hold_up_others_while_somebody_reads(
    session: Session, migrating: Migrating
) -> None:
    reader, other, watch = session(), session(), session()
    reader.run("BEGIN")
    reader.run(f"SELECT count(*) FROM {TABLE}")
    migration = migrating(ADD)
    wait_until(lambda: watch.run("SELECT 1 FROM pg_locks WHERE NOT granted"))
    assert other.run(f"SELECT count(*) FROM {TABLE}") == [[25]]
    assert not migration.done()
    reader.run("COMMIT")
    migration.result(60)
    assert other.run(f"SELECT DISTINCT note FROM {TABLE}") == [[None]]


def test_two_migrations_run_one_after_the_other(url: str, migrating: Migrating) -> None:
    both = [migrating(ADD), migrating(ADD)]
    for one in both:
        one.result(60)
    with connect(url) as database:
        assert database.run("SELECT version_num FROM alembic_version") == [["9001"]]


GIVES_WAY_AT_THE_15TH = f"""
    CREATE SEQUENCE changed;
    CREATE FUNCTION give_way() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF nextval('changed') = 15 THEN RAISE EXCEPTION 'x' USING ERRCODE = '55P03'; END IF;
      RETURN NEW; END $$;
    CREATE TRIGGER sample BEFORE UPDATE ON {TABLE} FOR EACH ROW EXECUTE FUNCTION give_way()"""


def test_a_backfill_keeps_what_it_has_done_and_goes_on(
    session: Session, migrating: Migrating
) -> None:
    database = session()
    for statement in GIVES_WAY_AT_THE_15TH.split(";\n    CREATE"):
        database.run(statement if "SEQUENCE" in statement else f"CREATE{statement}")
    migrating(FILL).result(60)
    assert database.run(f"SELECT count(*) FROM {TABLE} WHERE amount < 0") == [[25]]
    ten_five_and_the_rest = 10 + 5 + 15
    assert database.run("SELECT last_value FROM changed") == [[ten_five_and_the_rest]]


def test_a_backfill_takes_keys_of_any_text(session: Session, migrating: Migrating) -> None:
    database = session()
    database.run(f"UPDATE {TABLE} SET currency = E'a :b %s ''c\\\\:d ' || amount")
    migrating(FILL.replace(KEY, '["currency"]')).result(60)
    assert database.run(f"SELECT count(*) FROM {TABLE} WHERE amount < 0") == [[25]]


def test_a_backfill_leaves_row_level_security_as_it_was(
    session: Session, migrating: Migrating
) -> None:
    migrating(FILL).result(60)
    forced = f"SELECT relforcerowsecurity FROM pg_class WHERE oid = '{TABLE}'::regclass"
    assert session().run(forced) == [[True]]


def test_an_index_that_was_left_broken_is_made_anew(session: Session, migrating: Migrating) -> None:
    database = session()
    with pytest.raises(pg8000.native.DatabaseError):
        database.run(f"CREATE UNIQUE INDEX CONCURRENTLY sample ON {TABLE} (currency)")
    database.run(f"UPDATE {TABLE} SET currency = amount::text")
    migrating(f'changes.index("sample", "{TABLE}", ["currency"], unique=True)').result(60)
    query = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'customers.sample'::regclass"
    assert database.run(query) == [[True]]


def test_what_is_required_may_not_be_missing(session: Session, migrating: Migrating) -> None:
    session().run(f"ALTER TABLE {TABLE} ADD COLUMN note text DEFAULT 'x'")
    migrating(f'changes.require("{TABLE}", "note")').result(60)
    nullable = (
        f"SELECT attnotnull FROM pg_attribute WHERE attrelid = '{TABLE}'::regclass"
        " AND attname = 'note'"
    )
    assert session().run(nullable) == [[True]]


def test_a_constraint_that_old_rows_break_is_refused(
    session: Session, migrating: Migrating
) -> None:
    session().run(f"ALTER TABLE {TABLE} ADD COLUMN note text")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        migrating(f'changes.require("{TABLE}", "note")').result(60)
    assert "23514" in refused.value.stderr
