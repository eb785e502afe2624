"""An operator sees what is parked, replays one or many, and is told what came of it."""

import base64
import json
from typing import Any
from uuid import UUID

import pytest
from werkzeug.test import TestResponse

from shared.events.customers import CustomerRegistered
from shared.kernel.errors import DomainError, NotFound
from shared.kernel.ids import EventId
from shared.kernel.work import Timer, Work
from tests.conftest import House
from tests.reliability.probe import Probe, concurrently

NOBODYS = "0198c0de-0000-7000-8000-00000000ffff"


class Cause:
    """What is wrong: the handlers fail by it until it is mended."""

    def __init__(self, probe: Probe, *names: str) -> None:
        self.error: Exception | None = NotFound("gone", "It is gone.")
        for name in names or ("probe_notes",):
            self._declare(probe, name)

    def _declare(self, probe: Probe, name: str) -> None:
        def handle(_: CustomerRegistered, work: Work) -> None:
            if self.error is not None:
                raise self.error
            probe.note(work)

        handle.__name__ = name
        probe.agent.reacts(CustomerRegistered)(handle)

    def mend(self) -> None:
        self.error = None


def ask(probe: Probe, method: str, path: str = "", **query: str | int) -> TestResponse:
    """What the operator asks of `probe`'s dead letters."""
    token = {"Authorization": f"Bearer {probe.house.cloud.service_token('probe', 'operator')}"}
    client = probe.house.client("probe")
    return client.open(f"/dead-letters{path}", method=method, query_string=query, headers=token)


def waiting(probe: Probe) -> list[dict[str, Any]]:
    return [letter for letter in probe.letters() if letter["replayed_at"] is None]


def given_up(house: House, probe: Probe) -> None:
    """Pub/Sub forwards a message that `probe` never acknowledged."""
    attributes = {
        "ce-id": str(EventId.new()),
        "ce-type": CustomerRegistered.type,
        "ce-time": "2026-01-01T00:00:00+00:00",
        "clinicid": str(probe.event.clinic_id),
        "CloudPubSubDeadLetterSourceSubscription": "probe--customer-events",
    }
    data = base64.b64encode(probe.event.model_dump_json().encode()).decode()
    body = json.dumps({"message": {"data": data, "attributes": attributes}}).encode()
    assert house.trigger("outbox_relay", "/parked", "pubsub", body).status_code == 204


def test_a_replay_of_what_still_fails_says_why(probe: Probe) -> None:
    Cause(probe)
    probe.deliver(EventId.new())
    (letter,) = probe.letters()
    answer = ask(probe, "POST", f"/{letter['id']}")
    assert (answer.status_code, answer.content_type) == (422, "application/problem+json")
    assert answer.json is not None
    assert answer.json["detail"] == "It still fails: NotFound: gone: It is gone."
    assert answer.json["letters"] == [str(letter["id"])]
    assert waiting(probe) != []


def test_an_unexpected_failure_of_a_replay_is_named_at_once(probe: Probe) -> None:
    cause = Cause(probe)
    probe.deliver(EventId.new())
    cause.error = ZeroDivisionError("a secret")
    answer = ask(probe, "POST", f"/{probe.letters()[0]['id']}")
    assert (answer.status_code, probe.parked()) == (422, ["ZeroDivisionError"])
    assert "a secret" not in answer.text


def test_what_passes_by_itself_leaves_the_letter_as_it_was(probe: Probe) -> None:
    cause = Cause(probe)
    probe.deliver(EventId.new())
    before = probe.letters()
    cause.error = OSError()
    assert ask(probe, "POST", f"/{before[0]['id']}").status_code == 503
    assert probe.letters() == before


def test_replays_at_once_take_effect_once(probe: Probe) -> None:
    cause = Cause(probe)
    probe.deliver(EventId.new())
    (letter,) = probe.letters()
    cause.mend()
    answers = concurrently(*[lambda: probe.replay(letter)] * 4)
    assert (answers, probe.notes, waiting(probe)) == ([204] * 4, 1, [])


def test_a_letter_whose_handler_is_gone_is_not_taken_for_done(probe: Probe) -> None:
    Cause(probe)
    probe.deliver(EventId.new())
    probe.house.rows("UPDATE platform.dead_letters SET handler = 'probe_noted_formerly'")
    answer = ask(probe, "POST", f"/{probe.letters()[0]['id']}")
    assert (answer.status_code, len(waiting(probe))) == (422, 1)


def test_a_timers_letter_that_still_fails_says_why(probe: Probe) -> None:
    @probe.agent.timer("probe.rings")
    def probe_rings(_: Timer, work: Work) -> None:
        raise NotFound("gone", "It is gone.")

    probe.fire(probe.schedule("probe.rings"))
    (letter,) = probe.letters()
    answer = ask(probe, "POST", f"/{letter['id']}")
    assert (answer.status_code, len(waiting(probe))) == (422, 1)
    assert "It is gone." in answer.text


def test_what_pubsub_gave_up_on_reaches_all_handlers_of_its_function(
    house: House, probe: Probe
) -> None:
    Cause(probe, "probe_notes", "probe_notes_too").mend()
    given_up(house, probe)
    (letter,) = probe.letters()
    assert (letter["function"], letter["handler"]) == ("probe", "")
    assert [probe.replay(letter), probe.replay(letter)] == [204, 204]
    assert (probe.notes, waiting(probe)) == (2, [])


def test_of_a_whole_push_only_what_fails_goes_on_waiting(house: House, probe: Probe) -> None:
    Cause(probe, "probe_fails")
    Cause(probe, "probe_notes").mend()
    given_up(house, probe)
    (whole,) = probe.letters()
    assert probe.replay(whole) == 422
    assert [letter["handler"] for letter in waiting(probe)] == ["probe_fails"]
    assert probe.notes == 1


def test_an_attribute_that_postgres_cannot_hold_is_parked(probe: Probe) -> None:
    Cause(probe).mend()
    attributes = {"ce-type": CustomerRegistered.type, "ce-id": "\0", "note": "a\0b"}
    assert probe.house.push("probe", b"{}", attributes).status_code == 204
    (letter,) = probe.letters()
    assert letter["attributes"]["note"] == "a\N{REPLACEMENT CHARACTER}b"
    assert json.loads(letter["body"])["message"]["attributes"] == attributes


def test_the_largest_message_that_pubsub_takes_is_parked_whole(probe: Probe) -> None:
    Cause(probe)
    data = base64.b64encode(b"x" * 10_000_000).decode()
    message = {"data": data, "attributes": {"ce-type": CustomerRegistered.type}}
    body = json.dumps({"message": message, "subscription": "s", "deliveryAttempt": 1}).encode()
    assert probe.house.trigger("probe", "/events", "pubsub", body).status_code == 204
    assert [letter["body"] == body for letter in probe.letters()] == [True]


def test_messages_without_sense_are_kept_apart(probe: Probe) -> None:
    Cause(probe)
    for number in ("1", "2", "2"):
        attributes = {"ce-type": CustomerRegistered.type, "ce-id": "the same"}
        body = {"message": {"messageId": number, "attributes": attributes, "data": ""}}
        probe.house.trigger("probe", "/events", "pubsub", json.dumps(body).encode())
    assert sorted(json.loads(one["body"])["message"]["messageId"] for one in probe.letters()) == [
        "1",
        "2",
    ]


def test_what_waits_is_listed_without_its_body(probe: Probe) -> None:
    Cause(probe)
    probe.deliver(EventId.new())
    answer = ask(probe, "GET")
    assert answer.json is not None
    (listed,) = answer.json["letters"]
    (letter,) = probe.letters()
    assert listed == {
        "id": str(letter["id"]),
        "handler": "probe_notes",
        "path": "/events",
        "type": CustomerRegistered.type,
        "reason": "NotFound: gone: It is gone.",
        "created_at": letter["created_at"].isoformat(),
    }


def test_lists_are_narrowed_down(probe: Probe) -> None:
    cause = Cause(probe, "probe_notes", "probe_notes_too")
    probe.deliver(EventId.new())
    cause.error = DomainError("closed", "It is closed.")
    probe.deliver(EventId.new())

    def listed(**query: str) -> int:
        answer = ask(probe, "GET", **query)
        assert answer.json is not None
        return len(answer.json["letters"])

    assert (listed(), listed(handler="probe_notes"), listed(handler="probe")) == (4, 2, 0)
    assert (listed(reason="NotFound: gone"), listed(reason="gone")) == (2, 0)
    assert listed(handler="probe_notes_too", reason="DomainError") == 1


def test_lists_are_paged(probe: Probe) -> None:
    Cause(probe)
    for _ in range(3):
        probe.deliver(EventId.new())
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    for _ in range(2):
        answer = ask(probe, "GET", **query)
        assert answer.json is not None
        seen += [letter["id"] for letter in answer.json["letters"]]
        query["after"] = answer.json["next"]
    assert sorted(map(UUID, seen)) == sorted(letter["id"] for letter in probe.letters())
    assert query["after"] is None


def test_a_batch_is_gone_on_with_and_passes_what_still_fails(probe: Probe) -> None:
    cause = Cause(probe, "probe_notes", "probe_notes_too")
    for _ in range(5):
        probe.deliver(EventId.new())
    cause.mend()
    probe.agent.handlers.pop("probe_notes_too")
    replayed = failed = 0
    query: dict[str, Any] = {"limit": 3}
    for _ in range(4):
        answer = ask(probe, "POST", "/replay", **query)
        assert answer.json is not None
        replayed += answer.json["replayed"]
        failed += len(answer.json["failed"])
        query["after"] = answer.json["next"]
    assert (replayed, failed, probe.notes, len(waiting(probe))) == (5, 5, 5, 5)
    assert query["after"] is None


def test_a_batch_leaves_what_was_not_asked_for(probe: Probe) -> None:
    cause = Cause(probe, "probe_notes", "probe_notes_too")
    probe.deliver(EventId.new())
    cause.mend()
    answer = ask(probe, "POST", "/replay", handler="probe_notes")
    assert answer.json == {"replayed": 1, "failed": [], "next": None}
    assert [letter["handler"] for letter in waiting(probe)] == ["probe_notes_too"]


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 501}, {"after": "x"}, {"handler_name": "x"}], ids=str
)
def test_a_list_that_makes_no_sense_is_refused(probe: Probe, query: dict[str, Any]) -> None:
    assert ask(probe, "GET", **query).status_code == 400
    assert ask(probe, "POST", "/replay", **query).status_code == 400


@pytest.mark.parametrize(
    ("method", "path"), [("POST", ""), ("POST", "/"), ("GET", "/replay"), ("GET", f"/{NOBODYS}")]
)
def test_there_is_nothing_else_to_ask(probe: Probe, method: str, path: str) -> None:
    assert ask(probe, method, path).status_code == 404


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/replay")])
@pytest.mark.parametrize("kind", ["pubsub", "tasks", "scheduler"])
def test_only_the_operator_may_look_or_replay(
    probe: Probe, method: str, path: str, kind: str
) -> None:
    token = {"Authorization": f"Bearer {probe.house.cloud.service_token('probe', kind)}"}
    client = probe.house.client("probe")
    assert client.open(f"/dead-letters{path}", method=method, headers=token).status_code == 401
