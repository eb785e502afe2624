"""The console's page and its API."""

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from google.cloud.pubsub_v1 import PublisherClient
from pg8000.native import Connection  # type: ignore[import-untyped, unused-ignore]

from emulators.cloud import Options
from emulators.console.api import STATIC
from emulators.pytest_plugin import RunningCloud, running
from tests.emulators.local_functions import write_functions

LISTS = {
    *("engines", "functions", "events", "inboxes", "mirrors", "timers", "tasks"),
    *("dead_letters", "jobs", "accounts", "faults"),
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    functions, wiring = write_functions(tmp_path_factory.mktemp("few_functions"))
    options = Options(
        tmp_path_factory.mktemp("cloud"), throwaway=True, wiring=wiring, functions=functions
    )
    with running(options) as cloud:
        yield cloud


@pytest.fixture
def console(cloud: RunningCloud) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=cloud.console_url, timeout=30) as client:
        yield client
    cloud.heal()


@pytest.fixture
def database(cloud: RunningCloud) -> Iterator[Any]:
    url = urlsplit(cloud.admin_url)
    with Connection(
        url.username,
        host=url.hostname,
        port=url.port,
        database=url.path.lstrip("/"),
        password=url.password,
    ) as connection:
        yield connection


def state(console: httpx.Client) -> dict[str, Any]:
    answer = console.get("/api/state")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def write_event(database: Any, cloud: RunningCloud, caused_by: str = "") -> str:
    """Put a `contract.created` in the outbox as the product does; answers its id."""
    event = str(uuid4())
    attributes = {"ce-id": event, "ce-type": "contract.created", "causationid": caused_by}
    database.run(
        "INSERT INTO platform.outbox"
        " (id, topic, ordering_key, type, payload, attributes, created_at)"
        " VALUES (:id, 'contract-events', 'subject', 'contract.created', '{}', :attributes, :now)",
        id=event,
        attributes=json.dumps(attributes),
        now=cloud.now,
    )
    return event


def publish(cloud: RunningCloud, event: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUBSUB_EMULATOR_HOST", cloud.env["PUBSUB_EMULATOR_HOST"])
        client = PublisherClient()
    topic = client.topic_path(cloud.env["GOOGLE_CLOUD_PROJECT"], "contract-events")
    attributes = {"ce-id": event, "ce-type": "contract.created"}
    client.publish(topic, b"{}", **attributes).result(20)
    client.stop()
    client.transport.close()
    cloud.settle()


def test_the_page_needs_nothing_from_elsewhere(console: httpx.Client) -> None:
    page = console.get("/")
    assert page.status_code == 200
    for path in re.findall(r'(?:src|href)="(/[^"]+)"', page.text):
        assert console.get(path).status_code == 200
    for file in STATIC.iterdir():
        links = re.findall(r"https?://[^\s\"'`)/]+", file.read_text())
        assert set(links) <= {"http://www.w3.org"}, file.name


def test_every_script_the_page_imports_is_served(console: httpx.Client) -> None:
    for file in STATIC.glob("*.js"):
        for name in re.findall(r'from "\./([^"]+)"', file.read_text()):
            assert console.get(f"/static/{name}").status_code == 200


def test_the_state_lists_everything(console: httpx.Client) -> None:
    found = state(console)
    assert {name for name, rows in found.items() if isinstance(rows, list)} == LISTS
    assert [function["kind"] for function in found["functions"]] == ["agent", "agent", "api"]
    assert {"postgres", "host", "pubsub"} <= {engine["name"] for engine in found["engines"]}


def test_an_event_shows_its_deliveries_and_what_it_caused(
    console: httpx.Client, cloud: RunningCloud, database: Any
) -> None:
    first = write_event(database, cloud)
    second = write_event(database, cloud, caused_by=first)
    publish(cloud, first)
    [shown] = [event for event in state(console)["events"] if event["id"] == first]
    assert shown["caused"] == [second]
    [step] = shown["deliveries"]
    assert step["subscription"] == "first-agent--contract-events"
    assert (step["outcome"], step["status"]) == ("acked", 200)
    assert step["milliseconds"] > 0


def test_an_event_whose_row_is_gone_still_shows_its_deliveries(
    console: httpx.Client, cloud: RunningCloud
) -> None:
    event = str(uuid4())
    publish(cloud, event)
    [shown] = [each for each in state(console)["events"] if each["id"] == event]
    assert shown["topic"] == "contract-events"
    assert len(shown["deliveries"]) == 1


def test_mirrors_show_the_newest_documents(console: httpx.Client, cloud: RunningCloud) -> None:
    from google.cloud.firestore import Client

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIRESTORE_EMULATOR_HOST", cloud.env["FIRESTORE_EMULATOR_HOST"])
        client = Client(project=cloud.env["GOOGLE_CLOUD_PROJECT"])
    for number in (1, 2):
        document = {"status": "active", "version": number, "updated_at": cloud.now}
        client.document(f"contracts/{number}").set(document)
    client.close()  # type: ignore[no-untyped-call, unused-ignore]
    shown = state(console)["mirrors"]
    assert [row["path"] for row in shown] == ["contracts/2", "contracts/1"]
    assert shown[0]["fields"]["status"] == "active"


def test_time_moves_by_a_step(console: httpx.Client) -> None:
    moved = console.post("/api/time", json={"by": "P1D"}).json()
    before, now = (datetime.fromisoformat(moved[name]) for name in ("before", "now"))
    assert timedelta(days=1) <= now - before < timedelta(days=1, minutes=1)


def test_time_moves_to_a_local_instant(console: httpx.Client, cloud: RunningCloud) -> None:
    tomorrow = (cloud.now + timedelta(days=2)).strftime("%Y-%m-%dT09:00[Asia/Kolkata]")
    now = console.post("/api/time", json={"to": tomorrow}).json()["now"]
    assert now[11:16] == "03:30"


@pytest.mark.parametrize(
    "body",
    [
        {"by": "soon"},
        {"to": "2001-01-01"},
        {"to": "2027-01-01T00:00[Nowhere/City]"},
        {},
        {"by": "P1D", "to": "2050-01-01"},
        {"by": "P1D", "extra": 1},
    ],
)
def test_a_time_that_makes_no_sense_is_a_problem(
    console: httpx.Client, body: dict[str, Any]
) -> None:
    answer = console.post("/api/time", json=body)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.json()["detail"]


def test_faults_come_and_go(console: httpx.Client) -> None:
    body = {"target": "chargebee", "kind": "error", "share": 0.5, "for": "10m"}
    added = console.post("/api/faults", json=body)
    assert added.status_code == 201
    [fault] = state(console)["faults"]
    assert (fault["target"], fault["kind"], fault["share"]) == ("chargebee", "error", 0.5)
    assert fault["until"] is not None
    console.delete("/api/faults", params={"target": "twilio"})
    assert len(state(console)["faults"]) == 1
    console.delete("/api/faults")
    assert state(console)["faults"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"target": "spanner", "kind": "down"},
        {"target": "pubsub", "kind": "sleepy"},
        {"target": "pubsub", "kind": "down", "share": 2},
        {"target": "pubsub", "kind": "down", "for": "a while"},
    ],
)
def test_a_fault_that_makes_no_sense_is_a_problem(
    console: httpx.Client, body: dict[str, Any]
) -> None:
    assert console.post("/api/faults", json=body).status_code == 400
    assert state(console)["faults"] == []


def test_settling_answers_when_nothing_is_left_to_do(console: httpx.Client) -> None:
    assert console.post("/api/settle").status_code == 200
    assert state(console)["clock"]["under_way"] == 0


def test_a_part_is_restarted_on_its_port(console: httpx.Client, cloud: RunningCloud) -> None:
    port = cloud.cloud.ports["twilio"]
    assert console.post("/api/engines/twilio/restart").status_code == 200
    assert cloud.cloud.ports["twilio"] == port


def test_restarting_what_is_not_there_is_a_problem(console: httpx.Client) -> None:
    assert console.post("/api/engines/spanner/restart").status_code == 400


def test_there_is_no_replay_of_an_unknown_dead_letter(console: httpx.Client) -> None:
    answer = console.post(f"/api/dead-letters/{uuid4()}/replay")
    assert answer.status_code == 404


def test_other_sites_cannot_command_the_cloud(console: httpx.Client) -> None:
    foreign = {"Origin": "https://example.com"}
    assert console.post("/api/settle", headers=foreign).status_code == 403
    rebound = {"Host": "rebound.example.com"}
    assert console.get("/api/state", headers=rebound).status_code == 403


def test_without_a_database_its_tables_are_empty(tmp_path: Path) -> None:
    functions, wiring = write_functions(tmp_path / "few_functions")
    options = Options(tmp_path / "cloud", functions=functions, wiring=wiring)
    with running(options, only=frozenset({"twilio"})) as cloud:
        found = httpx.get(f"{cloud.console_url}/api/state").json()
    assert found["timers"] == found["dead_letters"] == found["events"] == []


def test_the_state_outlives_the_database(console: httpx.Client, cloud: RunningCloud) -> None:
    state(console)
    cloud.restart("postgres")
    state(console)
    assert isinstance(state(console)["timers"], list)
