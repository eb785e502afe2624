"""A process that stands still in a transaction does not keep its locks for ever."""

import time

import pytest
from sqlalchemy import text

from shared.platform.database_errors import connection_lost
from shared.platform.postgres import DatabaseSettings, make_engine
from tests.conftest import BERLIN, House

LOCK = text("SELECT 1 FROM platform.clinics WHERE id = :id FOR UPDATE")
STILL = 1.5


def test_whoever_waits_for_a_lock_of_somebody_who_stands_still_gets_it(house: House) -> None:
    url = house.cloud.env["DATABASE_URL"]
    hasty = make_engine(DatabaseSettings(database_url=url, statement_timeout_ms=int(STILL * 1000)))
    patient = make_engine(DatabaseSettings(database_url=url))
    try:
        with hasty.connect() as still, patient.connect() as waiting:
            still.execute(LOCK, {"id": BERLIN})
            assert waiting.execute(LOCK, {"id": BERLIN}).scalar() == 1
            waiting.rollback()
            time.sleep(0.1)
            with pytest.raises(Exception) as caught:  # noqa: PT011 -- pg8000 has many kinds
                still.execute(LOCK, {"id": BERLIN})
            assert connection_lost(caught.value)
            still.invalidate()
    finally:
        hasty.dispose()
        patient.dispose()
