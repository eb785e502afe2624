"""Pull and streaming pull through the official subscriber client."""

import queue

import pytest
from google.api_core import exceptions
from google.cloud.pubsub_v1.subscriber.message import Message
from google.pubsub_v1 import types

from emulators.faults import Fault, FaultKind
from tests.emulators.pubsub_cloud import (
    PROJECT,
    SUBSCRIPTION,
    Cloud,
    backoff,
)

DEAD_TOPIC = f"{PROJECT}/topics/dead-letters"
DEAD = f"{PROJECT}/subscriptions/dead-letters"


def ack(cloud: Cloud, *messages: types.ReceivedMessage) -> None:
    ack_ids = [message.ack_id for message in messages]
    cloud.subscriber.acknowledge(subscription=SUBSCRIPTION, ack_ids=ack_ids)


def deadline(cloud: Cloud, seconds: int, *messages: types.ReceivedMessage) -> None:
    cloud.subscriber.modify_ack_deadline(
        subscription=SUBSCRIPTION,
        ack_ids=[message.ack_id for message in messages],
        ack_deadline_seconds=seconds,
    )


def texts(messages: list[types.ReceivedMessage]) -> list[str]:
    return [each.message.data.decode() for each in messages]


def test_acknowledged_message_does_not_come_again(cloud: Cloud) -> None:
    cloud.loop.ground.clock.freeze()
    cloud.subscribe()
    cloud.publish()
    ack(cloud, *cloud.pull())
    cloud.loop.advance(minutes=1)
    assert cloud.pull() == []
    assert cloud.backlog() == 0


def test_unacknowledged_message_comes_again_after_its_deadline(cloud: Cloud) -> None:
    cloud.loop.ground.clock.freeze()
    cloud.subscribe(ack_deadline_seconds=20)
    cloud.publish()
    (first,) = cloud.pull()
    cloud.loop.advance(seconds=19)
    assert cloud.pull() == []
    cloud.loop.advance(seconds=2)
    (second,) = cloud.pull()
    assert second.message.message_id == first.message.message_id
    assert second.ack_id != first.ack_id


def test_extended_deadline_keeps_the_message_away(cloud: Cloud) -> None:
    cloud.loop.ground.clock.freeze()
    cloud.subscribe()
    cloud.publish()
    messages = cloud.pull()
    cloud.loop.advance(seconds=9)
    deadline(cloud, 60, *messages)
    cloud.loop.advance(seconds=50)
    assert cloud.pull() == []
    ack(cloud, *messages)
    assert cloud.backlog() == 0


def test_retry_policy_delays_a_nacked_message(cloud: Cloud) -> None:
    cloud.loop.ground.clock.freeze()
    cloud.subscribe(retry_policy=backoff(30, 600))
    cloud.publish()
    deadline(cloud, 0, *cloud.pull())
    cloud.loop.advance(seconds=29)
    assert cloud.pull() == []
    cloud.loop.advance(seconds=1)
    assert len(cloud.pull()) == 1


def test_message_pulled_too_often_is_dead_lettered(cloud: Cloud) -> None:
    cloud.publisher.create_topic(name=DEAD_TOPIC)
    cloud.subscribe(DEAD, DEAD_TOPIC)
    cloud.subscribe(dead_letter_policy=types.DeadLetterPolicy(dead_letter_topic=DEAD_TOPIC))
    cloud.publish("poison")
    attempts = []
    for _ in range(5):
        (message,) = cloud.pull()
        attempts.append(message.delivery_attempt)
        deadline(cloud, 0, message)
    assert attempts == [1, 2, 3, 4, 5]
    assert cloud.backlog() == 0
    assert texts(cloud.pull(DEAD)) == ["poison"]


def test_redelivery_brings_the_followers_again_even_if_acknowledged(cloud: Cloud) -> None:
    cloud.subscribe(enable_message_ordering=True)
    for data in ("a1", "a2", "a3"):
        cloud.publish(data, key="a")
    first, second, _third = cloud.pull()
    ack(cloud, second)
    deadline(cloud, 0, first)
    assert texts(cloud.pull()) == ["a1", "a2", "a3"]


def test_streaming_pull_delivers_and_acknowledges(cloud: Cloud) -> None:
    cloud.subscribe()
    arrived: queue.Queue[str] = queue.Queue()

    def handle(message: Message) -> None:
        arrived.put(message.data.decode())
        message.ack_with_response().result(timeout=10)
        arrived.put("acked")

    cloud.publish("before")
    stream = cloud.subscriber.subscribe(SUBSCRIPTION, handle)
    try:
        assert [arrived.get(timeout=10), arrived.get(timeout=10)] == ["before", "acked"]
        cloud.publish("after")
        assert [arrived.get(timeout=10), arrived.get(timeout=10)] == ["after", "acked"]
    finally:
        stream.cancel()
        stream.result(timeout=10)


def test_streaming_pull_keeps_the_order_of_a_key_through_a_nack(cloud: Cloud) -> None:
    cloud.subscribe(enable_message_ordering=True)
    arrived: queue.Queue[str] = queue.Queue()
    failed: list[str] = []

    def handle(message: Message) -> None:
        data = message.data.decode()
        arrived.put(data)
        if data == "1" and not failed:
            failed.append(data)
            message.nack()
        else:
            message.ack()

    for number in range(4):
        cloud.publish(str(number), key="a")
    stream = cloud.subscriber.subscribe(SUBSCRIPTION, handle)
    try:
        seen = [arrived.get(timeout=10)]
        while seen[-1] != "3":
            seen.append(arrived.get(timeout=10))
    finally:
        stream.cancel()
        stream.result(timeout=10)
    assert seen[-3:] == ["1", "2", "3"]
    assert seen[:2] == ["0", "1"]


def test_turning_to_push_ends_the_streams(cloud: Cloud) -> None:
    cloud.subscribe()
    cloud.publish()
    arrived: queue.Queue[None] = queue.Queue()
    stream = cloud.subscriber.subscribe(SUBSCRIPTION, lambda _: arrived.put(None))
    arrived.get(timeout=10)
    cloud.subscriber.modify_push_config(
        subscription=SUBSCRIPTION, push_config={"push_endpoint": cloud.receiver.url}
    )
    with pytest.raises(exceptions.FailedPrecondition):
        stream.result(timeout=10)


def test_exactly_once_refuses_an_ack_after_the_deadline(cloud: Cloud) -> None:
    cloud.loop.ground.clock.freeze()
    cloud.subscribe(enable_exactly_once_delivery=True)
    cloud.publish("late")
    cloud.publish("gone")
    late, gone = cloud.pull()
    ack(cloud, gone)
    cloud.loop.advance(seconds=11)
    with pytest.raises(exceptions.InvalidArgument) as refused:
        ack(cloud, late)
    (info,) = refused.value.details
    assert info.reason == "EXACTLY_ONCE_ACKID_FAILURE"
    assert dict(info.metadata) == {late.ack_id: "PERMANENT_FAILURE_INVALID_ACK_ID"}
    assert texts(cloud.pull()) == ["late"]


def test_publish_goes_through_after_an_outage(cloud: Cloud) -> None:
    cloud.subscribe()
    outage = Fault("pubsub", FaultKind.ERROR, count=2, path="Publisher/Publish")
    cloud.loop.ground.faults.add(outage)
    cloud.publish("kept")
    assert outage.count == 0
    assert texts(cloud.pull()) == ["kept"]
