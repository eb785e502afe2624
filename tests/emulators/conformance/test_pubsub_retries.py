"""Redelivery with backoff, and dead-letter topics."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.emulators.conformance.conftest import Target
from tests.emulators.conformance.pubsub_client import Api, Received, api_of, texts


@pytest.fixture
def api(pubsub_target: Target) -> Iterator[Api]:
    with api_of(pubsub_target) as made:
        yield made


def backoff(least: int, most: int) -> dict[str, Any]:
    return {"minimum_backoff": {"seconds": least}, "maximum_backoff": {"seconds": most}}


def dead_lettering(api: Api, **settings: Any) -> None:
    """Subscribe with a dead-letter topic to which there is a subscription, too."""
    dead = api.make_topic("dead").name
    api.subscribe("dead", dead)
    api.subscribe(
        dead_letter_policy={"dead_letter_topic": dead, "max_delivery_attempts": 5}, **settings
    )


def fail(api: Api, times: int) -> list[Received]:
    """Nack the next message so many times."""
    failed = []
    for _ in range(times):
        (message,) = api.pulled(1)
        api.deadline(0, message)
        failed.append(message)
    return failed


@pytest.mark.differs("redelivers without a backoff")
def test_a_nacked_message_waits_for_its_backoff(api: Api) -> None:
    api.subscribe(retry_policy=backoff(2, 60))
    api.publish("x")
    fail(api, 1)
    assert api.pull() == []
    api.target.pass_time(3)
    assert texts(api.pulled(1)) == ["x"]


@pytest.mark.differs("redelivers without a backoff")
def test_an_expired_deadline_is_a_failure_too(api: Api) -> None:
    api.subscribe(retry_policy=backoff(3, 60))
    api.publish("x")
    api.deadline(1, *api.pulled(1))
    api.target.pass_time(1.5)
    assert api.pull() == []
    api.target.pass_time(4)
    assert texts(api.pulled(1)) == ["x"]


@pytest.mark.differs("redelivers without a backoff")
def test_a_backoff_does_not_hold_up_other_messages(api: Api) -> None:
    api.subscribe(retry_policy=backoff(60, 60))
    api.publish("failing")
    fail(api, 1)
    api.publish("fine")
    assert texts(api.pulled(1)) == ["fine"]


def test_delivery_attempts_are_counted(api: Api) -> None:
    dead_lettering(api)
    api.publish("poison")
    assert [each.delivery_attempt for each in fail(api, 5)] == [1, 2, 3, 4, 5]


def test_after_the_last_attempt_a_message_goes_to_the_dead_letter_topic(api: Api) -> None:
    dead_lettering(api)
    (message_id,) = api.publish("poison", kind="x")
    fail(api, 5)
    assert api.pull() == []
    (dead,) = api.pulled(1, "dead")
    attributes = dict(dead.message.attributes)
    assert dead.message.data == b"poison"
    assert dead.message.message_id != message_id
    assert attributes.pop("CloudPubSubDeadLetterSourceTopicPublishTime")
    assert attributes == {
        "kind": "x",
        "CloudPubSubDeadLetterSourceDeliveryCount": "5",
        "CloudPubSubDeadLetterSourceSubscription": "billing",
        "CloudPubSubDeadLetterSourceSubscriptionProject": api.project.partition("/")[2],
    }


@pytest.mark.differs("ends the pull with UNKNOWN when it should dead-letter an ordered message")
def test_a_dead_lettered_message_keeps_its_ordering_key(api: Api) -> None:
    dead_lettering(api, enable_message_ordering=True)
    api.publish("poison", key="a")
    fail(api, 5)
    assert api.pull() == []
    (dead,) = api.pulled(1, "dead")
    assert dead.message.ordering_key == "a"


def test_a_subscription_outlives_its_dead_letter_topic(api: Api) -> None:
    dead_lettering(api)
    api.publisher.delete_topic(topic=api.name("topics", "dead"))
    assert api.update("ack_deadline_seconds", ack_deadline_seconds=20).ack_deadline_seconds == 20
    api.publish("x")
    assert texts(api.pulled(1)) == ["x"]


def test_the_dead_letter_policy_can_be_removed(api: Api) -> None:
    dead_lettering(api)
    assert not api.update("dead_letter_policy").dead_letter_policy
    api.publish("x")
    fail(api, 6)
    (message,) = api.pulled(1)
    assert message.delivery_attempt == 0
