"""A timer acts once, when it is due, as it was last set; every other wake-up does nothing."""

from datetime import timedelta

import pytest

from shared.kernel import clock
from shared.kernel.errors import RuleViolated
from shared.kernel.work import Timer, Work
from shared.platform.unit_of_work import Cause, transaction
from tests.conftest import BERLIN
from tests.reliability.probe import Probe, concurrently

KIND = "probe.due"


@pytest.fixture
def handled(probe: Probe) -> list[Timer]:
    """The timers that took effect."""
    seen: list[Timer] = []

    @probe.agent.timer(KIND)
    def probe_wakes(timer: Timer, work: Work) -> None:
        seen.append(timer)
        probe.note(work)

    return seen


def test_a_due_timer_acts_in_its_clinic(probe: Probe, handled: list[Timer]) -> None:
    assert probe.fire(probe.schedule(KIND)) == 204
    assert [(timer.kind, timer.subject) for timer in handled] == [(KIND, probe.customer)]
    assert probe.house.rows("SELECT clinic_id FROM platform.timers WHERE kind = 'probe.noted'") == [
        {"clinic_id": BERLIN}
    ]


def test_a_second_wake_up_does_nothing(probe: Probe, handled: list[Timer]) -> None:
    timer = probe.schedule(KIND)
    assert [probe.fire(timer) for _ in range(2)] == [204, 204]
    assert len(handled) == 1


def test_wake_ups_at_the_same_moment_act_once(probe: Probe, handled: list[Timer]) -> None:
    timer = probe.schedule(KIND)
    assert concurrently(*[lambda: probe.fire(timer)] * 6) == [204] * 6
    assert probe.notes == 1


def test_a_wake_up_that_comes_early_does_nothing(probe: Probe, handled: list[Timer]) -> None:
    timer = probe.schedule(KIND, minutes=5)
    assert probe.fire(timer) == 204
    assert handled == []
    probe.house.move(clock.now() + timedelta(minutes=5))
    assert probe.fire(timer) == 204
    assert len(handled) == 1


def test_the_task_of_a_moved_timer_does_nothing(probe: Probe, handled: list[Timer]) -> None:
    stale = probe.schedule(KIND)
    moved = probe.schedule(KIND, minutes=5)
    probe.house.move(clock.now() + timedelta(minutes=5))
    assert probe.fire(stale) == 204
    assert handled == []
    assert probe.fire(moved) == 204
    assert len(handled) == 1


def test_the_task_of_a_cancelled_timer_does_nothing(probe: Probe, handled: list[Timer]) -> None:
    timer = probe.schedule(KIND)
    with transaction(BERLIN, "test", Cause("test")) as work:
        work.cancel(KIND, probe.customer)
    assert probe.fire(timer) == 204
    assert probe.fire(probe.house.timer(KIND, probe.customer)) == 204
    assert handled == []


def test_a_cancelled_timer_can_be_set_again(probe: Probe, handled: list[Timer]) -> None:
    probe.schedule(KIND)
    with transaction(BERLIN, "test", Cause("test")) as work:
        work.cancel(KIND, probe.customer)
    assert probe.fire(probe.schedule(KIND)) == 204
    assert len(handled) == 1


def test_a_timer_that_fails_fires_again(probe: Probe) -> None:
    failures = [OSError()]

    @probe.agent.timer(KIND)
    def probe_wakes(_: Timer, work: Work) -> None:
        probe.note(work)
        if failures:
            raise failures.pop()

    timer = probe.schedule(KIND)
    assert [probe.fire(timer) for _ in range(3)] == [503, 204, 204]
    assert probe.notes == 1


def test_a_handler_may_set_its_own_timer_anew(probe: Probe) -> None:
    @probe.agent.timer(KIND)
    def probe_wakes(timer: Timer, work: Work) -> None:
        work.schedule(KIND, probe.customer, work.now + timedelta(days=1))

    first = probe.schedule(KIND)
    assert [probe.fire(first) for _ in range(2)] == [204, 204]
    timer = probe.house.timer(KIND, probe.customer)
    assert (timer["state"], timer["version"]) == ("scheduled", 2)


def test_a_rule_that_forbids_parks_the_wake_up(probe: Probe) -> None:
    @probe.agent.timer(KIND)
    def probe_wakes(_: Timer, work: Work) -> None:
        raise RuleViolated("not-now", "It is not allowed.")

    assert probe.fire(probe.schedule(KIND)) == 204
    assert probe.parked() == ["RuleViolated: not-now: It is not allowed."]
    assert probe.house.timer(KIND, probe.customer)["state"] == "parked"


def test_a_wake_up_that_names_no_timer_is_parked(probe: Probe, handled: list[Timer]) -> None:
    answer = probe.house.trigger("probe", "/timers", "tasks", b'{"timer": 1}')
    assert answer.status_code == 204
    assert probe.parked() == ["Malformed: the body does not name a timer"]
