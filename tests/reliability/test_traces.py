"""What happens for one request is one trace, seen at the console of a running local cloud."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from emulators.cloud import Options
from emulators.demo import journey
from emulators.demo.stage import Player, Stage
from emulators.running import running
from tests.journeys.street import Street, person

Row = dict[str, Any]
_PATIENCE = 60
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CONTRACTS = "POST /v1/clinics/<clinic_id>/contracts"


class Seen:
    """A street on a cloud whose functions send their telemetry to the console."""

    def __init__(self, stage: Stage, log: Path) -> None:
        self.stage = stage
        self.street = Street(stage)
        self._log = log
        self._http = httpx.Client(base_url=stage.cloud.console_url, timeout=30)
        self._numbers = iter(range(1, 1000))

    def close(self) -> None:
        self._http.close()
        self.stage.close()

    def move_in(self) -> Player:
        """Somebody new signs up and requests a contract."""
        return self.street.move_in(person(next(self._numbers) * 5 + 1, "monthly"))

    def traces(self, **wanted: str) -> list[Row]:
        found: list[Row] = self._http.get("/api/traces", params=wanted).json()["traces"]
        return found

    def spans(self, trace: str) -> list[Row]:
        answer = self._http.get(f"/api/traces/{trace}")
        spans: list[Row] = answer.json()["spans"] if answer.status_code == 200 else []
        return spans

    def awaited(self, trace: str, *names: str) -> list[Row]:
        """The spans of a trace once there is one of each name."""
        wanted = set(names)
        found: list[Row] = []

        def complete() -> bool:
            found[:] = self.spans(trace)
            return wanted <= {span["name"] for span in found}

        self.until(complete)
        return found

    def metric(self, name: str, **attributes: str) -> Row | None:
        """A metric with such values among its attributes'."""
        values = set(attributes.values())
        rows = self._http.get("/api/metrics").json()["metrics"]
        fits = [r for r in rows if r["name"] == name and values <= set(r["attributes"].values())]
        return fits[0] if fits else None

    def until(self, look: Callable[[], Any]) -> Any:
        """What `look` finds once it finds something."""
        deadline = time.monotonic() + _PATIENCE
        while not (found := look()):
            assert time.monotonic() < deadline, "it never came"
            time.sleep(0.05)
        return found

    def contract(self, player: Player) -> str:
        """The id of the trace in which a player's contract was requested."""
        (row,) = self.stage.rows(
            "SELECT attributes FROM platform.outbox WHERE type = 'contract.requested' "
            "AND ordering_key = :id",
            id=player.contract_id,
        )
        return str(row["attributes"]["traceparent"].split("-")[1])

    def push(self, function: str, data: bytes, attributes: dict[str, str]) -> int:
        """Deliver a message to a function as Pub/Sub would, once more; the status."""
        cloud = self.stage.cloud
        audience = f"{cloud.url}/{function}"
        token = cloud.service_token(function, "pubsub")
        message = {
            "data": base64.b64encode(data).decode(),
            "attributes": attributes,
            "messageId": "7",
        }
        answer = httpx.post(
            f"{audience}/events",
            json={"message": message, "subscription": "s", "deliveryAttempt": 2},
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        )
        return answer.status_code

    def everything(self) -> str:
        """All that left the functions but went into no database: telemetry and logs."""
        traces = [self.spans(one["id"]) for one in self.traces(limit="10000")]
        metrics = self._http.get("/api/metrics").json()
        return json.dumps([traces, metrics], ensure_ascii=False) + self._log.read_text()


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("traced")
    options = Options(folder, throwaway=True, starts=journey.BEGINS, frozen=True, traced=True)
    with running(options) as cloud:
        made = Seen(Stage(cloud), folder / "host.log")
        try:
            made.street.open()
            yield made
        finally:
            made.close()


@pytest.fixture(scope="module")
def player(seen: Seen) -> Player:
    """Somebody whose contract began and whose messages went out."""
    moved = seen.move_in()
    seen.stage.cloud.settle()
    return moved


def below(spans: list[Row], parent: Row) -> list[Row]:
    return [one for one in spans if one["parent"] == parent["id"]]


def one(spans: list[Row], name: str) -> Row:
    (found,) = [span for span in spans if span["name"] == name]
    return found


def test_a_portals_call_is_one_trace_to_the_vendor(seen: Seen, player: Player) -> None:
    reached = "chargebee", "sendgrid", "contract.activated contract_mirrors"
    spans = seen.awaited(seen.contract(player), CONTRACTS, *reached)
    (root,) = [span for span in spans if span["parent"] is None]
    assert (root["name"], root["service"], root["kind"]) == (CONTRACTS, "portal_api", "server")
    known = {span["id"] for span in spans}
    assert [span["name"] for span in spans if span["parent"] not in known] == [CONTRACTS]
    links = one(spans, "contract.requested contract_links")
    assert (links["parent"], links["kind"]) == (root["id"], "consumer")
    call = one(below(spans, links), "vendor.call")
    assert {(span["name"], span["kind"]) for span in below(spans, call)} == {
        ("chargebee", "client")
    }


def test_the_steps_of_a_request_are_its_spans(seen: Seen, player: Player) -> None:
    spans = seen.awaited(seen.contract(player), CONTRACTS, "outbox.mark")
    steps = [
        span["name"] for span in below(spans, one(spans, CONTRACTS)) if span["kind"] != "consumer"
    ]
    assert steps == ["work.commit", "outbox.publish", "outbox.mark"]
    publish = one(below(spans, one(spans, CONTRACTS)), "outbox.publish")
    assert (publish["kind"], publish["attributes"]["messaging.system"]) == (
        "producer",
        "gcp_pubsub",
    )


def test_spans_name_the_request_by_its_correlation_id(seen: Seen, player: Player) -> None:
    trace = seen.contract(player)
    spans = seen.awaited(trace, "contract.requested contract_links")
    begun = [span for span in spans if span["kind"] in ("server", "consumer")]
    (correlation,) = {span["attributes"]["clinicloop.correlation_id"] for span in begun}
    assert [row["id"] for row in seen.traces(correlation=correlation)] == [trace]


def test_a_redelivery_is_a_further_span_of_the_trace(seen: Seen, player: Player) -> None:
    (row,) = seen.stage.rows(
        "SELECT attributes, payload FROM platform.outbox WHERE type = 'contract.activated' "
        "AND ordering_key = :id",
        id=player.contract_id,
    )
    name = "contract.activated message_arises"
    seen.awaited(seen.contract(player), name)
    before = seen.metric("clinicloop.inbox.duplicates", handler="message_arises")
    pushed = seen.push("notification_agent", row["payload"].encode(), row["attributes"])
    assert pushed == 204

    def twice() -> list[Row]:
        spans = [span for span in seen.spans(seen.contract(player)) if span["name"] == name]
        return spans if len(spans) == 2 else []

    first, second = seen.until(twice)
    assert first["parent"] == second["parent"]
    assert "clinicloop.duplicate" not in first["attributes"]
    assert second["attributes"]["clinicloop.duplicate"] is True
    assert second["attributes"]["clinicloop.attempt"] == 2
    more = 1 + (before["value"] if before else 0)

    def counted() -> bool:
        now = seen.metric("clinicloop.inbox.duplicates", handler="message_arises")
        return now is not None and now["value"] == more

    seen.until(counted)


def test_what_the_relay_publishes_later_goes_on_the_trace(seen: Seen) -> None:
    cloud = seen.stage.cloud
    with cloud.fault("pubsub", "down"):
        late = seen.move_in()
        trace = seen.contract(late)
        cloud.advance(minutes=5)
        aged = seen.until(lambda: _above(seen.metric("clinicloop.outbox.age"), 240))
        assert aged["unit"] == "s"
        assert seen.until(lambda: _above(seen.metric("clinicloop.outbox.unsent"), 1))
        assert [span["name"] for span in seen.spans(trace) if span["kind"] == "consumer"] == []
    cloud.advance(minutes=5)
    cloud.settle()
    spans = seen.awaited(trace, CONTRACTS, "contract.requested contract_links")
    links = one(spans, "contract.requested contract_links")
    assert links["parent"] == one(spans, CONTRACTS)["id"]
    assert seen.until(lambda: _at(seen.metric("clinicloop.outbox.age"), 0))
    relayed = [
        span
        for row in seen.traces(name="outbox_drains", limit="1000")
        for span in seen.spans(row["id"])
        if trace in span["links"]
    ]
    assert {span["name"] for span in relayed} == {"outbox.publish"}


def _above(metric: Row | None, value: float) -> Row | None:
    return metric if metric is not None and metric["value"] >= value else None


def _at(metric: Row | None, value: float) -> Row | None:
    return metric if metric is not None and metric["value"] == value else None


def test_a_replay_goes_on_the_trace_of_what_was_parked(seen: Seen, player: Player) -> None:
    trace = "c" * 32
    attributes = {
        "ce-id": "0198c0de-0000-7000-8000-00000000dead",
        "ce-type": "contract.requested",
        "ce-time": "2026-01-05T09:00:00+00:00",
        "traceparent": f"00-{trace}-{SPAN}-01",
    }
    assert seen.push("contract_agent", b'{"contract_id": "none"}', attributes) == 204
    name = "contract.requested contract_links"
    parked = one(seen.awaited(trace, name), name)
    assert (parked["failed"], parked["parent"]) == (True, SPAN)
    assert parked["attributes"]["error.type"] == "Malformed"
    (letter,) = seen.stage.rows("SELECT id FROM platform.dead_letters WHERE replayed_at IS NULL")
    answer = httpx.post(
        f"{seen.stage.cloud.console_url}/api/dead-letters/{letter['id']}/replay", timeout=30
    )
    assert answer.status_code == 422
    seen.until(lambda: len([span for span in seen.spans(trace) if span["name"] == name]) == 2)
    assert seen.until(
        lambda: _at(seen.metric("clinicloop.dead_letters.parked", handler="contract_links"), 2)
    )


@pytest.mark.parametrize(
    ("traceparent", "honoured"),
    [(f"00-{TRACE}-{SPAN}-01", True), (f"00-{TRACE}-{SPAN}-0", False), ("Ada Example", False)],
)
def test_a_portals_trace_is_gone_on_with_if_it_makes_sense(
    seen: Seen, player: Player, traceparent: str, honoured: bool
) -> None:
    answer = httpx.get(
        f"{seen.stage.cloud.url}/portal_api/v1/clinics/{player.person.clinic_id}/contracts",
        headers={"Authorization": f"Bearer {player.person.token}", "traceparent": traceparent},
        timeout=30,
    )
    assert answer.status_code == 200
    correlation = answer.headers["X-Correlation-Id"]
    (row,) = seen.until(lambda: seen.traces(correlation=correlation))
    assert (row["id"] == TRACE) is honoured


def test_what_is_measured_has_its_value(seen: Seen, player: Player) -> None:
    pool = seen.until(lambda: seen.metric("db.client.connection.max"))
    assert pool["value"] % 8 == 0
    assert seen.until(lambda: _at(seen.metric("clinicloop.vendor.breaker", vendor="chargebee"), 0))
    requests = seen.until(
        lambda: seen.metric(
            "http.server.request.duration", route="/v1/clinics/<clinic_id>/contracts"
        )
    )
    assert requests["count"] == sum(requests["buckets"]) >= 1
    assert seen.until(lambda: seen.metric("clinicloop.projection.lag", collection="contracts"))
    assert seen.until(lambda: seen.metric("clinicloop.vendor.call.duration", outcome="ok"))


def test_no_phi_is_in_traces_metrics_or_logs(seen: Seen, player: Player) -> None:
    """Not of a life as usual, nor where messages are full of what does not belong there."""
    seen.awaited(seen.contract(player), "sendgrid")
    (row,) = seen.stage.rows(
        "SELECT given_name, family_name, email, phone FROM customers.customers WHERE id = :id",
        id=player.person.id,
    )
    assert len(row) == 4
    assert all(row.values())
    known, unknown = ("e" * 32, "contract.requested"), ("f" * 32, row["email"])
    for trace, kind in (known, unknown):
        attributes = {
            "ce-id": row["given_name"],
            "ce-type": kind,
            "ce-time": row["phone"],
            "correlationid": row["email"],
            "clinicid": row["family_name"],
            "traceparent": f"00-{trace}-{SPAN}-01",
        }
        data = json.dumps(row | {"contract_id": row["email"]}).encode()
        assert seen.push("contract_agent", data, attributes) == 204
        seen.until(lambda trace=trace: seen.spans(trace))  # type: ignore[misc]
    url = f"{seen.stage.cloud.url}/portal_api/v1/clinics/{row['email']}/{row['given_name']}"
    assert httpx.get(url, params=row, timeout=30).status_code == 404
    told = seen.everything()
    assert [name for name, value in row.items() if value in told] == []
    assert CONTRACTS in told, "the telemetry was looked at"
    assert '"parked"' in told, "the logs were looked at"
