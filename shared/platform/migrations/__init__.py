"""The schema's history, by Alembic, one chain of small files.

`python -m shared.platform.migrations` brings the database that DATABASE_ADMIN_URL names to the
newest revision, as its owner; DATABASE_URL names the application's login, which is made if absent.
"""

import os
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.engine import make_url

from shared.platform.postgres import DatabaseSettings
from shared.platform.schema import APPLICATION_ROLE
from shared.platform.settings import Settings, load

FOLDER = Path(__file__).parent
VERSIONS = FOLDER / "versions"

BRIEFLY = 500
"""Milliseconds a migration waits for a lock, and at most makes others wait behind it; less than
Postgres' `deadlock_timeout`, so that in a deadlock the migration gives way and not a request."""


class MigrationSettings(Settings):
    """Who migrates which database: the owner of its tables."""

    database_admin_url: str


def config(*more: Path) -> Config:
    """Alembic's configuration, with `more` folders of revisions; there is no ini file."""
    made = Config()
    made.set_main_option("script_location", str(FOLDER))
    made.set_main_option("path_separator", "os")
    made.set_main_option("version_locations", os.pathsep.join(map(str, (VERSIONS, *more))))
    return made


def upgrade(to: str = "head", *more: Path, url: str | None = None) -> None:
    """Apply what is missing up to the revision `to`. Doing it again changes nothing.

    `more` are folders of revisions that follow on ours; `url` is the owner's URL of another
    database than DATABASE_ADMIN_URL names. Safe while the application is at work: see
    docs/runbooks/schema-change.md. Raises `DBAPIError` (55P03) when a lock could not be had, each
    time it was tried, and `TimeoutError` when another migration does not end.
    """
    settings = config(*more)
    settings.attributes["url"] = url or load(MigrationSettings).database_admin_url
    command.upgrade(settings, to)


def newest() -> str | None:
    """The revision our own chain ends with."""
    return ScriptDirectory.from_config(config()).get_current_head()


def timeouts(lock: int, statement: int) -> str:
    """SQL that limits waiting for a lock and running a statement (milliseconds; 0: no limit)."""
    return f"SET lock_timeout = {lock}; SET statement_timeout = {statement}"


def application_password() -> str | None:
    """The password the application logs in with: none with IAM authentication."""
    url = load(DatabaseSettings).database_url
    parsed = make_url(url) if url else None
    return parsed.password if parsed and parsed.username == APPLICATION_ROLE else None
