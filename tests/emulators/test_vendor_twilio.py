"""The fake Twilio against Twilio's own client and its own check of webhooks."""

import json
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from twilio.base.exceptions import TwilioRestException  # type: ignore[import-untyped, unused-ignore]
from twilio.http.http_client import TwilioHttpClient  # type: ignore[import-untyped, unused-ignore]
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped, unused-ignore]
from twilio.rest import Client  # type: ignore[import-untyped, unused-ignore]
from twilio.rest.api.v2010.account.message import MessageInstance  # type: ignore[import-untyped, unused-ignore]

from emulators.faults import Fault, FaultKind
from emulators.vendors.twilio import Twilio
from tests.emulators.conftest import Loop
from tests.emulators.receiver import Posted, Receiver

FROM, TO = "+15005550006", "+4915112345678"


@dataclass
class Line:
    """A Twilio account: the fake, the official client on it, and who gets its webhooks."""

    loop: Loop
    engine: Twilio
    port: int
    client: Client
    receiver: Receiver
    address: str

    def send(self, to: str = TO, body: str = "Please call us.", **more: str) -> MessageInstance:
        given = {"from_": FROM, "status_callback": f"{self.address}/twilio/status"} | more
        return self.client.messages.create(to=to, body=body, **given)

    def write_in(self, body: str, sender: str = TO) -> None:
        text = json.dumps({"from": sender, "to": FROM, "body": body}).encode()
        url = f"http://127.0.0.1:{self.port}/_local/incoming"
        with urllib.request.urlopen(urllib.request.Request(url, text), timeout=10) as answer:
            assert answer.status == 201
        self.loop.settle()

    def statuses(self) -> list[str]:
        forms = [posted.form for posted in self.receiver.posted]
        return [form["MessageStatus"] for form in forms if "MessageStatus" in form]


def client_of(loop: Loop, port: int, token: str = "") -> Iterator[Client]:
    settings = loop.ground.settings
    http = TwilioHttpClient(timeout=10)
    client = Client(
        settings["twilio_account_sid"], token or settings["twilio_auth_token"], http_client=http
    )
    client.api.base_url = f"http://127.0.0.1:{port}"
    yield client
    http.session.close()


async def made(loop: Loop) -> Twilio:
    return Twilio(loop.ground)  # its journal belongs to the loop's thread


def line_on(loop: Loop) -> Iterator[Line]:
    engine, receiver = loop.run(made(loop)), Receiver(loop.ground)
    port, receiving = loop.run(engine.start()), loop.run(receiver.start())
    address = f"http://127.0.0.1:{receiving}/webhooks"
    loop.ground.settings["webhooks"] = address
    for client in client_of(loop, port):
        yield Line(loop, engine, port, client, receiver, address)
    loop.run(engine.stop())
    loop.run(receiver.stop())


@pytest.fixture
def line(loop: Loop) -> Iterator[Line]:
    loop.ground.clock.freeze()
    yield from line_on(loop)


def signed(posted: Posted, token: str) -> bool:
    return bool(
        RequestValidator(token).validate(
            posted.url, posted.form, posted.headers["X-Twilio-Signature"]
        )
    )


def test_message_lives_from_queued_to_delivered(line: Line) -> None:
    message = line.send()
    assert (message.status, message.date_sent) == ("queued", None)
    line.loop.advance(seconds=1)
    assert message.fetch().status == "sent"
    line.loop.advance(seconds=2)
    fetched = line.client.messages(str(message.sid)).fetch()
    assert (fetched.status, fetched.error_code, fetched.body) == (
        "delivered",
        None,
        "Please call us.",
    )
    assert fetched.date_sent is not None


def test_status_call_backs_follow_every_change_and_are_signed(line: Line) -> None:
    message = line.send()
    line.loop.advance(seconds=5)
    assert line.statuses() == ["sending", "sent", "delivered"]
    token = line.loop.ground.settings["twilio_auth_token"]
    assert all(signed(posted, token) for posted in line.receiver.posted)
    assert not signed(line.receiver.posted[0], "another token")
    assert {posted.form["MessageSid"] for posted in line.receiver.posted} == {message.sid}


def test_signature_covers_the_query_of_the_call_back_url(line: Line) -> None:
    line.send(status_callback=f"{line.address}/twilio/status?intent=a1&clinic=7")
    line.loop.advance(seconds=5)
    token = line.loop.ground.settings["twilio_auth_token"]
    assert line.receiver.posted[0].url.endswith("?intent=a1&clinic=7")
    assert signed(line.receiver.posted[0], token)


def test_message_of_a_service_starts_accepted_and_is_then_queued(line: Line) -> None:
    message = line.client.messages.create(
        to=TO,
        body="Hello",
        messaging_service_sid="MG" + "2" * 32,
        status_callback=f"{line.address}/twilio/status",
    )
    assert (message.status, message.from_) == ("accepted", FROM)
    line.loop.advance(seconds=5)
    assert line.statuses() == ["queued", "sending", "sent", "delivered"]
    assert line.receiver.posted[0].form["MessagingServiceSid"] == "MG" + "2" * 32


@pytest.mark.parametrize("code", [30003, 30005, 30007])
def test_number_ending_in_a_delivery_error_is_undelivered_after_sent(line: Line, code: int) -> None:
    message = line.send(to=f"+491511{code}")
    line.loop.advance(seconds=5)
    fetched = message.fetch()
    assert (fetched.status, fetched.error_code) == ("undelivered", code)
    assert line.statuses() == ["sending", "sent", "undelivered"]
    assert line.receiver.posted[-1].form["ErrorCode"] == str(code)


def test_number_ending_in_30001_fails_before_it_is_sent(line: Line) -> None:
    message = line.send(to="+49151130001")
    line.loop.advance(seconds=5)
    fetched = message.fetch()
    assert (fetched.status, fetched.error_code, fetched.date_sent) == ("failed", 30001, None)


def test_slow_number_is_delivered_ten_minutes_late(line: Line) -> None:
    message = line.send(to="+49151190600")
    line.loop.advance(seconds=590)
    assert message.fetch().status == "sent"
    line.loop.advance(seconds=10)
    assert message.fetch().status == "delivered"


@pytest.mark.parametrize(
    ("to", "status", "code"),
    [
        ("12345", 400, 21211),
        ("+49151121211", 400, 21211),
        ("+49151121614", 400, 21614),
        ("+49151121610", 400, 21610),
        ("+49151120429", 429, 20429),
        (FROM, 400, 21266),
    ],
)
def test_refused_recipient_gets_the_documented_code(
    line: Line, to: str, status: int, code: int
) -> None:
    with pytest.raises(TwilioRestException) as caught:
        line.send(to=to)
    assert (caught.value.status, caught.value.code) == (status, code)
    assert line.client.messages.list() == []


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"body": ""}, 21602),
        ({"body": "x" * 1601}, 21617),
        ({"from_": ""}, 21603),
        ({"from_": "??"}, 21212),
        ({"status_callback": "ftp://there"}, 21609),
        ({"to": ""}, 21604),
    ],
)
def test_malformed_request_gets_the_documented_code(
    line: Line, given: dict[str, str], code: int
) -> None:
    with pytest.raises(TwilioRestException) as caught:
        line.send(**given)
    assert (caught.value.status, caught.value.code) == (400, code)


def test_wrong_token_is_refused(line: Line) -> None:
    for client in client_of(line.loop, line.port, token="wrong"):
        with pytest.raises(TwilioRestException) as caught:
            client.messages.create(to=TO, from_=FROM, body="Hello")
        assert (caught.value.status, caught.value.code) == (401, 20003)


def test_unknown_message_is_not_found(line: Line) -> None:
    with pytest.raises(TwilioRestException) as caught:
        line.client.messages("SM" + "0" * 32).fetch()
    assert (caught.value.status, caught.value.code) == (404, 20404)


def test_list_pages_through_all_messages_newest_first(line: Line) -> None:
    sent = [line.send(body=f"Message {number}").sid for number in range(7)]
    assert [message.sid for message in line.client.messages.list(page_size=3)] == sent[::-1]


def test_list_goes_back_to_the_page_before(line: Line) -> None:
    for number in range(5):
        line.send(body=f"Message {number}")
    first = line.client.messages.page(page_size=2)
    second = first.next_page()
    assert second is not None
    again = second.previous_page()
    assert again is not None
    assert [message.body for message in again] == ["Message 4", "Message 3"]


def test_list_filters_by_number_and_date_sent(line: Line) -> None:
    now = line.loop.ground.clock.now
    line.send(body="early")
    line.loop.advance(hours=1)
    noon = now()
    line.send(body="late")
    line.send(to="+4915100000000", body="to another")
    line.loop.advance(minutes=1)
    listed = line.client.messages.list
    assert [m.body for m in listed(to=TO, date_sent_after=noon)] == ["late"]
    assert [m.body for m in listed(date_sent_before=noon - timedelta(minutes=1))] == ["early"]
    assert [m.body for m in listed(from_=FROM, to="+4915100000000")] == ["to another"]
    assert listed(from_="+15005550009") == []


def test_just_accepted_message_is_found_by_the_list(line: Line) -> None:
    before = line.loop.ground.clock.now()
    message = line.send()
    assert [m.sid for m in line.client.messages.list(to=TO, date_sent_after=before)] == [
        message.sid
    ]


def test_stop_blocks_and_start_unblocks(line: Line) -> None:
    line.write_in(" Stop ")
    with pytest.raises(TwilioRestException) as caught:
        line.send()
    assert caught.value.code == 21610
    line.send(to="+4915100000000")
    line.write_in("START")
    assert line.send().status == "queued"


def test_incoming_message_comes_as_a_signed_webhook(line: Line) -> None:
    line.write_in("I will be late")
    (posted,) = line.receiver.posted
    assert posted.url == f"{line.address}/twilio/incoming"
    assert signed(posted, line.loop.ground.settings["twilio_auth_token"])
    form = posted.form
    assert (form["From"], form["To"], form["Body"]) == (TO, FROM, "I will be late")
    assert form["SmsMessageSid"] == form["MessageSid"]
    assert line.client.messages(form["MessageSid"]).fetch().direction == "inbound"


def test_failed_call_back_is_tried_again(line: Line) -> None:
    line.receiver.answers = [500]
    line.send()
    line.loop.advance(minutes=2)
    assert line.statuses() == ["sending", "sent", "delivered", "sending"]


def test_duplicate_fault_posts_call_backs_twice(line: Line) -> None:
    line.loop.ground.faults.add(Fault("twilio-webhooks", FaultKind.DUPLICATE))
    line.send()
    line.loop.advance(seconds=5)
    assert sorted(line.statuses()) == sorted(["sending", "sent", "delivered"] * 2)


def test_reorder_fault_lets_a_later_status_overtake(line: Line) -> None:
    line.loop.ground.faults.add(Fault("twilio-webhooks", FaultKind.REORDER, count=1))
    line.send()
    line.loop.advance(minutes=1)
    assert line.statuses() != ["sending", "sent", "delivered"]
    assert sorted(line.statuses()) == ["delivered", "sending", "sent"]


def test_message_whose_answer_was_lost_is_found_by_recipient(line: Line) -> None:
    line.loop.ground.faults.add(Fault("twilio", FaultKind.FAIL_AFTER_SUCCESS, count=1))
    with pytest.raises(OSError, match="Connection"):
        line.send()
    (found,) = line.client.messages.list(to=TO)
    assert found.body == "Please call us."


def test_empty_body_redacts_and_delete_removes(line: Line) -> None:
    message = line.send()
    line.loop.advance(seconds=5)
    assert message.update(body="").body == ""
    assert message.delete()
    assert line.client.messages.list() == []


@pytest.mark.parametrize(
    ("body", "segments"),
    [("a" * 160, "1"), ("a" * 161, "2"), ("a€" * 60, "2"), ("ж" * 70, "1"), ("ж" * 71, "2")],
)
def test_segments_are_counted_by_alphabet(line: Line, body: str, segments: str) -> None:
    assert line.send(body=body).num_segments == segments


def test_inbox_keeps_what_was_sent(line: Line) -> None:
    message = line.send()
    (kept,) = line.engine.inbox.newest()
    assert (kept.kind, kept.to, kept.body["body"], kept.id) == (
        "sms",
        TO,
        "Please call us.",
        message.sid,
    )
    assert line.engine.describe()["statuses"] == {"queued": 1}


def test_new_engine_takes_up_from_the_journal(
    make_loop: Callable[[Path | None], Loop], tmp_path: Path
) -> None:
    loop = make_loop(tmp_path / "state")
    loop.ground.clock.freeze()
    lines = line_on(loop)
    first = next(lines)
    first.write_in("STOP", sender="+4915100000000")
    message = first.send()
    loop.run(first.engine.stop())
    engine = loop.run(made(loop))
    for client in client_of(loop, loop.run(engine.start())):
        loop.advance(seconds=5)
        assert client.messages(str(message.sid)).fetch().status == "delivered"
        with pytest.raises(TwilioRestException, match="unsubscribed"):
            client.messages.create(to="+4915100000000", from_=FROM, body="Hello")
    assert first.statuses() == ["sending", "sent", "delivered"]
    loop.run(engine.stop())
    list(lines)
