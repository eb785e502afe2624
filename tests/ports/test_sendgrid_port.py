"""SendGrid's port over the fake SendGrid."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from shared.domains.notifications.model import MessageStatus
from shared.domains.notifications.ports import Report
from shared.events.messages import MessageFailure
from shared.integrations import sendgrid
from shared.kernel import clock
from shared.kernel.errors import Invalid, Unauthenticated
from shared.kernel.ids import ClinicId, MessageId
from tests.conftest import House
from tests.ports.messages import NOWHERE, Inbound, envelope, fails, fresh

TO = "canary@example.test"
KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def sender(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[sendgrid.SendGrid]:
    der = KEY.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    monkeypatch.setenv("SENDGRID_VERIFICATION_KEY", base64.b64encode(der).decode())
    with fresh():
        yield sendgrid.SendGrid()
        house.cloud.heal()


def inbound(body: bytes) -> Inbound:
    signature = base64.b64encode(KEY.sign(b"17" + body, ec.ECDSA(hashes.SHA256()))).decode()
    headers = {
        "X-Twilio-Email-Event-Webhook-Signature": signature,
        "X-Twilio-Email-Event-Webhook-Timestamp": "17",
    }
    return Inbound("https://hooks.example.test/sendgrid", headers, body)


def test_what_was_sent_is_found(sender: sendgrid.SendGrid) -> None:
    message = envelope(TO)
    message_id = sender.send(message)
    found = sender.find(message, clock.now())
    assert found is not None
    assert found.startswith(message_id)


def test_nobody_is_tracked_and_only_ids_go_along(sender: sendgrid.SendGrid, house: House) -> None:
    message = envelope(TO)
    sent_id = sender.send(message)
    [sent] = [e for e in house.cloud.inbox("sendgrid") if e["id"].startswith(sent_id)]
    assert sent["body"]["custom_args"] == {
        "clinic": str(message.clinic_id),
        "message": str(message.message_id),
    }
    assert sent["body"]["from"] == {"email": house.cloud.env["SENDGRID_FROM"]}


def test_absence_from_the_feed_is_an_answer_only_after_its_lag(sender: sendgrid.SendGrid) -> None:
    fails("unknown", lambda: sender.find(envelope(TO), clock.now()))
    assert sender.find(envelope(TO), clock.now() - timedelta(seconds=61)) is None


def test_another_mail_to_the_same_address_is_not_found(sender: sendgrid.SendGrid) -> None:
    message = envelope(TO)
    sender.send(message)
    assert (
        sender.find(
            replace(message, message_id=MessageId.new()), clock.now() - timedelta(seconds=61)
        )
        is None
    )


@pytest.mark.parametrize(
    ("fault", "kind"), [("429", "unavailable"), ("error", "unknown"), ("down", "unknown")]
)
def test_faults_are_told_apart(
    sender: sendgrid.SendGrid, house: House, fault: str, kind: str
) -> None:
    house.cloud.fault("sendgrid", fault, count=1)
    fails(kind, lambda: sender.send(envelope(TO)))


def test_a_bad_address_is_refused_without_being_said(sender: sendgrid.SendGrid) -> None:
    fails("refused", lambda: sender.send(envelope("canary-without-at")))


def test_nobody_listening_is_unavailable(
    sender: sendgrid.SendGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENDGRID_URL", NOWHERE)
    with fresh():
        fails("unavailable", lambda: sendgrid.SendGrid().send(envelope(TO)))


def test_a_genuine_batch_is_known_by_its_body(sender: sendgrid.SendGrid) -> None:
    first, second = inbound(b'[{"event":"open"}]\r\n'), inbound(b"[]\r\n")
    assert sendgrid.verify(first) == sendgrid.verify(first) != sendgrid.verify(second)


def test_a_changed_batch_is_refused(sender: sendgrid.SendGrid) -> None:
    genuine = inbound(b"[]\r\n")
    for changed in (
        Inbound(genuine.url, genuine.headers, b"[]"),
        Inbound(genuine.url, {}, genuine.body),
        Inbound(genuine.url, genuine.headers, b"\xff"),
        Inbound(
            genuine.url,
            genuine.headers | {"X-Twilio-Email-Event-Webhook-Timestamp": "18"},
            genuine.body,
        ),
        Inbound(
            genuine.url,
            genuine.headers | {"X-Twilio-Email-Event-Webhook-Signature": "?"},
            genuine.body,
        ),
    ):
        with pytest.raises(Unauthenticated):
            sendgrid.verify(changed)


@pytest.mark.parametrize(
    ("event", "status", "failure", "complains"),
    [
        ({"event": "processed"}, MessageStatus.ACCEPTED, None, False),
        ({"event": "deferred"}, MessageStatus.ACCEPTED, None, False),
        ({"event": "delivered"}, MessageStatus.DELIVERED, None, False),
        (
            {"event": "bounce", "type": "bounce"},
            MessageStatus.FAILED,
            MessageFailure.BOUNCED,
            False,
        ),
        (
            {"event": "bounce", "type": "blocked"},
            MessageStatus.FAILED,
            MessageFailure.BLOCKED,
            False,
        ),
        ({"event": "dropped"}, MessageStatus.FAILED, MessageFailure.BLOCKED, False),
        ({"event": "spamreport"}, MessageStatus.DELIVERED, None, True),
    ],
)
def test_an_event_is_read(
    event: dict[str, str], status: MessageStatus, failure: MessageFailure | None, complains: bool
) -> None:
    clinic, message = ClinicId.new(), MessageId.new()
    about = {"clinic": str(clinic), "message": str(message), "sg_message_id": "m1"}
    assert list(sendgrid.read(json.dumps([event | about]).encode())) == [
        Report(clinic, message, status, "sendgrid", "m1", failure, complains)
    ]


@pytest.mark.parametrize(
    "batch",
    [
        [],
        {},
        [{"event": "delivered"}],
        [{"event": "open", "clinic": str(ClinicId.new()), "message": str(MessageId.new())}],
        [{"event": "delivered", "clinic": 7, "message": None}],
        ["delivered", None],
    ],
)
def test_what_concerns_no_message_says_nothing(batch: Any) -> None:
    assert list(sendgrid.read(json.dumps(batch).encode())) == []


def test_a_batch_that_is_no_json_is_invalid() -> None:
    with pytest.raises(Invalid):
        list(sendgrid.read(b"[{"))
