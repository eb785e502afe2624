"""The fake SendGrid against its own client and its own check of signed events."""

import json
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sendgrid  # type: ignore[import-untyped, unused-ignore]
from python_http_client.exceptions import (  # type: ignore[import-untyped, unused-ignore]
    BadRequestsError,
    UnauthorizedError,
)
from sendgrid.helpers.eventwebhook import (  # type: ignore[import-untyped, unused-ignore]
    EventWebhook,
    EventWebhookHeader,
)
from sendgrid.helpers.mail import (  # type: ignore[import-untyped, unused-ignore]
    Category,
    CustomArg,
    Mail,
    MailSettings,
    SandBoxMode,
)

from emulators.faults import Fault, FaultKind
from emulators.vendors.sendgrid import SendGrid
from tests.emulators.conftest import Loop
from tests.emulators.receiver import Posted, Receiver

FROM, TO = "clinic@example.org", "patient@example.org"


@dataclass
class Post:
    """A SendGrid account: the fake, the official client on it, and who gets its events."""

    loop: Loop
    engine: SendGrid
    port: int
    receiver: Receiver

    def client(self, key: str = "SG.local") -> Any:
        return sendgrid.SendGridAPIClient(key, host=f"http://127.0.0.1:{self.port}")

    def send(self, to: str = TO, **arguments: str) -> str:
        mail = Mail(FROM, to, "Your contract", "It starts tomorrow.")
        for key, value in arguments.items():
            mail.add_custom_arg(CustomArg(key, value))
        answer = self.client().send(mail)
        assert (answer.status_code, answer.body) == (202, b"")
        return str(answer.headers["X-Message-Id"])

    def search(self, query: str) -> list[dict[str, Any]]:
        answer = self.client().client.messages.get(query_params={"query": query, "limit": 10})
        found: list[dict[str, Any]] = json.loads(answer.body)["messages"]
        return found

    def events(self) -> list[dict[str, Any]]:
        return [event for posted in self.receiver.posted for event in json.loads(posted.body)]

    def happened(self) -> list[str]:
        return [event["event"] for event in self.events()]


async def made(loop: Loop) -> SendGrid:
    return SendGrid(loop.ground)  # its journal belongs to the loop's thread


def post_on(loop: Loop) -> Iterator[Post]:
    loop.ground.clock.freeze()
    engine, receiver = loop.run(made(loop)), Receiver(loop.ground)
    port, receiving = loop.run(engine.start()), loop.run(receiver.start())
    loop.ground.settings["webhooks"] = f"http://127.0.0.1:{receiving}/webhooks"
    yield Post(loop, engine, port, receiver)
    loop.run(engine.stop())
    loop.run(receiver.stop())


@pytest.fixture
def post(loop: Loop) -> Iterator[Post]:
    yield from post_on(loop)


def verified(posted: Posted, key: str, body: str = "") -> bool:
    return bool(
        EventWebhook(key).verify_signature(
            body or posted.body,
            posted.headers[EventWebhookHeader.SIGNATURE],
            posted.headers[EventWebhookHeader.TIMESTAMP],
        )
    )


def problems(post: Post, mail: Any) -> list[dict[str, Any]]:
    with pytest.raises(BadRequestsError) as caught:
        post.client().send(mail)
    found: list[dict[str, Any]] = caught.value.to_dict["errors"]
    return found


def test_mail_is_processed_then_delivered(post: Post) -> None:
    message_id = post.send()
    post.loop.advance(seconds=5)
    assert post.happened() == ["processed", "delivered"]
    assert all(event["email"] == TO for event in post.events())
    assert all(event["sg_message_id"].startswith(message_id + ".") for event in post.events())
    assert len({event["sg_event_id"] for event in post.events()}) == 2


def test_custom_arguments_and_categories_come_back_flat_in_events(post: Post) -> None:
    mail = Mail(FROM, TO, "Your contract", "It starts tomorrow.")
    mail.add_custom_arg(CustomArg("intent", "i-1"))
    mail.add_category(Category("contract"))
    post.client().send(mail)
    post.loop.advance(seconds=5)
    assert [event["intent"] for event in post.events()] == ["i-1", "i-1"]
    assert [event["category"] for event in post.events()] == [["contract"], ["contract"]]


def test_custom_arguments_cannot_pose_as_event_fields(post: Post) -> None:
    post.send(event="delivered", email="other@example.org")
    post.loop.advance(seconds=5)
    assert post.happened() == ["processed", "delivered"]
    assert {event["email"] for event in post.events()} == {TO}


def test_events_are_signed_over_the_raw_body(post: Post) -> None:
    post.send()
    post.loop.advance(seconds=5)
    key = post.loop.ground.settings["sendgrid_verification_key"]
    for posted in post.receiver.posted:
        assert posted.url.endswith("/webhooks/sendgrid")
        assert verified(posted, key)
        assert not verified(posted, key, body=json.dumps(json.loads(posted.body)))


def test_verification_key_is_shown_and_is_the_engines(post: Post) -> None:
    url = f"http://127.0.0.1:{post.port}/_local/verification-key"
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read().decode() == post.engine.verification_key
    settings = post.client().client.user.webhooks.event.settings.signed.get()
    assert json.loads(settings.body) == {"public_key": post.engine.verification_key}


def test_events_of_several_mails_share_a_batch(post: Post) -> None:
    for number in range(3):
        post.send(to=f"patient{number}@example.org")
    post.loop.advance(seconds=10)
    assert len(post.events()) == 6
    assert len(post.receiver.posted) == 2


def test_every_recipient_gets_events_of_their_own(post: Post) -> None:
    mail = Mail(FROM, [TO, "bounce@example.org"], "Your contract", "It starts tomorrow.")
    mail.add_cc("cc@example.org")
    post.client().send(mail)
    post.loop.advance(seconds=5)
    last = {event["email"]: event["event"] for event in post.events()}
    assert last == {TO: "delivered", "bounce@example.org": "bounce", "cc@example.org": "delivered"}


def test_bounce_comes_after_acceptance_and_drops_later_mail(post: Post) -> None:
    post.send(to="bounce.x@example.org")
    post.loop.advance(seconds=5)
    assert post.happened() == ["processed", "bounce"]
    assert (post.events()[1]["type"], post.events()[1]["status"]) == ("bounce", "5.1.1")
    post.send(to="Bounce.X@example.org")
    post.loop.advance(seconds=5)
    assert post.events()[-1]["event"] == "dropped"
    assert post.events()[-1]["reason"] == "Bounced Address"


def test_removed_bounce_is_tried_again(post: Post) -> None:
    post.send(to="bounce@example.org")
    post.loop.advance(seconds=5)
    bounces = post.client().client.suppression.bounces
    assert [entry["email"] for entry in json.loads(bounces.get().body)] == ["bounce@example.org"]
    assert bounces._("bounce@example.org").delete().status_code == 204
    post.send(to="bounce@example.org")
    post.loop.advance(seconds=5)
    assert post.happened() == ["processed", "bounce"] * 2


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("drop.me@example.org", ["dropped"]),
        ("block@example.org", ["processed", "bounce"]),
        ("defer@example.org", ["processed", "deferred", "delivered"]),
        ("spam@example.org", ["processed", "delivered", "spamreport"]),
    ],
)
def test_local_part_decides_the_outcome(post: Post, to: str, expected: list[str]) -> None:
    post.send(to=to)
    post.loop.advance(hours=2)
    assert post.happened() == expected


def test_mail_with_send_at_waits_for_it(post: Post) -> None:
    mail = Mail(FROM, TO, "Your contract", "It starts tomorrow.").get()
    mail["send_at"] = int(post.loop.ground.clock.time()) + 3600
    post.client().send(mail)
    post.loop.advance(minutes=59)
    assert post.happened() == []
    post.loop.advance(minutes=2)
    assert post.happened() == ["processed", "delivered"]


def test_wrong_key_is_refused(post: Post) -> None:
    with pytest.raises(UnauthorizedError) as caught:
        post.client("SG.another").send(Mail(FROM, TO, "Subject", "Text"))
    assert caught.value.to_dict["errors"][0]["message"].startswith("The provided authorization")
    assert len(post.engine.inbox) == 0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"from": None}, "from.email"),
        ({"from": {"email": "nobody"}}, "from.email"),
        ({"personalizations": []}, "personalizations"),
        ({"personalizations": [{}]}, "personalizations.0.to"),
        ({"personalizations": [{"to": 7}]}, "personalizations.0.to"),
        ({"personalizations": [{"to": [{"email": "x"}]}]}, "personalizations.0.to.0.email"),
        (
            {"personalizations": [{"to": [{"email": TO}], "cc": [{"email": TO}]}]},
            "personalizations.0",
        ),
        ({"subject": ""}, "subject"),
        ({"content": []}, "content"),
        ({"content": 7}, "content"),
        ({"content": [{"type": "text/plain", "value": ""}]}, "content.0.value"),
        ({"content": [{"value": "x"}]}, "content.0.type"),
        ({"custom_args": {"intent": 7}}, "custom_args"),
        ({"custom_args": {"intent": "x" * 10_001}}, "custom_args"),
        ({"send_at": 99_999_999_999}, "send_at"),
    ],
)
def test_invalid_mail_is_refused_with_its_field(
    post: Post, change: dict[str, Any], field: str
) -> None:
    mail = Mail(FROM, TO, "Your contract", "It starts tomorrow.").get() | change
    (problem,) = problems(post, mail)
    assert problem["field"] == field
    assert set(problem) == {"message", "field", "help"}
    assert len(post.engine.inbox) == 0


def test_template_needs_neither_subject_nor_content(post: Post) -> None:
    mail = {
        "from": {"email": FROM},
        "personalizations": [{"to": [{"email": TO}], "dynamic_template_data": {"name": "A"}}],
        "template_id": "d-1",
    }
    assert post.client().send(mail).status_code == 202
    assert post.engine.inbox.newest()[0].body["dynamic_template_data"] == {"name": "A"}


def test_sandbox_mode_checks_and_sends_nothing(post: Post) -> None:
    mail = Mail(FROM, TO, "Your contract", "It starts tomorrow.")
    mail.mail_settings = MailSettings(sandbox_mode=SandBoxMode(enable=True))
    assert post.client().send(mail).status_code == 200
    assert len(post.engine.inbox) == 0


def test_lost_answer_is_cleared_up_by_the_intent(post: Post) -> None:
    post.loop.ground.faults.add(Fault("sendgrid", FaultKind.FAIL_AFTER_SUCCESS, count=1))
    with pytest.raises(ConnectionError):
        post.send(intent="i-7")
    (found,) = post.search("unique_args['intent']=\"i-7\"")
    assert (found["to_email"], found["status"]) == (TO, "processed")
    assert post.search("unique_args['intent']=\"i-8\"") == []


def test_activity_feed_follows_the_status(post: Post) -> None:
    message_id = post.send(intent="i-1")
    post.send(to="bounce@example.org")
    post.loop.advance(seconds=5)
    (found,) = post.search(f'msg_id LIKE "{message_id}%" AND status="delivered"')
    assert (found["to_email"], found["subject"]) == (TO, "Your contract")
    (bounced,) = post.search('status="not_delivered"')
    details = json.loads(post.client().client.messages._(bounced["msg_id"]).get().body)
    assert [event["event_name"] for event in details["events"]] == ["processed", "bounce"]


@pytest.mark.parametrize("query", ["", "intent", 'unknown="x"', 'unique_args="x"'])
def test_query_that_makes_no_sense_is_refused(post: Post, query: str) -> None:
    with pytest.raises(BadRequestsError):
        post.search(query)


def test_refused_event_batch_comes_again_with_the_same_signature(post: Post) -> None:
    post.receiver.answers = [503]
    post.send()
    post.loop.advance(minutes=5)
    first, *_, last = post.receiver.posted
    assert first == last
    assert sorted(set(post.happened())) == ["delivered", "processed"]


def test_duplicate_fault_posts_a_batch_twice(post: Post) -> None:
    post.loop.ground.faults.add(Fault("sendgrid-webhooks", FaultKind.DUPLICATE, count=1))
    post.send()
    post.loop.advance(seconds=5)
    assert post.happened() == ["processed", "processed", "delivered"]


def test_new_engine_takes_up_from_the_journal(
    make_loop: Callable[[Path | None], Loop], tmp_path: Path
) -> None:
    loop = make_loop(tmp_path / "state")
    posts = post_on(loop)
    post = next(posts)
    key = post.engine.verification_key
    post.send(to="bounce@example.org")
    loop.advance(seconds=4)
    post.send(intent="i-1")
    loop.advance(seconds=1)  # processed, its event not posted yet
    loop.run(post.engine.stop())
    assert len(post.events()) == 2
    post.engine = loop.run(made(loop))
    post.port = loop.run(post.engine.start())
    loop.advance(seconds=5)
    assert [e["event"] for e in post.events() if e.get("intent")] == ["processed", "delivered"]
    assert all(verified(posted, key) for posted in post.receiver.posted)
    assert post.engine.describe()["suppressed"] == ["bounce@example.org"]
    assert post.engine.inbox.newest()[0].to == TO
    loop.run(post.engine.stop())
    list(posts)
