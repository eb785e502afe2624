"""Twilio's port over the fake Twilio."""

from collections.abc import Iterator
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped, unused-ignore]

from shared.domains.notifications.model import MessageStatus
from shared.domains.notifications.ports import OPTED_OUT, OptOut, Report
from shared.events.messages import MessageFailure
from shared.integrations import twilio
from shared.kernel import clock
from shared.kernel.errors import Invalid, Unauthenticated
from shared.kernel.ids import ClinicId, MessageId
from shared.kernel.phi import Phi
from tests.conftest import House
from tests.ports.messages import NOWHERE, Inbound, envelope, fails, fresh

TOKEN = "local-auth-token"
URL = "https://hooks.example.test/twilio/status?clinic=c&message=m"


@pytest.fixture
def sender(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[twilio.Twilio]:
    monkeypatch.setenv("PUBLIC_WEBHOOKS_URL", "http://127.0.0.1:1/webhooks")
    with fresh():
        made = twilio.Twilio()
        yield made
        made.close()
        house.cloud.heal()


def inbound(form: dict[str, str], url: str = URL, token: str = TOKEN) -> Inbound:
    signature = RequestValidator(token).compute_signature(url, form)
    return Inbound(url, {"X-Twilio-Signature": signature}, urlencode(form).encode())


def test_what_was_sent_is_found(sender: twilio.Twilio) -> None:
    message = envelope("+4915900000001")
    assert sender.find(message, clock.now()) is None
    sid = sender.send(message)
    assert sid.startswith("SM")
    assert sender.find(message, clock.now()) == sid


def test_the_same_words_to_the_same_number_are_another_message(sender: twilio.Twilio) -> None:
    first, second = envelope("+4915900000002"), envelope("+4915900000002")
    sender.send(first)
    assert sender.find(second, clock.now()) is None


def test_a_messaging_service_is_another_way_to_send(sender: twilio.Twilio, house: House) -> None:
    backup = twilio.Twilio(twilio.BACKUP, "MG" + "2".zfill(32))
    message = envelope("+4915900000003")
    sid = backup.send(message)
    backup.close()
    assert backup.name == "twilio-backup"
    assert sender.find(message, clock.now()) == sid
    [sent] = [entry for entry in house.cloud.inbox("twilio") if entry["id"] == sid]
    assert sent["body"]["service"] == "MG" + "2".zfill(32)


def test_the_call_back_names_clinic_and_message(sender: twilio.Twilio) -> None:
    message = envelope("+4915900000004")
    query = parse_qs(urlsplit(sender._callback(message)).query)
    assert query == {"clinic": [str(message.clinic_id)], "message": [str(message.message_id)]}


@pytest.mark.parametrize(
    ("ending", "kind"), [("21211", "refused"), ("21614", "refused"), ("20429", "unavailable")]
)
def test_twilios_errors_are_told_apart(sender: twilio.Twilio, ending: str, kind: str) -> None:
    to = f"+49159{ending}"
    error = fails(kind, lambda: sender.send(envelope(to)), secret=to)
    assert ending in error.reason


def test_an_unsubscribed_number_is_said_as_such(sender: twilio.Twilio) -> None:
    assert fails("refused", lambda: sender.send(envelope("+4915921610"))).reason == OPTED_OUT


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("429", "unavailable"), ("error", "unknown"), ("down", "unknown")],
)
def test_faults_are_told_apart(sender: twilio.Twilio, house: House, fault: str, kind: str) -> None:
    house.cloud.fault("twilio", fault, count=1)
    fails(kind, lambda: sender.send(envelope("+4915900000005")))


def test_a_lost_answer_is_unknown_and_found(sender: twilio.Twilio, house: House) -> None:
    message = envelope("+4915900000006")
    house.cloud.fault("twilio", "fail-after-success", count=1)
    fails("unknown", lambda: sender.send(message))
    assert sender.find(message, clock.now()) is not None


def test_nobody_listening_is_unavailable(
    sender: twilio.Twilio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWILIO_URL", NOWHERE)
    with fresh():
        lost = twilio.Twilio()
        fails("unavailable", lambda: lost.send(envelope("+4915900000007")))
        lost.close()


def test_a_genuine_webhook_has_an_id_of_its_own(sender: twilio.Twilio) -> None:
    sent = inbound({"MessageSid": "SM1", "MessageStatus": "sent"})
    delivered = inbound({"MessageSid": "SM1", "MessageStatus": "delivered"})
    assert twilio.verify(sent) == twilio.verify(sent) != twilio.verify(delivered)
    received = inbound({"MessageSid": "SM1", "SmsMessageSid": "SM1", "Body": "hi"})
    assert twilio.verify(received) not in (twilio.verify(sent), twilio.verify(delivered))


def test_a_changed_webhook_is_refused(sender: twilio.Twilio) -> None:
    genuine = inbound({"MessageSid": "SM1", "MessageStatus": "sent"})
    for changed in (
        Inbound(genuine.url, genuine.headers, genuine.body.replace(b"sent", b"read")),
        Inbound(genuine.url.replace("=m", "=n"), genuine.headers, genuine.body),
        Inbound(genuine.url, {}, genuine.body),
        inbound({"MessageSid": "SM1", "MessageStatus": "sent"}, token="another"),
    ):
        with pytest.raises(Unauthenticated):
            twilio.verify(changed)


def test_a_webhook_about_nothing_is_invalid(sender: twilio.Twilio) -> None:
    with pytest.raises(Invalid):
        twilio.verify(inbound({"MessageStatus": "sent"}))
    with pytest.raises(Invalid):
        twilio.verify(Inbound(URL, {}, b"\xff"))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("queued", MessageStatus.ACCEPTED),
        ("sent", MessageStatus.ACCEPTED),
        ("delivered", MessageStatus.DELIVERED),
        ("undelivered", MessageStatus.FAILED),
        ("failed", MessageStatus.FAILED),
        ("canceled", MessageStatus.FAILED),
    ],
)
def test_a_status_is_read_with_the_message_from_the_address(
    status: str, expected: MessageStatus
) -> None:
    clinic, message = ClinicId.new(), MessageId.new()
    url = f"https://h.example.test/twilio/status?clinic={clinic}&message={message}"
    kept = twilio.kept(inbound({"MessageSid": "SM1", "MessageStatus": status}, url))
    failure = MessageFailure.UNDELIVERED if expected is MessageStatus.FAILED else None
    assert list(twilio.read(kept)) == [Report(clinic, message, expected, "twilio", "SM1", failure)]


@pytest.mark.parametrize(
    "form",
    [
        {"MessageSid": "SM1", "MessageStatus": "sent"},
        {"MessageSid": "SM1", "MessageStatus": "sent", "clinic": "x", "message": "y"},
        {"MessageSid": "SM1", "MessageStatus": "sunk", "clinic": str(ClinicId.new())},
        {"MessageSid": "SM1", "From": "+49159", "Body": "Please STOP by tomorrow"},
    ],
)
def test_what_concerns_no_message_says_nothing(form: dict[str, str]) -> None:
    assert list(twilio.read(urlencode(form).encode())) == []


@pytest.mark.parametrize(
    ("word", "stopped"),
    [("STOP", True), (" stop\n", True), ("Unsubscribe", True), ("start", False), ("YES", False)],
)
def test_stop_and_start_are_read(word: str, stopped: bool) -> None:
    form = {"MessageSid": "SM1", "SmsMessageSid": "SM1", "From": "+4915912345", "Body": word}
    assert list(twilio.read(urlencode(form).encode())) == [OptOut(Phi("+4915912345"), stopped)]
