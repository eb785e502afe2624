"""Faults of calls, as Google's clients and plain HTTP meet them."""

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from google.api_core.exceptions import (
    AlreadyExists,
    ResourceExhausted,
    ServiceUnavailable,
)
from google.api_core.retry import Retry, if_exception_type
from google.cloud import firestore
from google.cloud.pubsub_v1 import SubscriberClient

from emulators.cloud import CloudError, Options
from emulators.faults import CALLS, NoSuchFault, possible
from emulators.running import RunningCloud, running
from tests.emulators.firestore_client import client_of
from tests.emulators.pubsub_cloud import clients

NEVER = Retry(predicate=lambda _: False)
ONCE_AVAILABLE = Retry(predicate=if_exception_type(ServiceUnavailable))
PARTS = frozenset({"pubsub", "firestore", "tasks", "identity", "twilio"})
TOPIC = "projects/shop/topics/orders"
SUBSCRIPTION = "projects/shop/subscriptions/orders"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    options = Options(
        tmp_path_factory.mktemp("cloud"), product=False, throwaway=True, in_memory=True
    )
    with running(options, PARTS) as cloud:
        yield cloud


@pytest.fixture
def cloud(started: RunningCloud) -> Iterator[RunningCloud]:
    yield started
    started.heal()


@pytest.fixture
def pubsub(cloud: RunningCloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Any]]:
    port = int(cloud.env["PUBSUB_EMULATOR_HOST"].rpartition(":")[2])
    with clients(port, monkeypatch) as (publisher, subscriber):
        publisher.create_topic(name=TOPIC)
        subscriber.create_subscription(name=SUBSCRIPTION, topic=TOPIC)
        yield publisher, subscriber
        cloud.heal()
        subscriber.delete_subscription(subscription=SUBSCRIPTION)
        publisher.delete_topic(topic=TOPIC)


@pytest.fixture
def store(cloud: RunningCloud) -> Iterator[Any]:
    with client_of(cloud.env["FIRESTORE_EMULATOR_HOST"]) as client:
        yield client
        cloud.heal()


@pytest.fixture
def identity(cloud: RunningCloud) -> str:
    address = cloud.env["FIREBASE_AUTH_EMULATOR_HOST"]
    return f"http://{address}/identitytoolkit.googleapis.com/v1/accounts:signUp?key=any"


def in_background(work: Any) -> "queue.Queue[Any]":
    """Run `work` in a thread; its result or exception comes through the queue."""
    results: queue.Queue[Any] = queue.Queue()

    def run() -> None:
        try:
            results.put(work())
        except Exception as error:  # noqa: BLE001 -- handed over
            results.put(error)

    threading.Thread(target=run, daemon=True).start()
    return results


# One answer


@pytest.mark.parametrize(
    ("kind", "error"),
    [("down", ServiceUnavailable), ("error", ServiceUnavailable), ("429", ResourceExhausted)],
)
def test_a_refused_call_has_changed_nothing(
    cloud: RunningCloud, pubsub: Any, kind: str, error: type[Exception]
) -> None:
    publisher, _ = pubsub
    with cloud.fault("pubsub", kind), pytest.raises(error):
        publisher.create_topic(name=f"{TOPIC}-{kind}", retry=None)
    publisher.create_topic(name=f"{TOPIC}-{kind}", retry=None)


@pytest.mark.parametrize("kind", ["fail-after-success", "drop-connection"])
def test_a_lost_answer_leaves_the_change_behind(
    cloud: RunningCloud, pubsub: Any, kind: str
) -> None:
    publisher, _ = pubsub
    with cloud.fault("pubsub", kind), pytest.raises(ServiceUnavailable):
        publisher.create_topic(name=f"{TOPIC}-{kind}", retry=None)
    with pytest.raises(AlreadyExists):
        publisher.create_topic(name=f"{TOPIC}-{kind}", retry=None)


def test_a_hanging_call_goes_on_when_its_fault_ends(cloud: RunningCloud, pubsub: Any) -> None:
    publisher, _ = pubsub
    with cloud.fault("pubsub", "hang"):
        answer = in_background(lambda: publisher.get_topic(topic=TOPIC, retry=None))
        with pytest.raises(queue.Empty):
            answer.get(timeout=0.3)
    assert answer.get(timeout=10).name == TOPIC


def test_a_hanging_call_goes_on_when_virtual_time_ends_its_fault(
    cloud: RunningCloud, pubsub: Any
) -> None:
    publisher, _ = pubsub
    cloud.fault("pubsub", "hang", minutes=10)
    answer = in_background(lambda: publisher.get_topic(topic=TOPIC, retry=None))
    with pytest.raises(queue.Empty):
        answer.get(timeout=0.3)
    cloud.advance(minutes=11)
    assert answer.get(timeout=10).name == TOPIC


def test_ending_another_fault_lets_no_call_go(cloud: RunningCloud, pubsub: Any) -> None:
    publisher, _ = pubsub
    with cloud.fault("pubsub", "hang"):
        answer = in_background(lambda: publisher.get_topic(topic=TOPIC, retry=None))
        cloud.fault("twilio", "down").end()
        with pytest.raises(queue.Empty):
            answer.get(timeout=0.3)
    assert answer.get(timeout=10).name == TOPIC


def test_a_slow_call_is_answered_late_but_well(cloud: RunningCloud, pubsub: Any) -> None:
    publisher, _ = pubsub
    with cloud.fault("pubsub", "slow", late=0.3):
        began = time.monotonic()
        assert publisher.get_topic(topic=TOPIC).name == TOPIC
        assert time.monotonic() - began >= 0.3


def test_a_path_limits_a_fault_to_some_calls(cloud: RunningCloud, pubsub: Any) -> None:
    publisher, _ = pubsub
    with cloud.fault("pubsub", "down", path="Publisher/Publish"):
        assert publisher.get_topic(topic=TOPIC, retry=None).name == TOPIC
        with pytest.raises(ServiceUnavailable):
            publisher.publish(TOPIC, b"x", retry=None).result(10)


def test_the_same_share_strikes_the_same_calls_whatever_else_happens(
    cloud: RunningCloud, identity: str
) -> None:
    def struck(*, disturbed: bool) -> list[int]:
        statuses = []
        with cloud.fault("identity", "error", share=0.4):
            for number in range(30):
                if disturbed and number % 3 == 0:
                    httpx.get(cloud.env["TWILIO_URL"])
                statuses.append(httpx.post(identity, json={}).status_code)
        return statuses

    with cloud.fault("twilio", "error", share=0.5):
        first = struck(disturbed=True)
    assert struck(disturbed=False) == first
    assert set(first) == {200, 500}


# HTTP


def test_googles_rest_apis_word_their_refusals(cloud: RunningCloud, identity: str) -> None:
    for kind, code, status in (("429", 429, "RESOURCE_EXHAUSTED"), ("error", 500, "INTERNAL")):
        with cloud.fault("identity", kind):
            answer = httpx.post(identity, json={})
        assert answer.status_code == code
        assert (answer.json()["error"]["code"], answer.json()["error"]["status"]) == (code, status)


@pytest.mark.parametrize("kind", ["down", "fail-after-success"])
def test_a_connection_ends_without_an_answer(cloud: RunningCloud, identity: str, kind: str) -> None:
    with cloud.fault("identity", kind), pytest.raises(httpx.TransportError):
        httpx.post(identity, json={})


def test_a_dropped_connection_breaks_off_in_the_midst_of_the_answer(
    cloud: RunningCloud, identity: str
) -> None:
    received = b""
    with cloud.fault("identity", "drop-connection"):  # noqa: SIM117 -- the order matters
        with httpx.stream("POST", identity, json={}) as answer:
            assert answer.status_code == 200
            with pytest.raises(httpx.RemoteProtocolError):  # noqa: PT012 -- what came before counts
                for piece in answer.iter_raw():
                    received += piece
    assert 0 < len(received) < int(answer.headers["Content-Length"])


def test_a_hanging_request_takes_effect_though_its_client_has_given_up(
    cloud: RunningCloud,
) -> None:
    path = f"/2010-04-01/Accounts/{cloud.env['TWILIO_ACCOUNT_SID']}/Messages.json"
    account = (cloud.env["TWILIO_ACCOUNT_SID"], cloud.env["TWILIO_AUTH_TOKEN"])
    form = {"To": "+4917012345678", "From": cloud.env["TWILIO_NUMBER"], "Body": "in the end"}
    with cloud.fault("twilio", "hang"), pytest.raises(httpx.ReadTimeout):
        httpx.post(cloud.env["TWILIO_URL"] + path, data=form, auth=account, timeout=0.3)
    deadline = time.monotonic() + 10
    while not cloud.inbox("twilio"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert "in the end" in str(cloud.inbox("twilio"))


# Streams


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("down", ServiceUnavailable),
        ("429", ResourceExhausted),
        ("fail-after-success", ServiceUnavailable),
    ],
)
def test_a_query_meets_a_fault(
    cloud: RunningCloud, store: Any, kind: str, error: type[Exception]
) -> None:
    store.document("orders/1").set({"n": 1})
    with cloud.fault("firestore", kind, path="RunQuery"), pytest.raises(error):
        list(store.collection("orders").stream(retry=NEVER))
    assert len(list(store.collection("orders").stream())) == 1


def test_a_query_breaks_off_in_its_midst(cloud: RunningCloud, store: Any) -> None:
    for number in range(3):
        store.document(f"orders/{number}").set({"n": number})
    found = store.collection("orders").stream(retry=NEVER)
    with cloud.fault("firestore", "drop-connection", path="RunQuery"):
        assert next(found).id == "0"
        with pytest.raises(ServiceUnavailable):
            next(found)


def test_a_query_whose_connection_dropped_once_goes_on_where_it_was(
    cloud: RunningCloud, store: Any
) -> None:
    for number in range(3):
        store.document(f"orders/{number}").set({"n": number})
    cloud.fault("firestore", "drop-connection", count=1, path="RunQuery")
    found = store.collection("orders").stream(retry=ONCE_AVAILABLE)
    assert [document.id for document in found] == ["0", "1", "2"]


@pytest.mark.parametrize("kind", ["down", "drop-connection"])
def test_an_open_listener_is_cut_and_comes_back(cloud: RunningCloud, store: Any, kind: str) -> None:
    changes: queue.Queue[int] = queue.Queue()
    watch = store.document("orders/1").on_snapshot(
        lambda found, _, __: changes.put(found[0].to_dict()["n"] if found else 0)
    )
    try:
        assert changes.get(timeout=10) == 0
        cloud.fault("firestore", kind, count=1, path="Listen")
        cloud.settle()
        assert cloud.faults.in_force() == [], "it was struck"
        store.document("orders/1").set({"n": 1})
        assert changes.get(timeout=20) == 1
    finally:
        watch.unsubscribe()


class Pull:
    """A bare StreamingPull."""

    def __init__(self, subscriber: SubscriberClient) -> None:
        self._end = threading.Event()
        self.responses = subscriber.transport.streaming_pull(self._requests())

    def _requests(self) -> Iterator[Any]:
        from google.pubsub_v1.types import StreamingPullRequest

        yield StreamingPullRequest(subscription=SUBSCRIPTION, stream_ack_deadline_seconds=60)
        self._end.wait(30)

    def next(self) -> Any:
        return next(self.responses)

    def close(self) -> None:
        self._end.set()
        self.responses.cancel()


@pytest.fixture
def pull(pubsub: Any) -> Iterator[Pull]:
    """One that has brought a message."""
    pull = Pull(pubsub[1])
    pubsub[0].publish(TOPIC, b"first").result(10)
    assert pull.next().received_messages[0].message.data == b"first"
    yield pull
    pull.close()


@pytest.mark.parametrize("kind", ["down", "drop-connection"])
def test_an_open_pull_is_cut(cloud: RunningCloud, pull: Pull, kind: str) -> None:
    with cloud.fault("pubsub", kind), pytest.raises(grpc.RpcError) as caught:
        pull.next()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_pull_that_hangs_brings_nothing_until_the_fault_ends(
    cloud: RunningCloud, pubsub: Any, pull: Pull
) -> None:
    with cloud.fault("pubsub", "hang", path="StreamingPull"):
        pubsub[0].publish(TOPIC, b"late").result(10)
        answer = in_background(pull.next)
        with pytest.raises(queue.Empty):
            answer.get(timeout=0.3)
    assert answer.get(timeout=10).received_messages[0].message.data == b"late"


def test_too_many_pulls_are_refused(cloud: RunningCloud, pubsub: Any) -> None:
    with cloud.fault("pubsub", "429"):
        pull = Pull(pubsub[1])
        with pytest.raises(grpc.RpcError) as caught:
            pull.next()
        pull.close()
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_subscriber_lives_through_dropped_connections(cloud: RunningCloud, pubsub: Any) -> None:
    publisher, subscriber = pubsub
    received: queue.Queue[bytes] = queue.Queue()

    def take(message: Any) -> None:
        message.ack()
        received.put(message.data)

    cloud.fault("pubsub", "drop-connection", count=2, path="StreamingPull")
    future = subscriber.subscribe(SUBSCRIPTION, take)
    publisher.publish(TOPIC, b"order").result(10)
    assert received.get(timeout=30) == b"order"
    future.cancel()
    future.result(10)


# What there is


def test_every_target_says_what_it_can_act_out() -> None:
    assert set(CALLS) < set(possible("pubsub"))
    assert "duplicate" in possible("tasks")
    assert "duplicate" not in possible("firestore")
    assert "delay" in possible("firestore")
    assert set(possible("twilio-webhooks")) == {"down", "duplicate", "reorder", "delay"}


def test_what_a_target_cannot_act_out_is_refused(cloud: RunningCloud) -> None:
    with pytest.raises(NoSuchFault, match="no kind of fault of firestore; there is down"):
        cloud.fault("firestore", "duplicate")
    with pytest.raises(NoSuchFault, match="spanner has no faults here; there is pubsub"):
        cloud.heal("spanner")
    with pytest.raises(NoSuchFault, match="postgres has no faults here"):
        cloud.fault("postgres", "down")


@pytest.mark.parametrize("limits", [{"share": 2}, {"share": 0}, {"count": 0}, {"minutes": -1}])
def test_limits_outside_the_possible_are_refused(
    cloud: RunningCloud, limits: dict[str, float]
) -> None:
    with pytest.raises(NoSuchFault):
        cloud.fault("pubsub", "down", **limits)
    assert cloud.faults.in_force() == []


def test_firestore_is_late_when_it_is_delayed(cloud: RunningCloud, store: firestore.Client) -> None:
    with cloud.fault("firestore", "delay", late=0.3):
        began = time.monotonic()
        store.document("orders/1").get()
        assert time.monotonic() - began >= 0.3


def test_a_shared_fault_of_the_whole_database_is_refused(cloud: RunningCloud) -> None:
    cloud.start("postgres")
    with pytest.raises(CloudError, match="whole server"):
        cloud.fault("postgres", "down", share=0.5)
