"""A message takes effect once per handler, however often and however concurrently it comes."""

import threading

from shared.events.customers import CustomerRegistered
from shared.kernel.ids import EventId
from shared.kernel.work import Work
from tests.reliability.probe import Probe, blocked, concurrently, wait_until


def test_a_redelivered_event_takes_effect_once(probe: Probe) -> None:
    @probe.agent.reacts(CustomerRegistered)
    def probe_notes(_: CustomerRegistered, work: Work) -> None:
        probe.note(work)

    event_id = EventId.new()
    assert [probe.deliver(event_id) for _ in range(3)] == [204, 204, 204]
    assert probe.notes == 1


def test_each_handler_of_an_event_takes_effect(probe: Probe) -> None:
    @probe.agent.reacts(CustomerRegistered)
    def probe_notes(_: CustomerRegistered, work: Work) -> None:
        probe.note(work)

    @probe.agent.reacts(CustomerRegistered)
    def probe_notes_too(_: CustomerRegistered, work: Work) -> None:
        probe.note(work)

    event_id = EventId.new()
    assert [probe.deliver(event_id) for _ in range(2)] == [204, 204]
    assert probe.notes == 2


def test_another_occurrence_of_the_same_fact_takes_effect_too(probe: Probe) -> None:
    @probe.agent.reacts(CustomerRegistered)
    def probe_notes(_: CustomerRegistered, work: Work) -> None:
        probe.note(work)

    probe.deliver(EventId.new())
    probe.deliver(EventId.new())
    assert probe.notes == 2


def twice_at_once(probe: Probe, first_fails: bool) -> list[int]:
    """Deliver an event, and again while the first handler is at work; how both were answered."""
    inside, go, event_id = threading.Event(), threading.Event(), EventId.new()

    @probe.agent.reacts(CustomerRegistered)
    def probe_notes(_: CustomerRegistered, work: Work) -> None:
        fails = first_fails and not inside.is_set()
        inside.set()
        assert go.wait(20)
        if fails:
            raise OSError
        probe.note(work)

    def second() -> int:
        assert inside.wait(20)
        return probe.deliver(event_id)

    def release() -> int:
        wait_until(lambda: blocked(probe.house))
        go.set()
        return 0

    return concurrently(lambda: probe.deliver(event_id), second, release)[:2]


def test_a_duplicate_waits_for_the_first_and_does_nothing(probe: Probe) -> None:
    assert twice_at_once(probe, first_fails=False) == [204, 204]
    assert probe.notes == 1


def test_a_duplicate_takes_over_when_the_first_fails(probe: Probe) -> None:
    assert twice_at_once(probe, first_fails=True) == [503, 204]
    assert probe.notes == 1


def test_a_crowd_of_duplicates_takes_effect_once(probe: Probe) -> None:
    @probe.agent.reacts(CustomerRegistered)
    def probe_notes(_: CustomerRegistered, work: Work) -> None:
        probe.note(work)

    event_id = EventId.new()
    assert concurrently(*[lambda: probe.deliver(event_id)] * 8) == [204] * 8
    assert probe.notes == 1


def test_a_failed_reaction_leaves_nothing_behind(probe: Probe) -> None:
    @probe.agent.reacts(CustomerRegistered)
    def probe_notes(_: CustomerRegistered, work: Work) -> None:
        probe.note(work)
        raise OSError

    assert probe.deliver(EventId.new()) == 503
    assert probe.notes == 0
    assert probe.house.rows("SELECT * FROM platform.inbox") == []
