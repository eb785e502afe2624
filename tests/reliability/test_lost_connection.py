"""A connection that is lost is told as what it is, wherever that happens: it passes."""

import pytest
from sqlalchemy import text

from shared.platform.unit_of_work import Cause, sql, transaction
from shared.runtime import parking
from tests.conftest import BERLIN, House

_LOSE = text("SELECT pg_terminate_backend(pg_backend_pid())")


def test_a_connection_lost_within_a_clinic_is_worth_another_try(house: House) -> None:
    with (
        pytest.raises(Exception) as lost,  # noqa: PT011 -- which one is the question
        transaction(None, "test", Cause("test")) as work,
        work.within(BERLIN),
    ):
        sql(work).execute(_LOSE)
    assert parking.passes(lost.value)
