"""Publishing and its limits, as documented under "Quotas and limits"."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from google.api_core import exceptions
from google.pubsub_v1 import PublisherClient, types

from tests.emulators.conformance.conftest import Target
from tests.emulators.conformance.pubsub_client import Api, api_of, texts


@pytest.fixture
def api(pubsub_target: Target) -> Iterator[Api]:
    with api_of(pubsub_target) as made:
        yield made


def test_a_message_arrives_as_published(api: Api) -> None:
    api.subscribe()
    (message_id,) = api.publish("hello", key="customer-1", kind="greeting")
    (received,) = api.pulled(1)
    assert received.message.message_id == message_id
    assert received.message.data == b"hello"
    assert dict(received.message.attributes) == {"kind": "greeting"}
    assert received.message.ordering_key == "customer-1"


def test_ids_are_in_the_order_of_the_messages(api: Api) -> None:
    api.subscribe()
    ids = api.publish("first", "second", "third")
    assert len(set(ids)) == 3
    found = {each.message.data: each.message.message_id for each in api.pulled(3)}
    assert [found[data] for data in (b"first", b"second", b"third")] == ids


def test_id_and_time_are_the_server_s(api: Api) -> None:
    api.subscribe()
    long_ago = datetime(2001, 1, 1, tzinfo=UTC)
    (message_id,) = api.publish_raw({"data": b"x", "message_id": "mine", "publish_time": long_ago})
    (received,) = api.pulled(1)
    assert message_id == received.message.message_id != "mine"
    assert received.message.publish_time != long_ago


def test_attributes_alone_make_a_message(api: Api) -> None:
    api.subscribe()
    api.publish_raw({"attributes": {"kind": "empty"}})
    (received,) = api.pulled(1)
    assert received.message.data == b""


def test_every_subscription_has_its_own_copy(api: Api) -> None:
    api.subscribe()
    api.subscribe("second")
    api.publish("x")
    api.ack(*api.pulled(1))
    assert texts(api.pulled(1, "second")) == ["x"]


def test_messages_of_before_the_subscription_do_not_come(api: Api) -> None:
    api.make_topic()
    api.publish("early")
    api.subscribe()
    api.publish("late")
    assert texts(api.pulled(1)) == ["late"]
    assert api.pull() == []


def test_publishing_to_an_absent_topic_is_refused(api: Api) -> None:
    with pytest.raises(exceptions.NotFound):
        api.publish("x")


@pytest.mark.parametrize("name", ["orders", ""])
def test_publishing_to_what_is_no_topic_s_name_is_refused(api: Api, name: str) -> None:
    request = types.PublishRequest(topic=name, messages=[{"data": b"x"}])
    with pytest.raises(exceptions.InvalidArgument):
        PublisherClient.publish(api.publisher, request, retry=None, timeout=10)


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{}],
        [{"ordering_key": "alone"}],
        [{"data": b"x"}, {}],
        [{"data": b"x"}] * 1001,
    ],
)
def test_empty_messages_and_too_many_are_refused(api: Api, messages: list[Any]) -> None:
    api.subscribe()
    with pytest.raises(exceptions.InvalidArgument):
        api.publish_raw(*messages)
    assert api.pull() == []


@pytest.mark.parametrize(
    "message",
    [
        {"data": b"x" * (10 << 20)},
        {"attributes": {"": "x"}},
        {"attributes": {"googclient": "x"}},
        {"attributes": {"k" * 257: "x"}},
        {"attributes": {"k": "x" * 1025}},
        {"attributes": {"k": "ä" * 513}},
        {"attributes": {f"k{number}": "x" for number in range(101)}},
        {"data": b"x", "ordering_key": "x" * 1025},
    ],
)
@pytest.mark.differs("knows no limits of size, attributes and ordering keys")
def test_messages_beyond_the_limits_are_refused(api: Api, message: Any) -> None:
    api.subscribe()
    with pytest.raises(exceptions.InvalidArgument):
        api.publish_raw({"data": b"good"}, message)
    assert api.pull() == []


def test_messages_at_the_limits_are_taken(api: Api) -> None:
    api.subscribe()
    attributes = {f"{number:0256d}": "x" * 1024 for number in range(100)}
    api.publish_raw({"data": b"x", "attributes": attributes, "ordering_key": "k" * 1024})
    (received,) = api.pulled(1)
    assert dict(received.message.attributes) == attributes
    assert api.publish_raw({"data": b"x" * 9_000_000})
    assert len(api.publish_raw(*[{"data": b"x"}] * 1000)) == 1000


@pytest.mark.differs("takes messages of several ordering keys in one request")
def test_a_request_has_one_ordering_key(api: Api) -> None:
    api.make_topic()
    with pytest.raises(exceptions.InvalidArgument):
        api.publish_raw({"data": b"x", "ordering_key": "a"}, {"data": b"x", "ordering_key": "b"})


def test_the_client_publishes_in_batches(api: Api) -> None:
    api.subscribe()
    futures = [api.publisher.publish(api.topic, b"%d" % number) for number in range(300)]
    ids = {future.result(timeout=20) for future in futures}
    assert len(ids) == 300
    assert {each.message.message_id for each in api.pulled(300)} == ids


def test_the_client_publishes_in_order_of_a_key(api: Api) -> None:
    api.subscribe(enable_message_ordering=True)
    futures = [
        api.publisher.publish(api.topic, b"%d" % number, ordering_key="a") for number in range(50)
    ]
    for future in futures:
        future.result(timeout=20)
    assert texts(api.pulled(50)) == [str(number) for number in range(50)]
