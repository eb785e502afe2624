"""Notifications through the agent's triggers, with the fakes of the real providers behind it."""

import json
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from typing import Any
from uuid import UUID

import pytest
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import TestResponse

from shared.domains.notifications import queries, service
from shared.domains.notifications.commands import Preference, SetPreferences
from shared.domains.notifications.model import Topic
from shared.events.billing import Decline, InvoicePaymentFailed
from shared.events.contracts import ContractCreated
from shared.events.customers import CustomerField, CustomerUpdated
from shared.events.messages import Channel, MessageQueued, TwilioWebhookReceived
from shared.integrations import vendor_call
from shared.kernel.event import Event
from shared.kernel.ids import ClinicId, ContractId, CustomerId, EventId, InvoiceId
from shared.kernel.money import Money
from shared.platform import settings
from shared.platform.unit_of_work import Cause, transaction
from tests.conftest import BERLIN, KOLKATA, House

AGENT = "notification_agent"
EMAIL, PHONE = "ada.canary@example.test", "+491511234567"


class Silent(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Test output stays readable."""


@dataclass
class Desk:
    """The agent in the house, its webhooks listening, and customers to write to."""

    house: House
    webhooks: str
    _numbers: list[int] = field(default_factory=list)

    def customer(
        self,
        email: str = EMAIL,
        phone: str | None = PHONE,
        hour: int = 12,
        locale: str = "de-AT",
        clinic_id: ClinicId = BERLIN,
    ) -> CustomerId:
        """Somebody for whom it is `hour` o'clock."""
        customer = CustomerId.new()
        self.house.rows(
            "INSERT INTO customers.customers VALUES (:clinic, :id, :uid, 'Ada', 'Canary', "
            ":email, :phone, :locale, :zone, 1, now(), now())",
            clinic=clinic_id,
            id=customer,
            uid=str(customer),
            email=email,
            phone=phone,
            locale=locale,
            zone=self.zone_at(hour),
        )
        return customer

    def zone_at(self, hour: int) -> str:
        """A zone in which it is `hour` o'clock now. The sign of its name is the other way round."""
        offset = (hour - self.house.cloud.now.hour + 11) % 24 - 11
        return f"Etc/GMT{-offset:+d}"

    def deliver(self, event: Event, **how: Any) -> TestResponse:
        return self.house.deliver(AGENT, event, **how)

    def send_queued(self) -> list[int]:
        """Push every MessageQueued so far; the answers' status codes."""
        return [r.status_code for r in self.house.deliver_emitted(AGENT, MessageQueued.type)]

    def advance(self, seconds: float) -> None:
        """Let virtual time pass at the providers, and hand their webhooks to the agent."""
        self.house.cloud.advance(seconds=seconds)
        for kind in ("twilio_webhook.received", "sendgrid_webhook.received"):
            assert {r.status_code for r in self.house.deliver_emitted(AGENT, kind)} <= {204}

    def messages(self) -> dict[str, dict[str, Any]]:
        found = self.house.rows("SELECT * FROM notifications.messages ORDER BY created_at, id")
        return {row["channel"]: row for row in found}

    def sent(self, vendor: str, to: str) -> list[dict[str, Any]]:
        return [entry for entry in self.house.cloud.inbox(vendor) if entry["to"] == to]

    def text_in(self, sender: str, body: str) -> None:
        """Somebody writes an SMS to our number, and the agent hears of it."""
        self.write_in(sender, body)
        self.advance(seconds=1)

    def write_in(self, sender: str, body: str) -> None:
        url = f"{self.house.cloud.env['TWILIO_URL']}/_local/incoming"
        data = json.dumps({"from": sender, "body": body}).encode()
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=10) as answer:
            assert answer.status == 201

    def number(self, ending: str = "") -> str:
        """A phone number nobody else has, with a magic ending of the fake."""
        self._numbers.append(len(self._numbers) + 1)
        salt = int(self.house.cloud.now.timestamp()) % 10_000
        return f"+4915{salt:04}{len(self._numbers):02}{ending}"


@pytest.fixture
def desk(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    from functions.notification_agent import main

    app = house.client("webhooks").application
    front = DispatcherMiddleware(lambda *_: [], {"/webhooks": app})
    server = make_server("127.0.0.1", 0, front, threaded=True, request_handler=Silent)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/webhooks"
    ground = house.cloud.cloud.ground
    before = ground.settings.get("webhooks")
    monkeypatch.setenv("PUBLIC_WEBHOOKS_URL", address)
    monkeypatch.setenv("TWILIO_BACKUP_SERVICE_SID", "MG" + "1".zfill(32))
    ground.settings["webhooks"] = address
    fresh(main)
    yield Desk(house, address)
    house.cloud.heal()
    house.cloud.advance(seconds=30)
    server.shutdown()
    server.server_close()
    if before is not None:
        ground.settings["webhooks"] = before
    fresh(main)


def fresh(main: Any) -> None:
    """Forget settings, clients and breakers that an earlier test left behind."""
    settings.load.cache_clear()
    vendor_call._breaker.cache_clear()
    if vendors := main.agent._vendors:
        for client in (vendors.marketing, *chain.from_iterable(vendors.senders.values())):
            client.close()
    main.agent._vendors = None


def created(customer: CustomerId, clinic_id: ClinicId = BERLIN) -> ContractCreated:
    return ContractCreated(
        clinic_id=clinic_id,
        contract_id=ContractId.new(),
        customer_id=customer,
        version=2,
        starts_on=date(2026, 3, 9),
        ends_on=date(2026, 9, 8),
        renewal_at=datetime(2026, 9, 7, tzinfo=UTC),
    )


def failed(customer: CustomerId, clinic_id: ClinicId = BERLIN) -> InvoicePaymentFailed:
    return InvoicePaymentFailed(
        clinic_id=clinic_id,
        invoice_id=InvoiceId.new(),
        customer_id=customer,
        version=1,
        amount=Money(amount=12345, currency="EUR"),
        attempt=1,
        decline=Decline.SOFT,
    )


def test_a_created_contract_is_welcomed_by_mail_and_told_to_marketing(desk: Desk) -> None:
    customer = desk.customer()
    assert desk.deliver(created(customer)).status_code == 204
    assert desk.send_queued() == [204]
    [mail] = desk.sent("sendgrid", EMAIL)
    assert mail["subject"] == "Willkommen"
    assert "9. März 2026" in mail["body"]["content"]["text/plain"]
    [event] = desk.sent("iterable", str(customer))
    assert event["subject"] == "contract_created"
    row = desk.messages()["email"]
    assert (row["status"], row["provider"]) == ("accepted", "sendgrid")
    assert len(desk.house.emitted("message.accepted")) == 1


def test_a_failed_payment_is_said_by_mail_and_sms(desk: Desk) -> None:
    phone = desk.number()
    desk.deliver(failed(desk.customer("pay@example.test", phone)))
    assert desk.send_queued() == [204, 204]
    assert len(desk.sent("sendgrid", "pay@example.test")) == 1
    [sms] = desk.sent("twilio", phone)
    assert "123,45" in sms["body"]["body"]
    assert sms["body"]["body"].endswith(f"({desk.messages()['sms']['id'].hex[:10].upper()})")


def test_duplicate_pushes_send_once(desk: Desk) -> None:
    phone = desk.number()
    event, event_id = failed(desk.customer("twice@example.test", phone)), EventId.new()
    for _ in range(3):
        assert desk.deliver(event, event_id=event_id).status_code == 204
    for _ in range(3):
        assert desk.send_queued() == [204, 204]
    assert len(desk.sent("sendgrid", "twice@example.test")) == 1
    assert len(desk.sent("twilio", phone)) == 1


def test_the_same_fact_told_by_two_events_sends_once(desk: Desk) -> None:
    phone = desk.number()
    event = failed(desk.customer("fact@example.test", phone))
    for _ in range(2):
        desk.deliver(event)
        desk.send_queued()
    assert len(desk.sent("sendgrid", "fact@example.test")) == 1
    assert len(desk.sent("twilio", phone)) == 1


@pytest.mark.parametrize("vendor", ["twilio", "sendgrid"])
def test_a_lost_answer_is_looked_up_and_nothing_sent_twice(desk: Desk, vendor: str) -> None:
    phone, email = desk.number(), f"lost-{vendor}@example.test"
    desk.deliver(failed(desk.customer(email, phone)))
    desk.house.cloud.fault(vendor, "fail-after-success", count=1)
    assert sorted(desk.send_queued()) == [204, 503]
    assert desk.send_queued() == [204, 204]
    assert len(desk.sent("sendgrid", email)) == 1
    assert len(desk.sent("twilio", phone)) == 1
    assert {row["status"] for row in desk.messages().values()} == {"accepted"}
    assert {row["provider"] for row in desk.messages().values()} == {"twilio", "sendgrid"}


@pytest.mark.parametrize("vendor", ["twilio", "sendgrid"])
def test_a_lost_answer_whose_look_up_fails_stays_unknown(desk: Desk, vendor: str) -> None:
    phone, email = desk.number(), f"unknown-{vendor}@example.test"
    desk.deliver(failed(desk.customer(email, phone)))
    desk.house.cloud.fault(vendor, "fail-after-success", count=1)
    desk.send_queued()
    desk.house.cloud.fault(vendor, "429", count=1)
    assert sorted(desk.send_queued()) == [204, 503]
    assert desk.send_queued() == [204, 204]
    assert len(desk.sent("twilio", phone)) == 1
    assert len(desk.sent("sendgrid", email)) == 1


def test_a_report_that_overtakes_a_lost_answer_settles_it(desk: Desk) -> None:
    phone = desk.number()
    desk.deliver(failed(desk.customer("overtake@example.test", phone)))
    desk.house.cloud.fault("twilio", "fail-after-success", count=1)
    desk.send_queued()
    desk.advance(seconds=10)
    assert desk.messages()["sms"]["status"] == "delivered"
    assert desk.send_queued() == [204, 204]
    assert len(desk.sent("twilio", phone)) == 1
    assert desk.messages()["sms"]["status"] == "delivered"


def test_a_dropped_mail_is_sent_once_the_feed_must_know(desk: Desk) -> None:
    desk.deliver(created(desk.customer("dropped.connection@example.test")))
    desk.house.cloud.fault("sendgrid", "down", count=1)
    assert desk.send_queued() == [503]
    assert desk.send_queued() == [503]
    assert desk.sent("sendgrid", "dropped.connection@example.test") == []
    desk.house.cloud.advance(seconds=61)
    assert desk.send_queued() == [204]
    assert len(desk.sent("sendgrid", "dropped.connection@example.test")) == 1


def test_an_unavailable_provider_is_followed_by_the_next(desk: Desk) -> None:
    phone = desk.number()
    desk.deliver(failed(desk.customer("fallback@example.test", phone)))
    desk.house.cloud.fault("twilio", "429", count=1)
    assert desk.send_queued() == [204, 204]
    assert len(desk.sent("twilio", phone)) == 1
    desk.advance(seconds=10)
    row = desk.messages()["sms"]
    assert (row["provider"], row["status"]) == ("twilio-backup", "delivered")


def test_all_providers_unavailable_is_tried_again_later(desk: Desk) -> None:
    phone = desk.number()
    desk.deliver(failed(desk.customer("both@example.test", phone)))
    desk.house.cloud.fault("twilio", "429", count=2)
    assert sorted(desk.send_queued()) == [204, 503]
    assert desk.send_queued() == [204, 204]
    assert len(desk.sent("twilio", phone)) == 1
    assert desk.messages()["sms"]["attempts"] == 2


def test_a_refusal_is_not_followed_by_another_provider(desk: Desk) -> None:
    phone = desk.number("21614")
    desk.deliver(failed(desk.customer("refused@example.test", phone)))
    assert desk.send_queued() == [204, 204]
    row = desk.messages()["sms"]
    assert (row["status"], row["failure"], row["attempts"]) == ("failed", "refused", 1)
    assert [e["failure"] for e in desk.house.emitted("message.failed")] == ["refused"]


@pytest.mark.parametrize(
    ("email", "failure"),
    [("bounce@example.test", "bounced"), ("block@example.test", "blocked")],
)
def test_accepted_then_bounced_has_failed(desk: Desk, email: str, failure: str) -> None:
    desk.deliver(created(desk.customer(email)))
    desk.send_queued()
    assert desk.messages()["email"]["status"] == "accepted"
    desk.advance(seconds=10)
    row = desk.messages()["email"]
    assert (row["status"], row["failure"]) == ("failed", failure)
    assert [e["failure"] for e in desk.house.emitted("message.failed")] == [failure]
    assert len(desk.sent("sendgrid", email)) == 1


def test_accepted_then_undelivered_has_failed_and_is_not_sent_elsewhere(desk: Desk) -> None:
    phone = desk.number("30003")
    desk.deliver(failed(desk.customer("undelivered@example.test", phone)))
    desk.send_queued()
    desk.advance(seconds=10)
    row = desk.messages()["sms"]
    assert (row["status"], row["failure"]) == ("failed", "undelivered")
    assert len(desk.sent("twilio", phone)) == 1


def test_delivered_is_reported(desk: Desk) -> None:
    phone = desk.number()
    desk.deliver(failed(desk.customer("fine@example.test", phone)))
    desk.send_queued()
    desk.advance(seconds=10)
    assert {row["status"] for row in desk.messages().values()} == {"delivered"}
    assert len(desk.house.emitted("message.delivered")) == 2


def test_late_reports_never_move_a_message_backwards(desk: Desk) -> None:
    phone = desk.number()
    desk.deliver(failed(desk.customer("late@example.test", phone)))
    desk.send_queued()
    desk.house.cloud.advance(seconds=10)
    reports = desk.house.emitted(TwilioWebhookReceived.type)
    assert len(reports) >= 3
    for report in reversed(reports):
        event = TwilioWebhookReceived.model_validate(report)
        assert desk.deliver(event, clinic_id=None).status_code == 204
    assert desk.messages()["sms"]["status"] == "delivered"
    assert len(desk.house.emitted("message.accepted")) == 2


def test_stop_silences_the_number_in_every_clinic_until_start(desk: Desk) -> None:
    phone = desk.number()
    berlin = desk.customer("stop.berlin@example.test", phone)
    kolkata = desk.customer("stop.kolkata@example.test", phone, clinic_id=KOLKATA)
    desk.text_in(phone, " stop ")
    desk.deliver(failed(berlin))
    desk.deliver(failed(kolkata, KOLKATA), clinic_id=KOLKATA)
    desk.send_queued()
    assert desk.sent("twilio", phone) == []
    statuses = desk.house.rows("SELECT status FROM notifications.messages WHERE channel = 'sms'")
    assert [row["status"] for row in statuses] == ["suppressed", "suppressed"]
    assert len(desk.sent("sendgrid", "stop.berlin@example.test")) == 1
    desk.text_in(phone, "START")
    desk.deliver(failed(berlin))
    desk.send_queued()
    assert len(desk.sent("twilio", phone)) == 1


def test_a_start_that_arrives_before_its_older_stop_holds(desk: Desk) -> None:
    phone = desk.number()
    customer = desk.customer("order@example.test", phone)
    for word in ("STOP", "START"):
        desk.write_in(phone, word)
        desk.house.cloud.advance(seconds=5)
    for wish in reversed(desk.house.emitted(TwilioWebhookReceived.type)):
        desk.deliver(TwilioWebhookReceived.model_validate(wish), clinic_id=None)
    desk.deliver(failed(customer))
    desk.send_queued()
    assert len(desk.sent("twilio", phone)) == 1


def test_a_stop_while_a_message_waits_still_counts(desk: Desk) -> None:
    phone = desk.number()
    desk.deliver(failed(desk.customer("meanwhile@example.test", phone)))
    desk.text_in(phone, "STOP")
    desk.send_queued()
    assert desk.sent("twilio", phone) == []
    assert desk.messages()["sms"]["status"] == "suppressed"


def test_a_stop_that_only_the_provider_knew_is_learnt(desk: Desk) -> None:
    phone = desk.number("21610")
    customer = desk.customer("learnt@example.test", phone)
    desk.deliver(failed(customer))
    desk.send_queued()
    row = desk.messages()["sms"]
    assert (row["status"], row["failure"]) == ("failed", "blocked")
    desk.deliver(failed(customer))
    statuses = desk.house.rows("SELECT status FROM notifications.messages WHERE channel = 'sms'")
    assert sorted(row["status"] for row in statuses) == ["failed", "suppressed"]


def test_a_complaint_about_mail_stops_mail(desk: Desk) -> None:
    customer = desk.customer("spam@example.test", None)
    desk.deliver(created(customer))
    desk.send_queued()
    desk.advance(seconds=7200)
    assert desk.messages()["email"]["status"] == "delivered"
    desk.deliver(failed(customer))
    statuses = desk.house.rows("SELECT status FROM notifications.messages ORDER BY created_at")
    assert [row["status"] for row in statuses] == ["delivered", "suppressed"]


def test_an_sms_at_night_waits_for_the_morning(desk: Desk) -> None:
    phone = desk.number()
    desk.deliver(failed(desk.customer("night@example.test", phone, hour=23)))
    assert desk.send_queued() == [204]
    row = desk.messages()["sms"]
    assert row["status"] == "deferred"
    timer = desk.house.timer("message.send", row["id"])
    assert timedelta(hours=8) < timer["due_at"] - desk.house.cloud.now <= timedelta(hours=9)
    desk.house.fire(AGENT, timer)
    assert desk.messages()["sms"]["status"] == "deferred"
    desk.house.move(timer["due_at"])
    assert desk.house.fire(AGENT, timer).status_code == 204
    desk.send_queued()
    assert len(desk.sent("twilio", phone)) == 1
    assert desk.messages()["sms"]["status"] == "accepted"


def test_a_security_notice_is_sent_at_any_hour(desk: Desk) -> None:
    customer = desk.customer("security@example.test", hour=3)
    changed = CustomerUpdated(
        clinic_id=BERLIN, customer_id=customer, version=2, changed=(CustomerField.EMAIL,)
    )
    desk.deliver(changed)
    desk.send_queued()
    assert len(desk.sent("sendgrid", "security@example.test")) == 1


def test_a_deferred_message_that_became_pointless_expires(desk: Desk) -> None:
    phone = desk.number()
    desk.deliver(failed(desk.customer("pointless@example.test", phone, hour=23)))
    timer = desk.house.timer("message.send", desk.messages()["sms"]["id"])
    desk.house.move(desk.house.cloud.now + timedelta(days=2, hours=12))
    desk.house.fire(AGENT, timer)
    assert desk.messages()["sms"]["status"] == "expired"
    assert [e["channel"] for e in desk.house.emitted("message.expired")] == ["sms"]
    assert desk.sent("twilio", phone) == []


def test_a_message_that_could_not_leave_in_time_expires(desk: Desk) -> None:
    phone = desk.number()
    desk.deliver(failed(desk.customer("outage@example.test", phone)))
    desk.house.cloud.fault("twilio", "429")
    assert sorted(desk.send_queued()) == [204, 503]
    desk.house.move(desk.house.cloud.now + timedelta(days=2))
    desk.house.cloud.heal()
    desk.send_queued()
    assert desk.messages()["sms"]["status"] == "expired"
    assert desk.sent("twilio", phone) == []


def test_an_outage_into_the_night_defers_to_the_morning(desk: Desk) -> None:
    phone = desk.number()
    desk.deliver(failed(desk.customer("evening@example.test", phone, hour=20)))
    desk.house.cloud.fault("twilio", "429")
    desk.send_queued()
    desk.house.move(desk.house.cloud.now + timedelta(hours=2))
    desk.house.cloud.heal()
    desk.send_queued()
    row = desk.messages()["sms"]
    assert row["status"] == "deferred"
    timer = desk.house.timer("message.send", row["id"])
    desk.house.move(timer["due_at"])
    desk.house.fire(AGENT, timer)
    desk.send_queued()
    assert len(desk.sent("twilio", phone)) == 1


def test_nobody_is_reached_without_a_contact_point(desk: Desk) -> None:
    desk.deliver(failed(desk.customer("nophone@example.test", None)))
    assert list(desk.messages()) == ["email"]
    assert desk.deliver(failed(CustomerId.new())).status_code == 204
    assert list(desk.messages()) == ["email"]


def test_another_clinics_message_is_not_sent(desk: Desk) -> None:
    desk.deliver(created(desk.customer("foreign@example.test")))
    [queued] = desk.house.emitted(MessageQueued.type)
    event = MessageQueued.model_validate(queued)
    assert desk.deliver(event, clinic_id=KOLKATA).status_code == 204
    assert desk.sent("sendgrid", "foreign@example.test") == []
    assert desk.messages()["email"]["status"] == "queued"


@pytest.mark.parametrize("path", ["/twilio/status", "/twilio/incoming", "/sendgrid"])
def test_a_forged_webhook_is_refused_and_not_kept(desk: Desk, path: str) -> None:
    forged = {
        "X-Twilio-Signature": "Zm9yZ2Vk",
        "X-Twilio-Email-Event-Webhook-Signature": "Zm9yZ2Vk",
        "X-Twilio-Email-Event-Webhook-Timestamp": "1",
    }
    body = b"MessageSid=SM1&MessageStatus=delivered"
    client = desk.house.client("webhooks")
    for headers in ({}, forged):
        assert client.post(path, data=body, headers=headers).status_code == 401
    assert desk.house.rows("SELECT id FROM platform.webhooks") == []


def test_contact_points_stay_in_postgres(desk: Desk) -> None:
    phone = desk.number("30003")
    desk.deliver(failed(desk.customer("bounce.canary@example.test", phone, hour=23)))
    desk.send_queued()
    desk.advance(seconds=10)
    for table in (
        "platform.outbox",
        "platform.timers",
        "platform.intents",
        "notifications.messages",
    ):
        kept = json.dumps(desk.house.rows(f"SELECT * FROM {table}"), default=str)
        for secret in ("canary", "Canary", "Ada", phone):
            assert secret not in kept


def test_messages_are_listed_in_pages_newest_first(desk: Desk) -> None:
    customer = desk.customer("pages@example.test", desk.number())
    for _ in range(3):
        desk.deliver(failed(customer))
    with transaction(BERLIN, "test", Cause("test")) as work:
        found: list[UUID] = []
        page = queries.of_customer(customer, 4, None, work)
        found += [view.id for view in page.messages]
        assert page.next is not None
        page = queries.of_customer(customer, 4, page.next, work)
        found += [view.id for view in page.messages]
        assert page.next is None
        assert queries.of_customer(CustomerId.new(), 4, None, work).messages == []
    assert len(found) == len(set(found)) == 6


def test_preferences_are_kept_and_changed(desk: Desk) -> None:
    customer = desk.customer()
    first = Preference(topic=Topic.PAYMENTS, channel=Channel.PUSH, wanted=False)
    other = Preference(topic=Topic.NEWS, channel=Channel.EMAIL, wanted=True)
    with transaction(BERLIN, "test", Cause("test")) as work:
        service.set_preferences(customer, SetPreferences(preferences=[first, other]), work)
    changed = first.model_copy(update={"wanted": True})
    with transaction(BERLIN, "test", Cause("test")) as work:
        service.set_preferences(customer, SetPreferences(preferences=[changed]), work)
    with transaction(BERLIN, "test", Cause("test")) as work:
        assert queries.preferences_of(customer, work).preferences == [other, changed]
    with transaction(KOLKATA, "test", Cause("test")) as work:
        assert queries.preferences_of(customer, work).preferences == []
