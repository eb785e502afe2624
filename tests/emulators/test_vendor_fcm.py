"""The fake FCM over its REST API, and with Firebase's admin client pointed at it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import firebase_admin  # type: ignore[import-untyped, unused-ignore]
import google.auth.credentials
import httpx
import pytest
from firebase_admin import (  # type: ignore[import-untyped, unused-ignore]
    credentials,
    exceptions,
    messaging,
)

from emulators.engine import Engine, Ground
from emulators.faults import Fault, FaultKind
from emulators.vendors.fcm import Fcm
from tests.emulators.conftest import Loop

Start = Callable[[Callable[[Ground], Engine]], tuple[Engine, int]]
BEARER = {"Authorization": "Bearer local"}


class LocalCredentials(google.auth.credentials.Credentials):
    """What stands in for a service account's token."""

    def refresh(self, request: Any) -> None:
        self.token = "local"


class LocalCredential(credentials.Base):  # type: ignore[misc, unused-ignore]
    def get_credential(self) -> LocalCredentials:
        return LocalCredentials()  # type: ignore[no-untyped-call, unused-ignore]


@pytest.fixture
def fcm(start_engine: Start) -> tuple[Fcm, str]:
    engine, port = start_engine(Fcm)
    assert isinstance(engine, Fcm)
    return engine, f"http://127.0.0.1:{port}/v1/projects/clinic/messages:send"


@pytest.fixture
def app(fcm: tuple[Fcm, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    url = fcm[1].replace("/clinic/", "/{0}/")
    monkeypatch.setattr(messaging._MessagingService, "FCM_URL", url)
    app = firebase_admin.initialize_app(LocalCredential(), {"projectId": "clinic"}, "fcm-test")
    yield app
    messaging._get_messaging_service(app)._client.close()
    firebase_admin.delete_app(app)


def send(url: str, message: Any, **more: Any) -> httpx.Response:
    return httpx.post(url, json={"message": message} | more, headers=BEARER, timeout=10)


def test_admin_client_sends_to_an_installation(fcm: tuple[Fcm, str], app: Any) -> None:
    message = messaging.Message(
        fid="device-1", notification=messaging.Notification("New message"), data={"id": "7"}
    )
    name = messaging.send(message, app=app)
    assert name.startswith("projects/clinic/messages/")
    (kept,) = fcm[0].inbox.newest()
    assert (kept.to, kept.subject, kept.body["data"], kept.id) == (
        "device-1",
        "New message",
        {"id": "7"},
        name,
    )


@pytest.mark.parametrize(
    ("fid", "error"),
    [
        ("unregistered-1", messaging.UnregisteredError),
        ("invalid-1", exceptions.InvalidArgumentError),
        ("mismatch-1", messaging.SenderIdMismatchError),
    ],
)
def test_admin_client_knows_the_errors_of_magic_devices(
    fcm: tuple[Fcm, str], app: Any, fid: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        messaging.send(messaging.Message(fid=fid), app=app)
    assert len(fcm[0].inbox) == 0


@pytest.mark.parametrize(
    ("token", "status", "word", "code"),
    [
        ("unregistered", 404, "NOT_FOUND", "UNREGISTERED"),
        ("invalid", 400, "INVALID_ARGUMENT", "INVALID_ARGUMENT"),
        ("mismatch", 403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"),
        ("quota", 429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"),
        ("unavailable", 503, "UNAVAILABLE", "UNAVAILABLE"),
        ("internal", 500, "INTERNAL", "INTERNAL"),
    ],
)
def test_magic_token_gets_the_rpc_shape(
    fcm: tuple[Fcm, str], token: str, status: int, word: str, code: str
) -> None:
    answer = send(fcm[1], {"token": f"{token}:APA91"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["status"]) == (status, status, word)
    assert error["details"][0] == {
        "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError",
        "errorCode": code,
    }


def test_registration_token_is_still_a_target(fcm: tuple[Fcm, str]) -> None:
    assert send(fcm[1], {"token": "device-1", "data": {"id": "7"}}).status_code == 200
    assert fcm[0].inbox.newest()[0].to == "device-1"


def test_topic_is_a_target_too(fcm: tuple[Fcm, str]) -> None:
    assert send(fcm[1], {"topic": "clinic-7", "data": {"id": "7"}}).status_code == 200
    assert fcm[0].inbox.newest()[0].to == "clinic-7"


@pytest.mark.parametrize(
    "message",
    [
        {},
        None,
        {"token": "a", "topic": "b"},
        {"token": "a", "fid": "b"},
        {"token": 7},
        {"token": "a", "data": {"n": 7}},
        {"token": "a", "data": {"from": "x"}},
        {"token": "a", "data": {"google.x": "x"}},
        {"token": "a", "notification": "text"},
        {"token": "a", "data": {"text": "x" * 4096}},
        {"topic": "a", "data": {"text": "x" * 2048}},
    ],
)
def test_malformed_message_is_an_invalid_argument(fcm: tuple[Fcm, str], message: Any) -> None:
    answer = send(fcm[1], message)
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert len(fcm[0].inbox) == 0


def test_missing_bearer_is_unauthenticated(fcm: tuple[Fcm, str]) -> None:
    answer = httpx.post(fcm[1], json={"message": {"token": "a"}}, timeout=10)
    assert (answer.status_code, answer.json()["error"]["status"]) == (401, "UNAUTHENTICATED")


def test_validate_only_sends_nothing(fcm: tuple[Fcm, str]) -> None:
    answer = send(fcm[1], {"token": "device-1"}, validateOnly=True)
    assert answer.json() == {"name": "projects/clinic/messages/fake_message_id"}
    assert len(fcm[0].inbox) == 0


def test_lost_answer_leaves_the_message_sent(fcm: tuple[Fcm, str], loop: Loop) -> None:
    loop.ground.faults.add(Fault("fcm", FaultKind.FAIL_AFTER_SUCCESS, count=1))
    with pytest.raises(httpx.TransportError):
        send(fcm[1], {"token": "device-1"})
    assert fcm[0].describe()["accepted"] == 1


def test_new_engine_keeps_the_inbox_and_counts_on(
    make_loop: Callable[[Path | None], Loop], tmp_path: Path
) -> None:
    loop = make_loop(tmp_path / "state")

    async def started() -> tuple[Fcm, str]:
        engine = Fcm(loop.ground)
        return engine, f"http://127.0.0.1:{await engine.start()}/v1/projects/p/messages:send"

    names = set()
    for _ in range(2):
        engine, url = loop.run(started())
        names.add(send(url, {"token": "device-1"}).json()["name"])
        kept = [sent.id for sent in engine.inbox.newest()]
        loop.run(engine.stop())
    assert len(names) == 2
    assert set(kept) == names
