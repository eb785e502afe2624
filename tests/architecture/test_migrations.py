"""Migrations hold nobody up, and are made so that code of yesterday and tomorrow runs with them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent, indent

import pytest
from alembic.script import ScriptDirectory

from shared.platform import migrations
from tests import scratch
from tests.architecture.migration_rules import Recorder, broken, recording
from tests.conftest import House
from tests.reliability.schema_change.proof import VERSIONS as SAMPLE

Upgrade = Callable[[Path], Recorder]


@pytest.fixture(scope="module")
def ours(_house: House) -> Iterator[tuple[str, Recorder]]:
    """A database with our own migrations; and what they sent."""
    with scratch.database(_house, "migrated") as url:
        yield url, _upgrade(url)


@pytest.fixture
def upgrade(_house: House, ours: tuple[str, Recorder]) -> Iterator[Upgrade]:
    """Runs ours and a folder of further migrations, on a new database; says what was sent."""
    like, already = ours

    def run(folder: Path) -> Recorder:
        return Recorder(already.revisions | _upgrade(url, folder).revisions)

    with scratch.database(_house, "migrated_more", like) as url:
        yield run


def _upgrade(url: str, *more: Path) -> Recorder:
    with recording() as recorder:
        migrations.upgrade("head", *more, url=url)
    return recorder


def judged(recorder: Recorder, *more: Path) -> dict[str, list[str]]:
    """The rules that each revision breaks, by revision; those that break none are left out."""
    scripts = ScriptDirectory.from_config(migrations.config(*more))
    found: dict[str, list[str]] = {}
    before: set[str] = set()
    for script in reversed(list(scripts.walk_revisions())):
        contracts_after = getattr(script.module, "contracts_after", None)
        found[script.revision] = broken(
            recorder.revisions[script.revision], contracts_after, set(before)
        )
        before.add(script.revision)
    return {revision: rules for revision, rules in found.items() if rules}


def test_migrations_are_one_chain_of_numbered_files() -> None:
    names = sorted(path.name.partition("_")[0] for path in migrations.VERSIONS.glob("0*.py"))
    assert names == [f"{number:04}" for number in range(1, len(names) + 1)]


def test_every_migration_keeps_the_rules(ours: tuple[str, Recorder]) -> None:
    _, recorder = ours
    assert len(recorder.revisions) == len(list(migrations.VERSIONS.glob("0*.py")))
    assert judged(recorder) == {}


def test_the_change_that_is_proven_under_load_keeps_the_rules(upgrade: Upgrade) -> None:
    recorder = upgrade(SAMPLE)
    assert {"9001", "9005"} <= recorder.revisions.keys()
    assert judged(recorder, SAMPLE) == {}


def written(folder: Path, body: str, **declared: str) -> Path:
    """A folder with one more revision, which does `body`."""
    lines = [f"{name} = {value!r}" for name, value in declared.items()]
    text = f"""\
from alembic import op
from shared.platform.migrations import changes, newest
revision = "9001"
down_revision = newest()
{chr(10).join(lines)}
def upgrade():
{indent(dedent(body), "    ")}
"""
    (folder / "9001_sample.py").write_text(text)
    return folder


CUSTOMERS = "customers.customers"


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (f'op.execute("ALTER TABLE {CUSTOMERS} ADD COLUMN x text NOT NULL")', "adding-required"),
        (f'op.execute("ALTER TABLE {CUSTOMERS} ALTER phone TYPE varchar(9)")', "changing-column"),
        (f'op.execute("ALTER TABLE {CUSTOMERS} RENAME phone TO mobile")', "renaming-column"),
        (f'op.execute("ALTER TABLE {CUSTOMERS} RENAME TO people")', "renaming-table"),
        (f'op.execute("ALTER TABLE {CUSTOMERS} ADD CHECK (version > 0)")', "constraint-missing"),
        (f'op.execute("ALTER TABLE {CUSTOMERS} ADD UNIQUE (phone)")', "disallowed-unique"),
        (f'op.execute("ALTER TABLE {CUSTOMERS} ALTER phone SET NOT NULL")', "adding-not-null"),
        (f'op.execute("CREATE INDEX x ON {CUSTOMERS} (phone)")', "require-concurrent-index"),
        (f'op.execute("ALTER TABLE {CUSTOMERS} DROP COLUMN phone")', "ban-drop-column"),
        (f'op.execute("UPDATE {CUSTOMERS} SET phone = NULL")', "changes.backfill"),
        (f'op.execute("SET lock_timeout = \'1h\'"); op.execute("LOCK {CUSTOMERS}")', "1h"),
        (
            f'op.execute("ALTER TABLE {CUSTOMERS} ADD COLUMN x text")\n'
            'op.execute("ALTER TABLE contracts.contracts ADD COLUMN x text")',
            "several tables",
        ),
        (
            f'op.execute("ALTER TABLE {CUSTOMERS} ADD COLUMN x text")\n'
            f'changes.index("ix_x", "{CUSTOMERS}", ["x"])',
            "a revision of their own",
        ),
        (
            "with op.get_context().autocommit_block():\n"
            '    op.execute("SET lock_timeout = 0")\n'
            f'    op.execute("ALTER TABLE {CUSTOMERS} ADD COLUMN x text")',
            "lock_timeout is 0",
        ),
    ],
    ids=lambda value: value if " " not in value else "",
)
def test_a_migration_that_breaks_a_rule_is_found(
    upgrade: Upgrade, tmp_path: Path, body: str, rule: str
) -> None:
    found = judged(upgrade(written(tmp_path, body)), tmp_path)
    assert any(rule in one for one in found["9001"]), found


def test_what_is_dropped_says_when_its_use_ended(upgrade: Upgrade, tmp_path: Path) -> None:
    body = f'op.execute("ALTER TABLE {CUSTOMERS} DROP COLUMN push_token")'
    folder = written(tmp_path, body, contracts_after="0008")
    assert judged(upgrade(folder), tmp_path) == {}


@pytest.mark.parametrize(
    ("after", "also", "rule"),
    [
        ("9001", "", "no earlier revision"),
        ("0008", f"; ALTER TABLE {CUSTOMERS} ADD COLUMN x text", "nothing else"),
    ],
)
def test_what_contracts_does_that_alone_and_later(
    upgrade: Upgrade, tmp_path: Path, after: str, also: str, rule: str
) -> None:
    drop = f'op.execute("ALTER TABLE {CUSTOMERS} DROP COLUMN push_token")'
    more = f'op.execute("{also[2:]}")' if also else ""
    folder = written(tmp_path, f"{drop}\n{more}", contracts_after=after)
    found = judged(upgrade(folder), tmp_path)
    assert any(rule in one for one in found["9001"]), found
