"""One seed of `make crash`; the command lives many."""

import pytest

from shared.platform.steps import Step
from tests.reliability.crash.proof import POINTS, Verdict, prove
from tests.reliability.crash.report import replay_of

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def verdict() -> Verdict:
    """A life in which a process was killed at every point of every step."""
    return prove(1)


def test_a_process_was_killed_at_every_point(verdict: Verdict) -> None:
    assert {point.rpartition(":")[0] for point in POINTS} == set(Step)
    assert verdict.spared == []
    assert set(verdict.killed) == set(POINTS)


def test_nothing_was_lost_or_doubled(verdict: Verdict) -> None:
    again = replay_of(verdict)
    assert {promise: found for promise, found in verdict.lost.items() if found} == {}, again
    assert {promise: found for promise, found in verdict.doubled.items() if found} == {}, again


def test_every_promise_had_something_to_lose(verdict: Verdict) -> None:
    assert [promise for promise, things in verdict.compared.items() if not things] == []
