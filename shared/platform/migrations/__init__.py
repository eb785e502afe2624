"""The schema's history, by Alembic, one chain of small files.

`python -m shared.platform.migrations` brings the database that DATABASE_ADMIN_URL names to the
newest revision, as its owner; DATABASE_URL names the application's login, which is made if absent.
"""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy.engine import make_url

from shared.platform.schema import APPLICATION_ROLE
from shared.platform.settings import Settings, load

FOLDER = Path(__file__).parent


class MigrationSettings(Settings):
    """Without DATABASE_URL (IAM authentication) the application's role gets no password."""

    database_admin_url: str
    database_url: str | None = None


def config(**attributes: Any) -> Config:
    """Alembic's configuration; there is no ini file."""
    made = Config()
    made.set_main_option("script_location", str(FOLDER))
    made.set_main_option("path_separator", "os")
    made.attributes.update(attributes)
    return made


def upgrade() -> None:
    """Apply what is missing. Doing it again changes nothing."""
    command.upgrade(config(), "head")


def application_password() -> str | None:
    """The password the application logs in with, where it logs in with one."""
    url = load(MigrationSettings).database_url
    parsed = make_url(url) if url else None
    return parsed.password if parsed and parsed.username == APPLICATION_ROLE else None
