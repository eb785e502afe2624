"""The fake Iterable by its documented JSON."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from emulators.faults import Fault, FaultKind
from emulators.vendors.iterable import Iterable
from tests.emulators.conftest import Loop

ANN = {"userId": "c-1", "email": "ann@example.org"}


class Client:
    def __init__(self, engine: Iterable, port: int) -> None:
        self.engine = engine
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{port}/api", headers={"Api-Key": "local-iterable-key"}
        )

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.http.post(path, json=body)

    def sent(self, kind: str) -> list[dict[str, Any]]:
        return [sent for sent in self.engine.describe()["inbox"] if sent["kind"] == kind]


@pytest.fixture
def client(start_engine: Callable[..., tuple[Iterable, int]]) -> Iterator[Client]:
    client = Client(*start_engine(Iterable))
    yield client
    client.http.close()


def test_user_is_made_then_updated(client: Client) -> None:
    made = client.post("/users/update", **ANN, dataFields={"plan": "six-months", "lives": 1})
    assert made.json() == {"msg": "", "code": "Success", "params": None}
    client.post("/users/update", userId="c-1", dataFields={"lives": 2})
    user = client.http.get("/users/byUserId/c-1").json()["user"]
    assert user["email"] == "ann@example.org"
    assert (user["dataFields"]["plan"], user["dataFields"]["lives"]) == ("six-months", 2)


def test_unknown_user_is_an_empty_answer(client: Client) -> None:
    answer = client.http.get("/users/byUserId/nobody")
    assert (answer.status_code, answer.json()) == (200, {})


def test_user_id_adopts_the_profile_of_its_address(client: Client) -> None:
    client.post("/users/update", email="ANN@example.org", dataFields={"plan": "x"})
    client.post("/users/update", **ANN)
    assert client.http.get("/users/byUserId/c-1").json()["user"]["dataFields"]["plan"] == "x"
    assert client.engine.describe()["users"] == 1


def test_nested_objects_merge_when_asked(client: Client) -> None:
    client.post("/users/update", **ANN, dataFields={"address": {"city": "Oslo", "zip": "1"}})
    change = {"address": {"zip": "2"}}
    client.post("/users/update", **ANN, dataFields=change, mergeNestedObjects=True)
    fields = client.http.get("/users/byUserId/c-1").json()["user"]["dataFields"]
    assert fields["address"] == {"city": "Oslo", "zip": "2"}


def test_subscriptions_overwrite_what_is_given(client: Client) -> None:
    path = "/users/updateSubscriptions"
    client.post(path, userId="c-1", unsubscribedChannelIds=[1, 2], emailListIds=[7])
    client.post(path, userId="c-1", unsubscribedChannelIds=[2])
    fields = client.http.get("/users/getByEmail", params={"userId": "c-1"})
    data = fields.json()["user"]["dataFields"]
    assert (data["unsubscribedChannelIds"], data["emailListIds"]) == ([2], [7])


def test_event_with_the_same_id_is_updated_and_not_doubled(client: Client) -> None:
    event = {"userId": "c-1", "eventName": "contract.created", "id": "e-1"}
    first = client.post("/events/track", **event, dataFields={"months": 6})
    assert first.json()["params"] == {"id": "e-1"}
    client.post("/events/track", **event, dataFields={"months": 12})
    (shown,) = client.http.get("/events/byUserId/c-1").json()["events"]
    assert (shown["_id"], shown["dataFields"]) == ("e-1", {"months": 12})
    assert len(client.sent("event")) == 1


def test_event_without_an_id_gets_one(client: Client) -> None:
    ids = {
        client.post("/events/track", userId="c-1", eventName="x").json()["params"]["id"]
        for _ in range(2)
    }
    assert len(ids) == 2
    assert len(client.sent("event")) == 2


def test_purchase_with_the_same_id_counts_once(client: Client) -> None:
    item = {"id": "plan", "name": "Plan", "price": 199, "quantity": 1}
    purchase = {"id": "invoice-1", "user": ANN, "items": [item], "total": 199.0}
    for _ in range(2):
        assert client.post("/commerce/trackPurchase", **purchase).status_code == 200
    (sent,) = client.sent("purchase")
    assert sent["to"] == "ann@example.org"
    assert sent["body"]["total"] == 199.0


def test_workflow_runs_each_time_it_is_triggered(client: Client) -> None:
    for _ in range(2):
        client.post("/workflows/triggerWorkflow", **ANN, workflowId=42, dataFields={"step": 1})
    assert [sent["subject"] for sent in client.sent("workflow")] == ["workflow 42"] * 2


def test_email_goes_to_the_users_address(client: Client) -> None:
    client.post("/users/update", **ANN)
    client.post("/email/target", campaignId=5, recipientUserId="c-1", dataFields={"a": "b"})
    (sent,) = client.sent("email")
    assert (sent["to"], sent["subject"]) == ("ann@example.org", "campaign 5")


def test_email_to_an_unknown_user_is_refused(client: Client) -> None:
    answer = client.post("/email/target", campaignId=5, recipientUserId="nobody")
    assert (answer.status_code, answer.json()["code"]) == (400, "UnknownUserIdError")


def test_marketing_is_not_repeated_unless_allowed(client: Client) -> None:
    mail = {"campaignId": 5, "recipientEmail": "ann@example.org"}
    for _ in range(2):
        client.post("/email/target", **mail, allowRepeatMarketingSends=False)
    assert len(client.sent("email")) == 1


def test_scheduled_email_waits_for_virtual_time(client: Client, loop: Loop) -> None:
    later = loop.ground.clock.now() + timedelta(days=2)
    due = later.strftime("%Y-%m-%d %H:%M:%S")
    client.post("/email/target", campaignId=5, recipientEmail="ann@example.org", sendAt=due)
    loop.advance(days=1)
    assert client.sent("email") == []
    loop.advance(days=1, hours=1)
    assert len(client.sent("email")) == 1


@pytest.mark.parametrize("headers", [{}, {"Api-Key": "another"}])
def test_wrong_key_is_refused(client: Client, headers: dict[str, str]) -> None:
    url = f"{client.http.base_url}users/update"
    answer = httpx.post(url, json=ANN, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["code"] == "BadApiKey"


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/users/update", {"dataFields": {}}, "BadParams"),
        ("/users/update", ANN | {"dataFields": "text"}, "BadParams"),
        ("/users/update", ANN | {"mystery": 1}, "BadParams"),
        ("/users/update", {"email": "nonsense"}, "InvalidEmailAddressError"),
        ("/users/update", {"userId": "x" * 53}, "InvalidUserIdError"),
        ("/events/track", ANN, "BadParams"),
        ("/events/track", ANN | {"eventName": "x", "createdAt": "today"}, "BadParams"),
        ("/commerce/trackPurchase", {"user": ANN, "items": [{"id": 1}], "total": 1}, "BadParams"),
        ("/workflows/triggerWorkflow", ANN | {"workflowId": "42"}, "BadParams"),
        ("/email/target", {"campaignId": 5}, "BadParams"),
    ],
)
def test_malformed_request_is_refused_and_keeps_nothing(
    client: Client, path: str, body: dict[str, Any], code: str
) -> None:
    answer = client.post(path, **body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert answer.json().keys() == {"msg", "code", "params"}
    assert client.engine.describe() == {"users": 0, "events": 0, "scheduled": 0, "inbox": []}


def test_no_json_is_refused(client: Client) -> None:
    answer = client.http.post("/users/update", content=b"{")
    assert (answer.status_code, answer.json()["code"]) == (400, "BadJsonBody")


def test_field_keeps_the_type_it_first_had(client: Client) -> None:
    event = {"userId": "c-1", "eventName": "paid"}
    client.post("/events/track", **event, dataFields={"amount": 1, "on": "2026-01-31"})
    client.post("/events/track", **event, dataFields={"amount": 1.5}).raise_for_status()
    answer = client.post("/events/track", **event, dataFields={"amount": "one", "on": "soon"})
    assert (answer.status_code, answer.json()["code"]) == (400, "RequestFieldsTypesMismatched")
    errors = answer.json()["params"]["validationErrors"]
    assert errors["paid:::amount"]["expectedType"] == "long"
    assert errors["paid:::on"]["expectedType"] == "date"
    other = client.post("/events/track", userId="c-1", eventName="x", dataFields={"amount": "a"})
    assert other.status_code == 200


def test_lost_answer_can_be_looked_up(client: Client, loop: Loop) -> None:
    loop.ground.faults.add(Fault("iterable", FaultKind.FAIL_AFTER_SUCCESS, count=1))
    with pytest.raises(httpx.TransportError):
        client.post("/events/track", userId="c-1", eventName="x", id="e-1")
    (event,) = client.http.get("/events/byUserId/c-1").json()["events"]
    assert event["_id"] == "e-1"


def test_state_and_scheduled_mail_outlast_a_restart(
    make_loop: Callable[..., Loop], tmp_path: Path
) -> None:
    loop = make_loop(tmp_path / "state")

    async def start() -> tuple[Iterable, int]:
        engine = Iterable(loop.ground)
        return engine, await engine.start()

    client = Client(*loop.run(start()))
    due = (loop.ground.clock.now() + timedelta(hours=1)).strftime("%Y-%m-%d %H:%M:%S")
    client.post("/events/track", userId="c-1", eventName="x", id="e-1")
    client.post("/email/target", campaignId=5, recipientEmail="ann@example.org", sendAt=due)
    client.http.close()
    loop.run(client.engine.stop())
    client = Client(*loop.run(start()))
    client.post("/events/track", userId="c-1", eventName="x", id="e-1")
    loop.advance(hours=2)
    assert [sent["kind"] for sent in client.engine.describe()["inbox"]] == ["email", "event"]
    client.http.close()
    loop.run(client.engine.stop())
