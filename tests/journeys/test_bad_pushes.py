"""What nobody but Google may send, sent by others or in a mess, through the real host."""

import base64
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from emulators.demo.stage import CLINIC_IDS
from tests.journeys.street import Street, street

AGENT = "contract_agent"
TRIGGERS = {"/events": "pubsub", "/timers": "tasks", "/crons/contracts_check": "scheduler"}
ATTRIBUTES = {
    "ce-id": str(uuid4()),
    "ce-type": "contract.requested",
    "ce-source": "/test",
    "ce-specversion": "1.0",
    "ce-time": "2026-01-05T09:00:00+00:00",
    "ce-subject": str(uuid4()),
    "correlationid": "test",
    "clinicid": CLINIC_IDS[0],
}
EVENT = {
    "clinic_id": CLINIC_IDS[0],
    "contract_id": ATTRIBUTES["ce-subject"],
    "customer_id": str(uuid4()),
    "version": 1,
    "starts_on": "2026-01-05",
    "ends_on": "2026-07-05",
}


class Door:
    """The agent's address, and tokens for it."""

    def __init__(self, made: Street) -> None:
        self.stage = made.stage
        self.cloud = made.stage.cloud
        self._http = httpx.Client(base_url=f"{self.cloud.url}/{AGENT}", timeout=20)

    def token(self, kind: str, audience: str = AGENT) -> str:
        """What Google's `kind` of sender shows to a function."""
        return self.cloud.service_token(audience, kind)

    def knock(self, path: str, body: bytes, token: str | None) -> int:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return self._http.post(path, content=body, headers=headers).status_code

    def parked(self) -> list[dict[str, Any]]:
        return self.stage.rows("SELECT function, path, reason, body FROM platform.dead_letters")

    def forget(self) -> None:
        self.stage.rows("DELETE FROM platform.dead_letters")

    def close(self) -> None:
        self._http.close()


@pytest.fixture(scope="module")
def open_door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with street(tmp_path_factory.mktemp("door")) as made:
        made.open()
        found = Door(made)
        yield found
        found.close()


@pytest.fixture
def door(open_door: Door) -> Door:
    """The agent with nothing parked."""
    open_door.forget()
    return open_door


def push(data: object = None, attributes: dict[str, str] | None = None, **more: object) -> bytes:
    """A message as Pub/Sub pushes it."""
    message = {
        "data": base64.b64encode(json.dumps(EVENT if data is None else data).encode()).decode(),
        "attributes": ATTRIBUTES if attributes is None else attributes,
    }
    return json.dumps({"message": message, "deliveryAttempt": 1} | more).encode()


@pytest.mark.parametrize("path", TRIGGERS)
@pytest.mark.parametrize(
    "who", ["nobody", "garbage", "another sender", "another function", "a person"]
)
def test_without_googles_own_token_nobody_enters(door: Door, path: str, who: str) -> None:
    kind = TRIGGERS[path]
    wrong = "tasks" if kind == "pubsub" else "pubsub"
    token = {
        "nobody": None,
        "garbage": "a.b.c",
        "another sender": door.token(wrong),
        "another function": door.token(kind, "billing_agent"),
        "a person": door.cloud.cloud.ground.tokens.sign({"sub": "ada", "aud": "clinicloop"}),
    }[who]
    assert door.knock(path, push(), token) in (401, 403)
    assert door.parked() == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"garbage",
        b"\xff\xfe\x00",
        b"[]",
        b"{}",
        b'{"message": 7}',
        b'{"message": {"data": "not base64!", "attributes": {}}}',
        push(attributes={}),
        push(attributes=ATTRIBUTES | {"ce-id": "not-an-id"}),
        push(attributes=ATTRIBUTES | {"clinicid": "not-a-clinic"}),
        push(attributes=ATTRIBUTES | {"ce-time": "yesterday"}),
        push(data="text"),
        push(data=EVENT | {"starts_on": "2026-02-30"}),
        push(data=EVENT | {"name": "Ada"}),
        push(data={name: value for name, value in EVENT.items() if name != "version"}),
        push(),  # well-formed, about a contract that nobody has
    ],
    ids=range(16),
)
def test_an_authentic_mess_of_an_event_is_parked_whole(door: Door, body: bytes) -> None:
    assert door.knock("/events", body, door.token("pubsub")) == 204
    (letter,) = door.parked()
    assert (letter["function"], letter["path"]) == (AGENT, "/events")
    assert letter["body"] == body
    assert "Ada" not in letter["reason"]


def test_an_event_of_a_type_nobody_handles_is_taken_and_left(door: Door) -> None:
    body = push(attributes=ATTRIBUTES | {"ce-type": "contract.framed"})
    assert door.knock("/events", body, door.token("pubsub")) == 204
    assert door.parked() == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"garbage",
        b"[]",
        b"{}",
        b'{"timer_id": "x", "version": 1}',
        json.dumps({"timer_id": str(uuid4()), "version": "first"}).encode(),
    ],
    ids=range(6),
)
def test_an_authentic_mess_of_a_task_is_parked_whole(door: Door, body: bytes) -> None:
    assert door.knock("/timers", body, door.token("tasks")) == 204
    (letter,) = door.parked()
    assert (letter["path"], letter["body"]) == ("/timers", body)


def test_a_task_of_a_timer_nobody_set_does_nothing(door: Door) -> None:
    body = json.dumps({"timer_id": str(uuid4()), "version": 1}).encode()
    assert door.knock("/timers", body, door.token("tasks")) == 204
    assert door.parked() == []


@pytest.mark.parametrize(
    "path", ["/", "/elsewhere", "/crons/no_such_cron", "/parked", "/events/x/y"]
)
def test_there_are_no_other_triggers(door: Door, path: str) -> None:
    status = door.knock(path, b"{}", door.token("scheduler"))
    assert status in (401, 404)
