"""A vendor call that outlives its lease: somebody else takes over, and the late caller yields."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.events.customers import CustomerRegistered
from shared.kernel import clock
from shared.kernel.errors import OutcomeUnknown
from shared.kernel.ids import EventId
from shared.kernel.work import Effect
from shared.platform import intents
from tests.reliability.probe import Probe


@pytest.fixture
def event_id() -> EventId:
    return EventId.new()


def overtaken(probe: Probe, event_id: EventId, late: Callable[[], str]) -> list[str]:
    """Deliver once; while its call hangs past the lease, a second delivery finishes."""
    calls: list[str] = []

    def call(_: Any, __: Any, key: str) -> str:
        calls.append(key)
        if len(calls) > 1:
            return "second"
        probe.house.move(clock.now() + intents.LEASE)
        assert probe.deliver(event_id) == 204
        return late()

    recorded: list[str] = []
    effect = Effect(
        lambda _event, _work: "request",
        call,
        lambda outcome, _event, _work: recorded.append(outcome),
    )
    probe.agent.effects("probe_calls", effect, CustomerRegistered)
    assert probe.deliver(event_id) == 503
    assert probe.deliver(event_id) == 204
    assert len(calls) == 2
    return recorded


def test_a_late_answer_is_not_recorded_again(probe: Probe, event_id: EventId) -> None:
    assert overtaken(probe, event_id, lambda: "first") == ["second"]


def test_a_late_failure_does_not_reopen_what_was_done(probe: Probe, event_id: EventId) -> None:
    def fail() -> str:
        raise OutcomeUnknown("vendor", "time-out")

    assert overtaken(probe, event_id, fail) == ["second"]
