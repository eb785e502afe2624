"""Notifications through the agent's triggers, with the fakes of the real providers behind it."""

import json
from datetime import timedelta
from uuid import UUID

import pytest

from shared.domains.notifications import preferences, queries
from shared.domains.notifications.commands import Preference, SetPreferences
from shared.domains.notifications.model import Topic
from shared.events.customers import CustomerField, CustomerUpdated
from shared.events.messages import Channel, MessageQueued
from shared.kernel.ids import CustomerId, EventId
from shared.platform.unit_of_work import Cause, transaction
from tests.conftest import BERLIN, KOLKATA
from tests.functions.notification_desk import AGENT, EMAIL, Desk, created, failed


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
    desk.advance(seconds=1)
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
    desk.advance(seconds=1)
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
        preferences.choose(customer, SetPreferences(preferences=[first, other]), work)
    changed = first.model_copy(update={"wanted": True})
    with transaction(BERLIN, "test", Cause("test")) as work:
        preferences.choose(customer, SetPreferences(preferences=[changed]), work)
    with transaction(BERLIN, "test", Cause("test")) as work:
        assert queries.preferences_of(customer, work).preferences == [other, changed]
    with transaction(KOLKATA, "test", Cause("test")) as work:
        assert queries.preferences_of(customer, work).preferences == []
