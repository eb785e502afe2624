"""A sample of the proof; `python -m tests.reliability.database_kill` is the whole."""

import pytest

from tests.reliability.database_kill.proof import prove


@pytest.mark.timeout(600)
def test_what_was_acknowledged_survives_a_killed_database() -> None:
    outcome = prove(seed=7, kills=1, customers=4, workers=3)
    assert outcome.wrong == []
    assert outcome.acknowledged
    assert (len(outcome.back), len(outcome.hosts)) == (1, 1)
