"""The fake Zendesk by its documented JSON."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from emulators.faults import Fault, FaultKind
from emulators.vendors.zendesk import Zendesk
from tests.emulators.conftest import Loop

AUTH = ("agent@clinicloop.example/token", "local-zendesk-token")
TICKET = {
    "subject": "Payment failed",
    "comment": {"body": "The card of a customer was declined."},
    "external_id": "invoice-1",
    "priority": "high",
    "tags": ["billing"],
    "requester": {"name": "Ann", "email": "Ann@example.org"},
}


class Client:
    def __init__(self, engine: Zendesk, port: int) -> None:
        self.engine = engine
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v2", auth=AUTH)

    def ticket(self, key: str | None = None, **changed: Any) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        body = {"ticket": TICKET | changed}
        return self.http.post("/tickets.json", json=body, headers=headers)

    def user(self, **fields: Any) -> httpx.Response:
        return self.http.post("/users/create_or_update.json", json={"user": fields})

    def listed(self, external_id: str) -> list[dict[str, Any]]:
        answer = self.http.get("/tickets.json", params={"external_id": external_id})
        tickets: list[dict[str, Any]] = answer.json()["tickets"]
        return tickets

    def found(self, query: str) -> list[int]:
        answer = self.http.get("/search.json", params={"query": query})
        return [result["id"] for result in answer.json()["results"]]


@pytest.fixture
def client(start_engine: Callable[..., tuple[Zendesk, int]]) -> Iterator[Client]:
    client = Client(*start_engine(Zendesk))
    yield client
    client.http.close()


def reason(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 422, response.text
    body = response.json()
    assert body["error"] == "RecordInvalid"
    assert body["description"] == "Record validation errors"
    details: dict[str, Any] = body["details"]
    return details


def test_ticket_is_created_and_shown(client: Client) -> None:
    answer = client.ticket()
    assert answer.status_code == 201
    ticket = answer.json()["ticket"]
    assert answer.headers["Location"] == ticket["url"]
    assert (ticket["status"], ticket["priority"]) == ("new", "high")
    assert ticket["description"] == "The card of a customer was declined."
    shown = client.http.get(ticket["url"]).json()["ticket"]
    assert shown == ticket
    requester = client.http.get(f"/users/{ticket['requester_id']}.json").json()["user"]
    assert requester["email"] == "ann@example.org"


def test_same_idempotency_key_answers_the_same_ticket(client: Client) -> None:
    first, again = client.ticket("k-1"), client.ticket("k-1")
    assert first.headers["x-idempotency-lookup"] == "miss"
    assert again.headers["x-idempotency-lookup"] == "hit"
    assert (again.status_code, again.json()) == (201, first.json())
    assert len(client.listed("invoice-1")) == 1


def test_same_key_with_another_body_is_refused(client: Client) -> None:
    client.ticket("k-1")
    answer = client.ticket("k-1", subject="Another")
    assert answer.status_code == 400
    assert answer.json()["error"] == "IdempotentRequestError"


def test_key_is_forgotten_after_two_hours(client: Client, loop: Loop) -> None:
    client.ticket("k-1")
    loop.advance(hours=2, minutes=1)
    assert client.ticket("k-1").headers["x-idempotency-lookup"] == "miss"
    assert len(client.listed("invoice-1")) == 2


def test_key_of_a_refused_request_stays_free(client: Client) -> None:
    assert client.ticket("k-1", priority="immense").status_code == 422
    assert client.ticket("k-1").headers["x-idempotency-lookup"] == "miss"


def test_without_a_key_every_request_makes_a_ticket(client: Client) -> None:
    assert "x-idempotency-lookup" not in client.ticket().headers
    client.ticket()
    assert [ticket["id"] for ticket in client.listed("invoice-1")] == [1, 2]


def test_update_changes_status_and_adds_a_comment(client: Client) -> None:
    number = client.ticket().json()["ticket"]["id"]
    change = {"status": "solved", "comment": {"body": "Paid now.", "public": False}}
    answer = client.http.put(f"/tickets/{number}.json", json={"ticket": change}).json()
    assert answer["ticket"]["status"] == "solved"
    assert [event["type"] for event in answer["audit"]["events"]] == ["Change", "Comment"]
    comments = client.http.get(f"/tickets/{number}/comments.json").json()["comments"]
    assert [(c["body"], c["public"]) for c in comments][1] == ("Paid now.", False)
    assert answer["ticket"]["description"] == TICKET["comment"]["body"]  # type: ignore[index]


def test_closed_ticket_takes_no_update(client: Client) -> None:
    number = client.ticket(status="closed").json()["ticket"]["id"]
    answer = client.http.put(f"/tickets/{number}.json", json={"ticket": {"status": "open"}})
    assert reason(answer)["status"][0]["description"] == "Status: closed prevents ticket update"


def test_unknown_ticket_is_not_found(client: Client) -> None:
    answer = client.http.get("/tickets/99.json")
    assert answer.status_code == 404
    assert answer.json() == {"error": "RecordNotFound", "description": "Not found"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"comment": {"body": " "}}, "base"),
        ({"comment": None}, "base"),
        ({"status": "asleep"}, "status"),
        ({"priority": "immense"}, "priority"),
        ({"requester": {"name": "Ann", "email": "nonsense"}}, "email"),
        ({"requester_id": 77}, "requester"),
    ],
)
def test_invalid_ticket_names_the_field_and_keeps_nothing(
    client: Client, change: dict[str, Any], field: str
) -> None:
    assert field in reason(client.ticket(**change))
    assert client.engine.describe()["tickets"] == []
    assert client.engine.describe()["inbox"] == []


@pytest.mark.parametrize("body", [{}, {"ticket": []}, {"ticket": {"subject": 5}}, []])
def test_attribute_of_the_wrong_type_is_a_bad_request(client: Client, body: Any) -> None:
    answer = client.http.post("/tickets.json", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["title"] == "Invalid attribute"


def test_no_json_is_unprocessable(client: Client) -> None:
    answer = client.http.post("/tickets.json", content=b"{")
    assert (answer.status_code, answer.json()["error"]) == (422, "Unprocessable Entity")


def test_user_is_made_then_updated_by_external_id(client: Client) -> None:
    made = client.user(name="Ann", email="ann@example.org", external_id="c-1")
    changed = client.user(email="ann@new.example.org", external_id="c-1")
    assert (made.status_code, changed.status_code) == (201, 200)
    assert made.json()["user"]["id"] == changed.json()["user"]["id"]
    found = client.http.get("/users/search.json", params={"external_id": "c-1"}).json()
    assert found["count"] == 1
    assert found["users"][0]["email"] == "ann@new.example.org"
    assert found["users"][0]["name"] == "Ann"


def test_user_known_by_address_gets_the_external_id(client: Client) -> None:
    requester = client.ticket().json()["ticket"]["requester_id"]
    answer = client.user(name="Ann", email="ann@example.org", external_id="c-1")
    assert (answer.status_code, answer.json()["user"]["id"]) == (200, requester)


def test_address_of_another_user_is_refused(client: Client) -> None:
    client.user(name="Ann", email="ann@example.org", external_id="c-1")
    client.user(name="Bob", email="bob@example.org", external_id="c-2")
    taken = client.user(email="bob@example.org", external_id="c-1")
    assert reason(taken)["email"][0]["error"] == "DuplicateValue"
    new = client.user(name="Cid", email="bob@example.org", external_id="c-3")
    assert reason(new)["email"][0]["error"] == "DuplicateValue"


def test_new_user_needs_a_name(client: Client) -> None:
    assert "name" in reason(client.user(email="ann@example.org", external_id="c-1"))


def test_search_finds_a_ticket_once_it_is_indexed(client: Client, loop: Loop) -> None:
    number = client.ticket().json()["ticket"]["id"]
    assert client.found("type:ticket external_id:invoice-1") == []
    assert [ticket["id"] for ticket in client.listed("invoice-1")] == [number]
    loop.advance(minutes=2)
    assert client.found("type:ticket external_id:invoice-1") == [number]
    assert client.found("external_id:invoice-2") == []


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("status<solved", 1),
        ("status>open type:ticket", 1),
        ("status:solved", 1),
        ("tags:billing requester:ann@example.org type:ticket", 2),
        ('subject:"Payment failed"', 1),
        ("declined", 2),
        ("type:user name:Ann", 1),
    ],
)
def test_search_reads_its_properties(client: Client, loop: Loop, query: str, count: int) -> None:
    client.ticket(status="solved", subject="Other")
    client.ticket()
    loop.advance(minutes=2)
    assert len(client.found(query)) == count


def test_pages_link_to_the_next(client: Client) -> None:
    for _ in range(3):
        client.ticket()
    page = client.http.get("/tickets.json", params={"per_page": 2}).json()
    assert (page["count"], len(page["tickets"]), page["previous_page"]) == (3, 2, None)
    last = client.http.get(page["next_page"]).json()
    assert (len(last["tickets"]), last["next_page"]) == (1, None)


@pytest.mark.parametrize("auth", [None, ("agent@clinicloop.example", "local-zendesk-token")])
def test_wrong_credentials_are_refused(client: Client, auth: Any) -> None:
    answer = httpx.get(f"{client.http.base_url}tickets.json", auth=auth)
    assert (answer.status_code, answer.json()) == (401, {"error": "Couldn't authenticate you"})


def test_rate_limit_says_when_to_retry(client: Client, loop: Loop) -> None:
    loop.ground.faults.add(Fault("zendesk", FaultKind.RATE_LIMIT, count=1))
    answer = client.ticket()
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0


def test_lost_answer_is_found_by_key_and_by_external_id(client: Client, loop: Loop) -> None:
    loop.ground.faults.add(Fault("zendesk", FaultKind.FAIL_AFTER_SUCCESS, count=1))
    with pytest.raises(httpx.TransportError):
        client.ticket("k-1")
    assert len(client.listed("invoice-1")) == 1
    assert client.ticket("k-1").headers["x-idempotency-lookup"] == "hit"


def test_state_and_keys_outlast_a_restart(make_loop: Callable[..., Loop], tmp_path: Path) -> None:
    loop = make_loop(tmp_path / "state")

    async def start() -> tuple[Zendesk, int]:
        engine = Zendesk(loop.ground)
        return engine, await engine.start()

    client = Client(*loop.run(start()))
    first = client.ticket("k-1").json()["ticket"]
    client.http.close()
    loop.run(client.engine.stop())
    client = Client(*loop.run(start()))
    again = client.ticket("k-1")
    assert again.headers["x-idempotency-lookup"] == "hit"
    assert again.json()["ticket"]["id"] == first["id"]
    assert client.ticket("k-2").json()["ticket"]["id"] == first["id"] + 1
    assert [sent["kind"] for sent in client.engine.describe()["inbox"]] == ["ticket", "ticket"]
    client.http.close()
    loop.run(client.engine.stop())
