"""Push subscriptions: what the endpoint gets, and what its answers mean."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core import exceptions

from tests.emulators.conformance.conftest import Target
from tests.emulators.conformance.pubsub_client import Api, Endpoint, api_of, endpoint, texts


@pytest.fixture
def api(pubsub_target: Target) -> Iterator[Api]:
    with api_of(pubsub_target) as made:
        yield made


@pytest.fixture
def receiver() -> Iterator[Endpoint]:
    with endpoint() as made:
        yield made


def push_to(receiver: Endpoint, **fields: Any) -> dict[str, Any]:
    return {"push_endpoint": receiver.url, **fields}


def test_a_push_wraps_the_message(api: Api, receiver: Endpoint) -> None:
    api.subscribe(push_config=push_to(receiver))
    (message_id,) = api.publish("hello", kind="greeting")
    api.target.until(lambda: receiver.pushes)
    body = receiver.pushes[0].json()
    message = body["message"]
    assert body["subscription"] == api.subscription
    assert base64.b64decode(message["data"]) == b"hello"
    assert message["attributes"] == {"kind": "greeting"}
    assert message["messageId"] == message["message_id"] == message_id
    assert message["publishTime"] == message["publish_time"]
    assert message["publishTime"].endswith("Z")
    assert receiver.pushes[0].headers["content-type"].startswith("application/json")


@pytest.mark.differs("leaves the ordering key out")
def test_a_push_tells_the_ordering_key(api: Api, receiver: Endpoint) -> None:
    api.subscribe(push_config=push_to(receiver), enable_message_ordering=True)
    api.publish("hello", key="a")
    api.target.until(lambda: receiver.pushes)
    assert receiver.pushes[0].json()["message"]["orderingKey"] == "a"


@pytest.mark.parametrize(
    "status",
    [200, 201, pytest.param(202, marks=pytest.mark.differs("takes 202 for a failure")), 204],
)
def test_success_acknowledges(api: Api, receiver: Endpoint, status: int) -> None:
    receiver.answer = lambda _: status
    api.subscribe(push_config=push_to(receiver))
    api.publish("x")
    api.target.until(lambda: receiver.pushes)
    api.target.pass_time(2)
    assert receiver.texts() == ["x"]


@pytest.mark.parametrize("status", [301, 400, 404, 429, 500, 503])
def test_anything_else_is_pushed_again(api: Api, receiver: Endpoint, status: int) -> None:
    receiver.answer = lambda number: status if number == 1 else 204
    api.subscribe(push_config=push_to(receiver))
    api.publish("x")
    api.target.until(lambda: receiver.pushes)
    api.target.pass_time(1)
    api.target.until(lambda: receiver.texts() == ["x", "x"])


def test_an_unreachable_endpoint_is_tried_again(api: Api, receiver: Endpoint) -> None:
    api.subscribe(push_config={"push_endpoint": "http://127.0.0.1:9/push"})
    api.publish("x")
    api.target.pass_time(0.5)
    api.subscriber.modify_push_config(subscription=api.subscription, push_config=push_to(receiver))
    api.target.pass_time(1)
    api.target.until(lambda: receiver.texts() == ["x"])


@pytest.mark.differs("pushes again without a backoff")
def test_a_retry_policy_holds_for_pushes(api: Api, receiver: Endpoint) -> None:
    receiver.answer = lambda _: 500
    policy = {"minimum_backoff": {"seconds": 60}, "maximum_backoff": {"seconds": 60}}
    api.subscribe(push_config=push_to(receiver), retry_policy=policy)
    api.publish("x")
    api.target.until(lambda: receiver.pushes)
    api.target.pass_time(2.5)
    assert receiver.texts() == ["x"]


def test_a_pull_subscription_pushes_its_backlog_once_it_is_push(
    api: Api, receiver: Endpoint
) -> None:
    api.subscribe()
    api.publish(*[str(number) for number in range(30)])
    api.subscriber.modify_push_config(subscription=api.subscription, push_config=push_to(receiver))
    api.target.until(lambda: len(receiver.pushes) >= 30)
    assert sorted(receiver.texts(), key=int) == [str(number) for number in range(30)]


def test_a_push_subscription_can_be_pulled_once_it_is_pull(api: Api, receiver: Endpoint) -> None:
    receiver.answer = lambda _: 500
    api.subscribe(push_config=push_to(receiver))
    api.publish("x")
    api.target.until(lambda: receiver.pushes)
    api.update("push_config")
    api.target.pass_time(1)
    assert texts(api.pulled(1)) == ["x"]


def test_messages_of_a_key_are_pushed_in_order(api: Api, receiver: Endpoint) -> None:
    api.subscribe(push_config=push_to(receiver), enable_message_ordering=True)
    for number in range(30):
        api.publish(str(number), key="a")
    api.target.until(lambda: len(receiver.pushes) >= 30)
    assert receiver.texts() == [str(number) for number in range(30)]


@pytest.mark.differs("tells no delivery attempts to endpoints")
def test_delivery_attempts_are_told_with_a_dead_letter_policy(api: Api, receiver: Endpoint) -> None:
    dead = api.make_topic("dead").name
    receiver.answer = lambda number: 500 if number == 1 else 204
    api.subscribe(push_config=push_to(receiver), dead_letter_policy={"dead_letter_topic": dead})
    api.publish("x")
    api.target.until(lambda: receiver.pushes)
    api.target.pass_time(2)
    api.target.until(lambda: len(receiver.pushes) == 2)
    assert [push.json().get("deliveryAttempt") for push in receiver.pushes] == [1, 2]


def test_without_one_they_are_not(api: Api, receiver: Endpoint) -> None:
    api.subscribe(push_config=push_to(receiver))
    api.publish("x")
    api.target.until(lambda: receiver.pushes)
    assert "deliveryAttempt" not in receiver.pushes[0].json()


def test_an_unwrapped_push_is_the_data(api: Api, receiver: Endpoint) -> None:
    api.subscribe(push_config=push_to(receiver, no_wrapper={}))
    api.publish("plain", kind="greeting")
    api.target.until(lambda: receiver.pushes)
    (push,) = receiver.pushes
    assert push.body == b"plain"
    assert "kind" not in push.headers
    assert not [name for name in push.headers if name.startswith("x-goog-pubsub-")]


@pytest.mark.differs("writes no metadata to headers")
def test_metadata_are_written_to_headers(api: Api, receiver: Endpoint) -> None:
    dead = api.make_topic("dead").name
    api.subscribe(
        push_config=push_to(receiver, no_wrapper={"write_metadata": True}),
        enable_message_ordering=True,
        dead_letter_policy={"dead_letter_topic": dead},
    )
    attributes = {"kind": "greeting", "not a header": "x"}
    (message_id,) = api.publish_raw(
        {"data": b"plain", "attributes": attributes, "ordering_key": "a"}
    )
    api.target.until(lambda: receiver.pushes)
    headers = receiver.pushes[0].headers
    assert headers["kind"] == "greeting"
    assert headers["x-goog-pubsub-subscription-name"] == api.subscription
    assert headers["x-goog-pubsub-message-id"] == message_id
    assert headers["x-goog-pubsub-publish-time"].endswith("Z")
    assert headers["x-goog-pubsub-ordering-key"] == "a"
    assert headers["x-goog-pubsub-delivery-attempt"] == "1"
    assert "not a header" not in headers


@pytest.mark.differs("sends no token")
def test_a_push_carries_the_token_that_was_asked_for(api: Api, receiver: Endpoint) -> None:
    token = {"service_account_email": "push@test.iam.gserviceaccount.com"}
    api.subscribe(push_config=push_to(receiver, oidc_token=token))
    api.publish("x")
    api.target.until(lambda: receiver.pushes)
    assert receiver.pushes[0].headers["authorization"].startswith("Bearer ")


@pytest.mark.differs("does not fill in the version of the format")
def test_the_version_of_the_format_is_answered(api: Api, receiver: Endpoint) -> None:
    created = api.subscribe(push_config=push_to(receiver))
    assert dict(created.push_config.attributes) == {"x-goog-version": "v1"}


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "no url"])
def test_an_endpoint_has_an_http_address(api: Api, url: str) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        api.subscribe(push_config={"push_endpoint": url})
