"""A sample of the proof; `python -m tests.reliability.schema_change` is the whole."""

import pytest

from tests.reliability.schema_change.newer import Code
from tests.reliability.schema_change.proof import prove


@pytest.mark.timeout(600)
def test_nobody_notices_a_column_being_replaced() -> None:
    outcome = prove(seed=7, customers=4, seconds=1, workers=3)
    assert ([str(sent) for sent in outcome.errors], outcome.wrong) == ([], [])
    assert outcome.served.keys() == set(Code)
    assert list(outcome.migrated) == ["9001", "9002", "9003", "9004", "9005"]
