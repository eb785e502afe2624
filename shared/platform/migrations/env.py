"""How Alembic runs here: as the owner, a transaction each, never waiting long for a lock."""

import sqlalchemy
from alembic import context

from shared.platform.migrations import MigrationSettings
from shared.platform.settings import load

_LOCK = 7_263_001
"""An advisory lock: two deployments at once migrate one after the other."""


def run() -> None:
    engine = sqlalchemy.create_engine(load(MigrationSettings).database_admin_url)
    with engine.connect() as connection:
        connection.exec_driver_sql("SET lock_timeout = '5s'")
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({_LOCK})")
        connection.commit()
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
        connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_LOCK})")
        connection.commit()
    engine.dispose()


run()
