"""What can never succeed is parked, whole and replayable; what may succeed is tried again."""

import base64
import json

import pytest

from shared.events.customers import CustomerRegistered
from shared.kernel.errors import DomainError, NotFound, OutcomeUnknown, VendorUnavailable
from shared.kernel.ids import EventId
from shared.kernel.work import Work
from tests.conftest import BERLIN
from tests.reliability.probe import Probe


def declare(probe: Probe, *failures: Exception) -> None:
    """A reaction that fails in these ways, one after the other, before it leaves its note."""
    waiting = list(failures)

    @probe.agent.reacts(CustomerRegistered)
    def probe_notes(_: CustomerRegistered, work: Work) -> None:
        if waiting:
            raise waiting.pop(0)
        probe.note(work)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b'{"message": null}',
        b'{"message": {"data": "%%%"}}',
        b'{"message": {"attributes": ["ce-type"]}}',
        b'{"message": {}, "deliveryAttempt": "often"}',
    ],
)
def test_an_authentic_push_that_makes_no_sense_is_parked(probe: Probe, body: bytes) -> None:
    declare(probe)
    answer = probe.house.trigger("probe", "/events", "pubsub", body)
    (letter,) = probe.letters()
    assert (answer.status_code, letter["body"]) == (204, body)
    assert letter["reason"].startswith("Malformed: ")


@pytest.mark.parametrize(
    "changed",
    [
        {"data": b"{}"},
        {"data": b"\xff"},
        {"data": b'{"clinic_id": 1, "customer_id": 2, "version": 3}'},
        {"ce-id": "seven"},
        {"ce-time": "yesterday"},
        {"clinicid": "Berlin"},
    ],
    ids=str,
)
def test_an_event_that_does_not_fit_its_schema_is_parked(
    probe: Probe, changed: dict[str, str | bytes]
) -> None:
    declare(probe)
    values: dict[str, str | bytes] = {
        "data": probe.event.model_dump_json().encode(),
        "ce-id": str(EventId.new()),
        "ce-type": CustomerRegistered.type,
        "ce-time": "2026-01-01T00:00:00+00:00",
        "clinicid": str(BERLIN),
    }
    values |= changed
    data = values.pop("data")
    assert isinstance(data, bytes)
    answer = probe.house.push("probe", data, {name: str(v) for name, v in values.items()})
    assert (answer.status_code, probe.notes) == (204, 0)
    assert [reason.partition(":")[0] for reason in probe.parked()] == ["Malformed"]


def test_a_type_nobody_declared_is_acknowledged(probe: Probe) -> None:
    answer = probe.house.push("probe", b"{}", {"ce-type": "moon.risen", "ce-id": "1"})
    assert (answer.status_code, probe.parked()) == (204, [])


def test_a_domain_error_is_parked_at_once(probe: Probe) -> None:
    declare(probe, NotFound("gone", "It is gone."))
    assert probe.deliver(EventId.new()) == 204
    (letter,) = probe.letters()
    assert (letter["function"], letter["handler"]) == ("probe", "probe_notes")
    assert letter["reason"] == "NotFound: gone: It is gone."


def test_an_unexpected_error_is_parked_at_the_fifth_attempt(probe: Probe) -> None:
    declare(probe, *[ZeroDivisionError("a secret")] * 5)
    event_id = EventId.new()
    before = [probe.deliver(event_id, attempt) for attempt in (1, 2, 3, 4)]
    assert (before, probe.parked()) == ([500] * 4, [])
    assert probe.deliver(event_id, 5) == 204
    assert probe.parked() == ["ZeroDivisionError"]


@pytest.mark.parametrize(
    "error", [VendorUnavailable("v", "r"), OutcomeUnknown("v", "r"), OSError()], ids=repr
)
def test_what_passes_by_itself_is_never_parked(probe: Probe, error: Exception) -> None:
    declare(probe, error)
    event_id = EventId.new()
    assert probe.deliver(event_id, attempt=99) == 503
    assert probe.deliver(event_id, attempt=100) == 204
    assert (probe.parked(), probe.notes) == ([], 1)


def test_a_letter_replayed_twice_takes_effect_once(probe: Probe) -> None:
    declare(probe, DomainError("once", "Not the first time."))
    probe.deliver(EventId.new())
    (letter,) = probe.letters()
    assert [probe.replay(letter) for _ in range(2)] == [204, 204]
    assert probe.notes == 1
    assert probe.letters()[0]["replayed_at"] is not None


def test_a_replay_that_fails_again_leaves_the_letter_waiting(probe: Probe) -> None:
    declare(probe, *[DomainError("still", "Not yet.")] * 2)
    probe.deliver(EventId.new())
    probe.replay(probe.letters()[0])
    (letter,) = probe.letters()
    assert letter["replayed_at"] is None
    assert probe.replay(letter) == 204
    assert probe.notes == 1


@pytest.mark.parametrize("letter", ["0198c0de-0000-7000-8000-00000000ffff", "x", ""])
def test_a_letter_that_is_not_there_cannot_be_replayed(probe: Probe, letter: str) -> None:
    answer = probe.house.trigger("probe", f"/dead-letters/{letter}", "operator")
    assert answer.status_code == 404


def test_another_functions_letter_cannot_be_replayed(probe: Probe) -> None:
    declare(probe, DomainError("x", "x"))
    probe.deliver(EventId.new())
    (letter,) = probe.letters()
    path = f"/dead-letters/{letter['id']}"
    assert probe.house.trigger("contract_agent", path, "operator").status_code == 404


def test_a_parked_letter_holds_the_whole_push(probe: Probe) -> None:
    declare(probe, DomainError("x", "x"))
    event_id = EventId.new()
    probe.deliver(event_id)
    (letter,) = probe.letters()
    message = json.loads(letter["body"])["message"]
    assert json.loads(base64.b64decode(message["data"])) == probe.event.model_dump(mode="json")
    assert letter["attributes"]["ce-id"] == str(event_id)


def test_a_poisoned_handler_does_not_hold_up_its_neighbours(probe: Probe) -> None:
    @probe.agent.reacts(CustomerRegistered)
    def probe_fails(_: CustomerRegistered, work: Work) -> None:
        raise NotFound("gone", "It is gone.")

    declare(probe)
    assert probe.deliver(EventId.new()) == 204
    assert (probe.notes, len(probe.letters())) == (1, 1)


def test_a_task_that_names_no_timer_is_parked_and_cannot_be_replayed(probe: Probe) -> None:
    assert probe.house.trigger("probe", "/timers", "tasks", b"{}").status_code == 204
    (letter,) = probe.letters()
    assert probe.replay(letter) == 422
    assert probe.letters()[0]["replayed_at"] is None
