"""What a migration says to fence a table it made: row-level security, policy and grants."""

import re

from alembic import op

from shared.platform.migrations import application_password
from shared.platform.schema import APPLICATION_ROLE, ROWS

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
"""Passwords that need no quoting, as `secrets.token_urlsafe` makes them."""


def application_role() -> None:
    """Make the role the application logs in as: it owns nothing and bypasses nothing."""
    password = application_password()
    how = "LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOINHERIT"
    secret = f"PASSWORD '{password}'" if password and _PLAIN.fullmatch(password) else ""
    op.execute(
        f"DO $$ BEGIN CREATE ROLE {APPLICATION_ROLE} {how} {secret}; "
        "EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    )


def fence(table: str, owner: str) -> None:
    """Fence `table` (`schema.name`): who owns its rows, see `platform.schema.ROWS`."""
    mine = ROWS[owner]
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY {owner}_rows ON {table} TO {APPLICATION_ROLE} "
        f"USING ({mine}) WITH CHECK ({mine})"
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {APPLICATION_ROLE}")


def schema(name: str) -> None:
    """Make a schema the application may use."""
    op.execute(f"CREATE SCHEMA {name}")
    op.execute(f"GRANT USAGE ON SCHEMA {name} TO {APPLICATION_ROLE}")
