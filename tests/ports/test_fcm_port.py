"""FCM's port over the fake FCM."""

from collections.abc import Iterator

import pytest

from shared.integrations.fcm import Fcm
from shared.kernel import clock
from tests.conftest import House
from tests.ports.messages import NOWHERE, envelope, fails, fresh


@pytest.fixture
def sender(house: House) -> Iterator[Fcm]:
    with fresh():
        made = Fcm()
        yield made
        made.close()
        house.cloud.heal()


def test_a_push_shows_once_however_often_it_is_sent(sender: Fcm, house: House) -> None:
    message = envelope("device-canary-1")
    names = {sender.send(message), sender.send(message)}
    shown = [entry["body"] for entry in house.cloud.inbox("fcm") if entry["id"] in names]
    tag = str(message.message_id)
    assert len(shown) == 2
    for push in shown:
        assert push["android"]["notification"]["tag"] == tag
        assert push["apns"]["headers"]["apns-collapse-id"] == tag
        assert push["webpush"]["notification"]["tag"] == tag
        assert push["notification"] == {"title": "News", "body": message.text}


def test_fcm_cannot_be_asked(sender: Fcm) -> None:
    message = envelope("device-canary-2")
    sender.send(message)
    assert sender.find(message, clock.now()) is None


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        ("unregistered-canary", "refused"),
        ("invalid-canary", "refused"),
        ("mismatch-canary", "refused"),
        ("quota-canary", "unavailable"),
        ("unavailable-canary", "unknown"),
        ("internal-canary", "unknown"),
    ],
)
def test_fcms_errors_are_told_apart(sender: Fcm, token: str, kind: str) -> None:
    fails(kind, lambda: sender.send(envelope(token)))


def test_a_dropped_connection_is_unknown(sender: Fcm, house: House) -> None:
    house.cloud.fault("fcm", "down", count=1)
    fails("unknown", lambda: sender.send(envelope("device-canary-3")))


def test_nobody_listening_is_unavailable(sender: Fcm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FCM_URL", NOWHERE)
    with fresh():
        lost = Fcm()
        fails("unavailable", lambda: lost.send(envelope("device-canary-4")))
        lost.close()
