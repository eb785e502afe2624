"""A database of its own for a benchmark, migrated, with the environment pointing at it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pg8000.native
from sqlalchemy.engine import make_url

from emulators.postgres import Postgres

PROJECT = "clinicloop-bench"


class Database:
    """A throwaway PostgreSQL; `run` is the owner's connection."""

    def __init__(self, admin_url: str) -> None:
        url = make_url(admin_url)
        self._connection = pg8000.native.Connection(
            url.username or "", password=url.password, host=url.host or "", port=url.port or 0,
            database=url.database,
        )  # fmt: skip

    def run(self, statement: str, **parameters: Any) -> Any:
        return self._connection.run(statement, **parameters)

    def close(self) -> None:
        self._connection.close()


@contextmanager
def database() -> Iterator[Database]:
    """Start, migrate, and set DATABASE_URL for the length of the block."""
    with tempfile.TemporaryDirectory(prefix="clinicloop-bench-") as folder:
        postgres = Postgres(Path(folder) / "postgres", durable=False)
        postgres.start()
        opened = None
        try:
            login = postgres.login_url("clinicloop_app", "clinicloop")
            os.environ |= {
                "DATABASE_ADMIN_URL": postgres.url,
                "DATABASE_URL": login,
                "GOOGLE_CLOUD_PROJECT": PROJECT,
            }
            subprocess.run(
                [sys.executable, "-m", "shared.platform.migrations"], check=True, env=os.environ
            )
            opened = Database(postgres.url)
            yield opened
        finally:
            if opened is not None:
                opened.close()
            postgres.destroy()
