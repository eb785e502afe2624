"""A sample of the outages; `python -m tests.reliability.outages` plays them all."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reliability.outages.outage import suffer
from tests.reliability.outages.town import Town, town

pytestmark = pytest.mark.timeout(240)
CALLS = 100


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder: Path = tmp_path_factory.mktemp("outages")
    with town(folder, seed=7, customers=12) as made:
        yield made


@pytest.mark.parametrize("target", ["zendesk", "pubsub", "firestore"])
def test_ten_minutes_without_it_fail_no_write_and_are_made_up_for(place: Town, target: str) -> None:
    outcome = suffer(place, target, CALLS)
    assert (outcome.failed, outcome.disorder, outcome.doubled, outcome.lost) == ([], [], [], [])
    assert outcome.kept, f"{outcome.writes} writes, {outcome.backlog} behind, {outcome.drained} s"
