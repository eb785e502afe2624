"""Draft a migration: `python -m shared.platform.migrations.draft contracts "Store contracts"`.

Compares the declared tables of one schema with the database DATABASE_ADMIN_URL names, and writes a
revision to be read and edited.
"""

import importlib
import importlib.util
import pkgutil
import re
import sys
from pathlib import Path
from typing import Any

import sqlalchemy
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData

from shared.platform import schema
from shared.platform.migrations import FOLDER, MigrationSettings, config
from shared.platform.settings import load

_TEMPLATE = '''"""{message}."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from shared.platform.migrations import fences

revision = "{revision}"
down_revision = {down!r}


def upgrade() -> None:
    {body}
'''


def declared() -> MetaData:
    """All declared tables, of the platform and of every context."""
    importlib.import_module("shared.platform.tables")
    domains = importlib.import_module("shared.domains")
    for context in pkgutil.iter_modules(domains.__path__):
        name = f"shared.domains.{context.name}.tables"
        if importlib.util.find_spec(name):
            importlib.import_module(name)
    return schema.metadata


def differences(connection: sqlalchemy.Connection, only: str | None = None) -> Any:
    """Alembic's upgrade operations from the database to the declarations (of one schema)."""

    schemas = {only} if only else {table.schema for table in declared().tables.values()}

    def named(name: str | None, kind: str, _: Any) -> bool:
        return kind != "schema" or name in schemas

    def included(item: Any, _name: Any, kind: str, _reflected: Any, _other: Any) -> bool:
        return kind != "table" or item.schema in schemas

    options = {
        "include_schemas": True,
        "include_name": named,
        "include_object": included,
        "compare_type": _compared,
    }
    context = MigrationContext.configure(connection, opts=options)
    return produce_migrations(context, declared()).upgrade_ops


def _compared(_context: Any, _inspected: Any, _column: Any, found: Any, wanted: Any) -> Any:
    """Typed ids are plain uuids to Postgres; everything else is compared as Alembic does."""
    typed = isinstance(wanted, schema.IdType) and isinstance(found, sqlalchemy.Uuid)
    return False if typed else None


def _body(operations: Any) -> str:
    """The operations as code, ids as plain uuids, without Alembic's remarks."""
    code = render_python_code(operations)
    code = re.sub(r"sa\.Uuid\(<class [^>]*>\)|\S*IdType\([^)]*\)", "sa.Uuid()", code)
    code = re.sub(r",?\s*info=\{[^}]*\}", "", code).replace("astext_type=Text()", "")
    return "\n    ".join(line.strip() for line in code.splitlines() if "# ###" not in line)


def main(name: str, message: str) -> None:
    engine = sqlalchemy.create_engine(load(MigrationSettings).database_admin_url)
    with engine.connect() as connection:
        operations = differences(connection, name)
    tables = sorted({t.fullname: t for t in declared().tables.values() if t.schema == name}.items())
    made = {f"{part.schema}.{part.table_name}" for part in operations.ops if _creates(part)}
    fences = [f'fences.fence("{n}", "{t.info["owner"]}")' for n, t in tables if n in made]
    before = [f'fences.schema("{name}")'] if len(made) == len(tables) else []
    revision, down, file = _place(name)
    lines = "\n    ".join([*before, _body(operations), *fences])
    text = _TEMPLATE.format(message=message, revision=revision, down=down, body=lines)
    file.write_text(text)
    sys.stdout.write(f"{file.name}\n")


def _place(name: str) -> tuple[str, str | None, Path]:
    """Revision, predecessor and file: the newest file of this name when it is a mere draft."""
    scripts = ScriptDirectory.from_config(config())
    drafts = sorted((FOLDER / "versions").glob(f"*_{name}.py"))
    if drafts and "create_table" not in drafts[-1].read_text():
        script = scripts.get_revision(drafts[-1].name.partition("_")[0])
        return script.revision, script.down_revision, drafts[-1]  # type: ignore[return-value]
    head = scripts.get_current_head()
    revision = f"{int(head or 0) + 1:04}"
    return revision, head, FOLDER / "versions" / f"{revision}_{name}.py"


def _creates(operation: Any) -> bool:
    return type(operation).__name__ == "CreateTableOp"


if __name__ == "__main__":
    main(*sys.argv[1:])
