"""Ordering keys, as documented under "Order messages"."""

from collections.abc import Iterator

import pytest

from tests.emulators.conformance.conftest import Target
from tests.emulators.conformance.pubsub_client import Api, api_of, texts


@pytest.fixture
def api(pubsub_target: Target) -> Iterator[Api]:
    with api_of(pubsub_target) as made:
        yield made


def test_messages_of_a_key_come_in_order(api: Api) -> None:
    api.subscribe(enable_message_ordering=True)
    for number in range(20):
        api.publish(str(number), key="a")
    assert texts(api.pulled(20)) == [str(number) for number in range(20)]


def test_a_key_with_messages_out_waits_for_them(api: Api) -> None:
    api.subscribe(enable_message_ordering=True)
    api.publish("a1", "a2", "a3", key="a")
    batch = api.pulled(1)
    assert texts(batch) == ["a1"]
    assert api.pull() == []
    api.ack(*batch)
    assert texts(api.pulled(2)) == ["a2", "a3"]


def test_keys_do_not_wait_for_one_another(api: Api) -> None:
    api.subscribe(enable_message_ordering=True)
    api.publish("a1", key="a")
    (first,) = api.pulled(1)
    api.publish("b1", key="b")
    assert texts(api.pulled(1)) == ["b1"]
    api.ack(first)


def test_messages_without_a_key_wait_for_none(api: Api) -> None:
    api.subscribe(enable_message_ordering=True)
    api.publish("x")
    api.pulled(1)
    api.publish("y")
    assert texts(api.pulled(1)) == ["y"]


@pytest.mark.differs(
    "redelivers no message of a key before its followers are acknowledged", hangs=True
)
def test_a_redelivery_brings_the_followers_again(api: Api) -> None:
    api.subscribe(enable_message_ordering=True)
    api.publish("a1", "a2", "a3", key="a")
    first, *_ = api.pulled(3)
    api.deadline(0, first)
    assert texts(api.pulled(3)) == ["a1", "a2", "a3"]


@pytest.mark.differs("does not bring acknowledged followers again", hangs=True)
def test_a_redelivery_brings_acknowledged_followers_again(api: Api) -> None:
    api.subscribe(enable_message_ordering=True)
    api.publish("a1", "a2", "a3", key="a")
    first, second, third = api.pulled(3)
    api.ack(second)
    api.ack(third)
    api.deadline(0, first)
    assert texts(api.pulled(3)) == ["a1", "a2", "a3"]


def test_an_expired_deadline_brings_a_key_again_in_order(api: Api) -> None:
    api.subscribe(enable_message_ordering=True)
    api.publish("a1", "a2", key="a")
    api.deadline(1, *api.pulled(2))
    api.target.pass_time(2)
    assert texts(api.pulled(2)) == ["a1", "a2"]


def test_a_subscription_without_ordering_does_not_wait(api: Api) -> None:
    api.subscribe()
    api.publish("a1", key="a")
    (first,) = api.pulled(1)
    api.publish("a2", key="a")
    assert texts(api.pulled(1)) == ["a2"]
    assert first.message.ordering_key == "a"
