"""What providers report and recipients wish, from their webhooks to the messages."""

import pytest

from shared.events.messages import TwilioWebhookReceived
from tests.conftest import KOLKATA
from tests.functions.notification_desk import Desk, created, failed


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
