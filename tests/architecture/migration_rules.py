"""What every migration keeps to, judged by the statements it really sends.

A `Recorder` listens while migrations run and notes what each sends, in or outside a transaction,
and under which `lock_timeout`. squawk judges the SQL; the rest of docs/runbooks/schema-change.md is
judged here.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine

from shared.platform import migrations
from shared.platform.migrations import changes

SQUAWK = Path(sys.executable).with_name("squawk")
_STYLE = ("prefer-bigint-over-int", "prefer-robust-stmts", "prefer-text-field")
_TIMEOUTS = ("require-lock-timeout", "require-statement-timeout")
_DROPS = ("ban-drop-column", "ban-drop-table", "ban-drop-not-null", "ban-drop-constraint")
_SHORT = {f"{migrations.BRIEFLY}ms"}
_PATIENT = {f"{changes.WAITING // 1000}s"}
_NAME = r'((?:"?\w+"?\.)?"?\w+"?)'
_TABLE = re.compile(
    rf"^(?:ALTER TABLE|CREATE POLICY \S+ ON|LOCK TABLE)\s+(?:ONLY )?{_NAME}", re.IGNORECASE
)
_MADE = re.compile(rf"^CREATE TABLE\s+(?:IF NOT EXISTS )?{_NAME}", re.IGNORECASE)
_ROWS = re.compile(rf"^(?:UPDATE|DELETE FROM|INSERT INTO|TRUNCATE)\s+{_NAME}", re.IGNORECASE)
_DROPPING = re.compile(
    r"^(?:ALTER TABLE \S+ (?:DROP|ALTER COLUMN \S+ DROP NOT NULL)|DROP)\b", re.IGNORECASE
)
_UNHURRIED = re.compile(
    r"^(?:CREATE (?:UNIQUE )?INDEX|DROP INDEX|ALTER TABLE \S+ VALIDATE)", re.IGNORECASE
)
_OWN = re.compile(r"^(?:SET|RESET|SHOW|SELECT|COMMENT)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Sent:
    """A statement, whether in a transaction, and the `lock_timeout` it ran under."""

    sql: str
    alone: bool
    lock_timeout: str


@dataclass
class Recorder:
    """The statements of each revision, in order."""

    revisions: dict[str, list[Sent]] = field(default_factory=dict)
    _now: list[Sent] = field(default_factory=list)

    def heard(self, connection: Connection, _: Any, sql: str, *__: Any) -> None:
        if version := re.search(r"alembic_version.*(?:version_num='|VALUES \(')(\w+)'", sql):
            self.revisions[version[1]], self._now = self._now, []
            return
        driver: Any = connection.connection.driver_connection
        (timeout,) = driver.execute_simple("SHOW lock_timeout").rows[0]
        if "alembic_version" not in sql and "pg_catalog" not in sql:
            self._now.append(Sent(sql.strip(), not driver._in_transaction, timeout))


@contextmanager
def recording() -> Iterator[Recorder]:
    """Listen to every migration that runs in the block."""
    recorder = Recorder()
    sqlalchemy.event.listen(Engine, "after_cursor_execute", recorder.heard)
    try:
        yield recorder
    finally:
        sqlalchemy.event.remove(Engine, "after_cursor_execute", recorder.heard)


def broken(sent: list[Sent], contracts_after: str | None, ancestors: set[str]) -> list[str]:
    """The rules that a revision breaks; `contracts_after` is what it says of itself."""
    together = [one for one in sent if not one.alone and not _OWN.match(one.sql)]
    return [
        *_judged_by_squawk(sent, contracting=contracts_after is not None),
        *_waiting(sent),
        *_mixed(sent, together),
        *_crowded(together),
        *_contracting(sent, contracts_after, ancestors),
    ]


def _judged_by_squawk(sent: list[Sent], contracting: bool) -> list[str]:
    """squawk's findings; how long is waited is judged by what really held."""
    left_out = [*_STYLE, *_TIMEOUTS, *(_DROPS if contracting else ())]
    if all(one.alone for one in sent):
        left_out.append("ban-drop-constraint")  # `changes` drops what it made
    script, alone = "BEGIN;\n", False
    for one in sent:
        if one.alone != alone:
            script, alone = script + ("COMMIT;\n" if one.alone else "BEGIN;\n"), one.alone
        script += one.sql.rstrip(";") + ";\n"
    done = subprocess.run(
        [SQUAWK, "--pg-version", "18", "--reporter", "gcc", "-e", ",".join(left_out)],
        input=script if alone else script + "COMMIT;\n",
        capture_output=True,
        text=True,
        check=False,
    )
    return [line.partition(": ")[2] for line in done.stdout.splitlines()]


def _waiting(sent: list[Sent]) -> Iterator[str]:
    for one in sent:
        if one.lock_timeout in _SHORT:
            continue
        if not (one.alone and one.lock_timeout in _PATIENT and (_calm(one.sql))):
            yield f"lock_timeout is {one.lock_timeout} at: {one.sql}"


def _calm(sql: str) -> bool:
    """Whether nobody's reading or writing queues up behind this statement."""
    return bool(_OWN.match(sql) or _UNHURRIED.match(sql))


def _mixed(sent: list[Sent], together: list[Sent]) -> Iterator[str]:
    if together and any(one.alone for one in sent):
        yield f"steps of `changes` make a revision of their own, without: {together[0].sql}"


def _crowded(together: list[Sent]) -> Iterator[str]:
    """What is locked stays locked until the transaction ends, also while it waits for the next."""
    made = {found[1] for one in together if (found := _MADE.match(one.sql))}
    altered = {found[1] for one in together if (found := _TABLE.match(one.sql))} - made
    if len(altered) > 1:
        yield f"one revision locks several tables: {', '.join(sorted(altered))}"
    for one in together:
        if (found := _ROWS.match(one.sql)) and found[1] not in made:
            yield f"rows are changed by `changes.backfill` alone: {one.sql}"


def _contracting(
    sent: list[Sent], contracts_after: str | None, ancestors: set[str]
) -> Iterator[str]:
    if contracts_after is None:
        return
    if contracts_after not in ancestors:
        yield f"contracts_after names no earlier revision: {contracts_after}"
    for one in sent:
        if not (_DROPPING.match(one.sql) or _OWN.match(one.sql)):
            yield f"a revision that contracts does nothing else: {one.sql}"
