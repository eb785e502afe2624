"""outbox_relay: the net under publishing, parking, and the weekly clean-up."""

import base64
import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from uuid import uuid4

import grpc
import pytest
from google.api_core.exceptions import AlreadyExists
from google.pubsub_v1 import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from werkzeug.test import TestResponse

from shared.events.customers import CustomerRegistered
from shared.kernel import clock
from shared.kernel.ids import CustomerId, EventId, TimerId, WebhookId
from shared.platform import outbox, webhooks
from shared.platform.settings import Misconfigured, Settings, load
from shared.platform.unit_of_work import Cause, transaction
from shared.runtime.retention import RetentionSettings
from tests.conftest import BERLIN, House


@pytest.fixture(autouse=True)
def topic(house: House) -> None:
    """The topic of the events these tests emit."""
    with grpc.insecure_channel(house.cloud.env["PUBSUB_EMULATOR_HOST"]) as channel:
        publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
        project = house.cloud.env["GOOGLE_CLOUD_PROJECT"]
        with suppress(AlreadyExists):
            publisher.create_topic(name=f"projects/{project}/topics/{CustomerRegistered.topic}")


def emit(house: House, count: int = 1) -> list[CustomerId]:
    """Commit events without publishing them, as a process does that dies after its commit; its
    lease runs out.
    """
    customers = [CustomerId.new() for _ in range(count)]
    with transaction(BERLIN, "test", Cause("test")) as work:
        for customer in customers:
            work.emit(CustomerRegistered(clinic_id=BERLIN, customer_id=customer, version=1))
    house.move(clock.now() + outbox.LEASE)
    return customers


def unsent(house: House) -> int:
    found = house.rows("SELECT count(*) AS unsent FROM platform.outbox WHERE sent_at IS NULL")
    return int(found[0]["unsent"])


def count(house: House, table: str) -> int:
    return int(house.rows(f"SELECT count(*) AS rows FROM platform.{table}")[0]["rows"])


def prune(house: House) -> None:
    assert house.cron("outbox_relay", "retention_prunes").status_code == 204


def test_what_was_left_behind_is_published(house: House) -> None:
    emit(house, 3)
    assert house.cron("outbox_relay", "outbox_drains").status_code == 204
    assert unsent(house) == 0


def test_an_empty_outbox_is_idle(house: House) -> None:
    answer = house.cron("outbox_relay", "outbox_drains")
    assert answer.headers["X-Idle-Until"] == "never"


def test_an_outage_leaves_events_for_a_later_run(house: House) -> None:
    emit(house, 2)
    house.cloud.fault("pubsub", "down")
    answer = house.cron("outbox_relay", "outbox_drains")
    assert (answer.status_code, unsent(house)) == (503, 2)  # Cloud Scheduler comes again soon
    house.cloud.heal()
    house.cron("outbox_relay", "outbox_drains")
    assert unsent(house) == 0


def test_events_somebody_else_is_publishing_are_left_to_them(house: House) -> None:
    emit(house)
    house.rows(
        "UPDATE platform.outbox SET leased_until = :until",
        until=clock.now() + timedelta(seconds=30),
    )
    answer = house.cron("outbox_relay", "outbox_drains")
    assert unsent(house) == 1
    assert "X-Idle-Until" not in answer.headers


def test_a_caller_who_is_not_the_scheduler_is_refused(house: House) -> None:
    answer = house.trigger("outbox_relay", "/crons/outbox_drains", "pubsub")
    assert answer.status_code == 401


def given_up(house: House) -> TestResponse:
    """Hand the only event there is to where Pub/Sub forwards what it gave up on."""
    (row,) = house.rows("SELECT payload, attributes FROM platform.outbox")
    body = {
        "message": {
            "data": base64.b64encode(row["payload"].encode()).decode(),
            "attributes": row["attributes"]
            | {"CloudPubSubDeadLetterSourceSubscription": "support-agent--customer-events"},
        }
    }
    return house.trigger("outbox_relay", "/parked", "pubsub", json.dumps(body).encode())


def test_what_pubsub_gave_up_on_is_published_anew(house: House) -> None:
    emit(house)
    house.cron("outbox_relay", "outbox_drains")
    house.move(clock.now() + timedelta(hours=23))
    assert given_up(house).status_code == 204
    assert unsent(house) == 1
    assert house.rows("SELECT * FROM platform.dead_letters") == []
    house.cron("outbox_relay", "outbox_drains")
    assert unsent(house) == 0


def test_what_pubsub_gave_up_on_for_a_day_is_parked(house: House) -> None:
    emit(house)
    house.cron("outbox_relay", "outbox_drains")
    house.move(clock.now() + timedelta(hours=25))
    assert given_up(house).status_code == 204
    assert unsent(house) == 0
    (letter,) = house.rows("SELECT function FROM platform.dead_letters")
    assert letter["function"] == "support_agent"


def test_what_pubsub_gave_up_on_is_parked_for_its_function(house: House) -> None:
    attributes = {
        "ce-id": str(EventId.new()),
        "CloudPubSubDeadLetterSourceSubscription": "support-agent--customer-events",
    }
    message = {"data": base64.b64encode(b"{}").decode(), "attributes": attributes}
    body = json.dumps({"message": message, "subscription": "test"}).encode()
    assert house.trigger("outbox_relay", "/parked", "pubsub", body).status_code == 204
    parked = house.rows("SELECT function, path, attributes FROM platform.dead_letters")
    assert parked == [{"function": "support_agent", "path": "/events", "attributes": attributes}]


def test_sent_events_are_kept_for_their_time(house: House) -> None:
    emit(house)
    house.cron("outbox_relay", "outbox_drains")
    house.move(clock.now() + timedelta(days=29))
    prune(house)
    assert count(house, "outbox") == 1
    house.move(clock.now() + timedelta(days=2))
    prune(house)
    assert count(house, "outbox") == 0


def test_unsent_events_are_never_pruned(house: House) -> None:
    emit(house)
    house.move(clock.now() + timedelta(days=400))
    prune(house)
    assert count(house, "outbox") == 1


@pytest.mark.parametrize("table", ["inbox", "intents"])
def test_handled_messages_outlive_what_pubsub_may_redeliver(house: House, table: str) -> None:
    _remember(house, table)
    house.move(clock.now() + timedelta(days=32))
    prune(house)
    assert count(house, table) == 1
    house.move(clock.now() + timedelta(days=4))
    prune(house)
    assert count(house, table) == 0


@pytest.mark.parametrize("table", ["inbox", "intents"])
def test_a_parked_message_is_remembered_until_it_may_be_replayed(house: House, table: str) -> None:
    event = _remember(house, table)
    house.rows(
        "INSERT INTO platform.dead_letters "
        "(id, function, handler, path, reason, attributes, body, created_at) VALUES "
        "(:id, 'f', 'h', '/events', 'r', CAST(:attributes AS jsonb), '', :now)",
        id=uuid4(),
        attributes=json.dumps({"ce-id": str(event)}),
        now=clock.now(),
    )
    house.move(clock.now() + timedelta(days=400))
    prune(house)
    assert count(house, table) == 1


def _remember(house: House, table: str) -> EventId:
    event = EventId.new()
    columns = {
        "inbox": "(handler, event_id, received_at) VALUES ('h', :event, :now)",
        "intents": "(handler, event_id, state, updated_at) VALUES ('h', :event, 'done', :now)",
    }
    house.rows(f"INSERT INTO platform.{table} {columns[table]}", event=event, now=clock.now())
    return event


@pytest.mark.parametrize("state", ["open", "calling", "unknown"])
def test_vendor_calls_not_yet_closed_are_kept(house: House, state: str) -> None:
    _remember(house, "intents")
    house.rows("UPDATE platform.intents SET state = :state", state=state)
    house.move(clock.now() + timedelta(days=400))
    prune(house)
    assert count(house, "intents") == 1


def test_raw_webhooks_go_after_their_time(house: House) -> None:
    with transaction(None, "test", Cause("test")) as work:
        stored = webhooks.store(work.connection, "chargebee", "ev-1", b"{}", work.now)
    assert isinstance(stored, WebhookId)
    house.move(clock.now() + timedelta(days=31))
    prune(house)
    assert count(house, "webhooks") == 0


@pytest.mark.parametrize(
    ("state", "kept"), [("fired", 0), ("cancelled", 0), ("scheduled", 1), ("parked", 1)]
)
def test_timers_that_are_over_go_after_their_time(house: House, state: str, kept: int) -> None:
    with transaction(BERLIN, "test", Cause("test")) as work:
        work.schedule("test.kind", TimerId.new(), work.now)
    house.rows("UPDATE platform.timers SET state = :state", state=state)
    house.move(clock.now() + timedelta(days=31))
    prune(house)
    assert count(house, "timers") == kept


def test_a_clean_up_larger_than_a_batch_is_finished(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.runtime.retention.BATCH", 10)
    emit(house, 35)
    house.cron("outbox_relay", "outbox_drains")
    house.move(clock.now() + timedelta(days=31))
    prune(house)
    assert count(house, "outbox") == 0


@pytest.fixture
def fresh_settings() -> Iterator[None]:
    load.cache_clear()
    yield
    load.cache_clear()


def test_an_inbox_shorter_than_pubsub_s_memory_is_refused(
    house: House, fresh_settings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INBOX_DAYS", "31")
    kind: type[Settings] = RetentionSettings
    with pytest.raises(Misconfigured, match="INBOX_DAYS"):
        load(kind)
