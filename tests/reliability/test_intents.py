"""A vendor is told once per intent; where the outcome is unknown it is asked first."""

from typing import Any

import pytest

from shared.events.customers import CustomerRegistered
from shared.kernel import clock
from shared.kernel.errors import OutcomeUnknown, RuleViolated, VendorRefused, VendorUnavailable
from shared.kernel.ids import EventId
from shared.kernel.work import Effect, Work
from shared.platform.intents import LEASE
from tests.reliability.probe import Killed, Probe, Vendor

AWAY = VendorUnavailable("vendor", "503")
SILENT = OutcomeUnknown("vendor", "no answer")
NO = VendorRefused("vendor", "no such person")


def declare(probe: Probe, **parts: Any) -> None:
    """An effect that leaves a note when it has an outcome; `parts` replace its steps."""

    def prepare(event: CustomerRegistered, work: Work) -> str:
        return "request"

    def call(request: str, vendor: Vendor, key: str) -> Any:
        return vendor.call(key)

    def record(outcome: str, event: CustomerRegistered, work: Work) -> None:
        assert outcome == "taken"
        probe.note(work)

    def find(request: str, vendor: Vendor, _: Any) -> Any:
        return vendor.find()

    steps: dict[str, Any] = {"prepare": prepare, "call": call, "record": record, "find": find}
    effect: Effect[str, str] = Effect(**(steps | parts))
    probe.agent.effects("probe_tells", effect, CustomerRegistered)


def lease_runs_out(probe: Probe) -> None:
    probe.house.move(clock.now() + LEASE)


@pytest.fixture
def vendor(probe: Probe) -> Vendor:
    return probe.vendor


def test_a_redelivered_event_is_told_once(probe: Probe, vendor: Vendor) -> None:
    declare(probe)
    event_id = EventId.new()
    assert [probe.deliver(event_id) for _ in range(3)] == [204] * 3
    assert (vendor.asked, probe.notes, probe.intent()) == (["call"], 1, "done")


def test_the_key_is_made_of_event_and_handler(probe: Probe, vendor: Vendor) -> None:
    declare(probe)
    event_id = EventId.new()
    probe.deliver(event_id)
    assert vendor.keys == {f"{event_id}:probe_tells"}


def test_where_there_is_nothing_to_tell_nobody_is_called(probe: Probe, vendor: Vendor) -> None:
    def prepare(event: CustomerRegistered, work: Work) -> None:
        """There is nothing."""

    declare(probe, prepare=prepare)
    assert probe.deliver(EventId.new()) == 204
    assert (vendor.asked, probe.intent()) == ([], "done")


def test_a_vendor_that_is_away_is_called_again(probe: Probe, vendor: Vendor) -> None:
    declare(probe)
    vendor.answers = [AWAY]
    event_id = EventId.new()
    assert [probe.deliver(event_id) for _ in range(2)] == [503, 204]
    assert (vendor.asked, probe.notes) == (["call", "call"], 1)
    assert len(vendor.keys) == 1


def test_an_unknown_outcome_is_looked_up_before_anything_is_repeated(
    probe: Probe, vendor: Vendor
) -> None:
    declare(probe)
    vendor.answers, vendor.found = [SILENT], ["taken"]
    event_id = EventId.new()
    assert probe.deliver(event_id) == 503
    assert probe.intent() == "unknown"
    assert probe.deliver(event_id) == 204
    assert (vendor.asked, probe.notes, probe.intent()) == (["call", "find"], 1, "done")


def test_what_surely_did_not_happen_is_called_again(probe: Probe, vendor: Vendor) -> None:
    declare(probe)
    vendor.answers, vendor.found = [SILENT], [None]
    event_id = EventId.new()
    assert [probe.deliver(event_id) for _ in range(2)] == [503, 204]
    assert (vendor.asked, probe.notes) == (["call", "find", "call"], 1)
    assert len(vendor.keys) == 1


def test_a_look_up_that_fails_leaves_the_outcome_unknown(probe: Probe, vendor: Vendor) -> None:
    declare(probe)
    vendor.answers, vendor.found = [SILENT], [AWAY, "taken"]
    event_id = EventId.new()
    assert [probe.deliver(event_id) for _ in range(3)] == [503, 503, 204]
    assert (vendor.asked, probe.notes) == (["call", "find", "find"], 1)


def test_without_a_look_up_the_same_key_is_used_again(probe: Probe, vendor: Vendor) -> None:
    declare(probe, find=None)
    vendor.answers = [SILENT]
    event_id = EventId.new()
    assert [probe.deliver(event_id) for _ in range(2)] == [503, 204]
    assert (vendor.asked, probe.notes) == (["call", "call"], 1)
    assert len(vendor.keys) == 1


def test_a_process_killed_while_calling_is_looked_up(probe: Probe, vendor: Vendor) -> None:
    declare(probe)
    vendor.answers, vendor.found = [Killed()], ["taken"]
    event_id = EventId.new()
    with pytest.raises(Killed):
        probe.deliver(event_id)
    lease_runs_out(probe)
    assert probe.deliver(event_id) == 204
    assert (vendor.asked, probe.notes, probe.intent()) == (["call", "find"], 1, "done")


def test_a_process_killed_before_recording_is_looked_up(probe: Probe, vendor: Vendor) -> None:
    deaths = [Killed()]

    def record(outcome: str, event: CustomerRegistered, work: Work) -> None:
        probe.note(work)
        if deaths:
            raise deaths.pop()

    declare(probe, record=record)
    vendor.found = ["taken"]
    event_id = EventId.new()
    with pytest.raises(Killed):
        probe.deliver(event_id)
    assert probe.notes == 0
    lease_runs_out(probe)
    assert probe.deliver(event_id) == 204
    assert (vendor.asked, probe.notes) == (["call", "find"], 1)


def test_a_process_killed_before_calling_calls_after_looking(probe: Probe, vendor: Vendor) -> None:
    deaths = [Killed()]

    def prepare(event: CustomerRegistered, work: Work) -> str:
        if deaths:
            raise deaths.pop()
        return "request"

    declare(probe, prepare=prepare)
    event_id = EventId.new()
    with pytest.raises(Killed):
        probe.deliver(event_id)
    assert probe.deliver(event_id) == 204
    assert (vendor.asked, probe.notes) == (["call"], 1)


def test_while_a_lost_call_is_leased_nobody_calls(probe: Probe, vendor: Vendor) -> None:
    declare(probe)
    vendor.answers = [Killed()]
    event_id = EventId.new()
    with pytest.raises(Killed):
        probe.deliver(event_id)
    assert probe.deliver(event_id) == 503
    assert vendor.asked == ["call"]


def test_a_second_delivery_during_a_call_comes_again(probe: Probe, vendor: Vendor) -> None:
    declare(probe)
    event_id = EventId.new()
    during: list[int] = []
    vendor.during = lambda: during.append(probe.deliver(event_id))
    assert probe.deliver(event_id) == 204
    assert (during, vendor.asked, probe.notes) == ([503], ["call"], 1)
    assert probe.deliver(event_id) == 204
    assert (vendor.asked, probe.parked()) == (["call"], [])


def test_a_refusal_nobody_hears_is_parked(probe: Probe, vendor: Vendor) -> None:
    declare(probe)
    vendor.answers = [NO]
    assert probe.deliver(EventId.new()) == 204
    assert probe.parked() == ["VendorRefused: vendor: no such person"]
    assert probe.notes == 0


def test_a_parked_refusal_is_called_anew_when_replayed(probe: Probe, vendor: Vendor) -> None:
    declare(probe)
    vendor.answers = [NO]
    probe.deliver(EventId.new())
    assert probe.replay(probe.letters()[0]) == 204
    assert (vendor.asked, probe.notes, probe.intent()) == (["call", "call"], 1, "done")


def test_a_refusal_somebody_hears_closes_the_intent(probe: Probe, vendor: Vendor) -> None:
    heard: list[str] = []

    def refuse(reason: str, event: CustomerRegistered, work: Work) -> None:
        heard.append(reason)
        probe.note(work)

    declare(probe, refuse=refuse)
    vendor.answers = [NO]
    event_id = EventId.new()
    assert [probe.deliver(event_id) for _ in range(2)] == [204, 204]
    assert (heard, vendor.asked, probe.notes) == (["no such person"], ["call"], 1)
    assert (probe.intent(), probe.parked()) == ("refused", [])


def test_a_rule_that_forbids_telling_parks_the_event(probe: Probe, vendor: Vendor) -> None:
    def prepare(event: CustomerRegistered, work: Work) -> str:
        raise RuleViolated("not-now", "It is not allowed.")

    declare(probe, prepare=prepare)
    assert probe.deliver(EventId.new()) == 204
    assert (vendor.asked, probe.parked()) == ([], ["RuleViolated: not-now: It is not allowed."])


def test_an_unexpected_error_of_a_client_makes_the_outcome_unknown(
    probe: Probe, vendor: Vendor
) -> None:
    declare(probe)
    vendor.answers, vendor.found = [KeyError("id")], ["taken"]
    event_id = EventId.new()
    assert [probe.deliver(event_id) for _ in range(2)] == [500, 204]
    assert (vendor.asked, probe.notes) == (["call", "find"], 1)
