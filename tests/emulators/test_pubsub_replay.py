"""Seek, retention of acknowledged messages, and snapshots."""

from datetime import timedelta

import pytest
from google.api_core import exceptions
from google.protobuf.field_mask_pb2 import FieldMask
from google.pubsub_v1 import types

from tests.emulators.pubsub_cloud import (
    PROJECT,
    SUBSCRIPTION,
    TOPIC,
    Cloud,
)

SNAPSHOT = f"{PROJECT}/snapshots/before"


pytestmark = pytest.mark.usefixtures("frozen")


def consume(cloud: Cloud) -> list[str]:
    messages = cloud.pull()
    cloud.subscriber.acknowledge(
        subscription=SUBSCRIPTION, ack_ids=[message.ack_id for message in messages]
    )
    return [message.message.data.decode() for message in messages]


def publish_an_hour_apart(cloud: Cloud, *texts: str) -> None:
    for text in texts:
        cloud.publish(text, key="c-1")
        cloud.loop.advance(hours=1)


def seek_back(cloud: Cloud, hours: float) -> None:
    time = cloud.loop.ground.clock.now() - timedelta(hours=hours)
    cloud.subscriber.seek(request={"subscription": SUBSCRIPTION, "time": time})


def snapshot(cloud: Cloud) -> types.Snapshot:
    taken: types.Snapshot = cloud.subscriber.create_snapshot(
        name=SNAPSHOT, subscription=SUBSCRIPTION
    )
    return taken


def seek_snapshot(cloud: Cloud) -> None:
    cloud.subscriber.seek(request={"subscription": SUBSCRIPTION, "snapshot": SNAPSHOT})


def test_seek_brings_back_what_the_subscription_retained(cloud: Cloud) -> None:
    cloud.subscribe(retain_acked_messages=True, enable_message_ordering=True)
    publish_an_hour_apart(cloud, "one", "two", "three")
    assert consume(cloud) == ["one", "two", "three"]
    seek_back(cloud, hours=2.5)
    assert consume(cloud) == ["two", "three"]


def test_seek_brings_back_what_the_topic_retained(cloud: Cloud) -> None:
    cloud.publisher.update_topic(
        topic=types.Topic(name=TOPIC, message_retention_duration={"seconds": 7200}),
        update_mask=FieldMask(paths=["message_retention_duration"]),
    )
    publish_an_hour_apart(cloud, "one", "two", "three")
    cloud.subscribe()
    seek_back(cloud, hours=48)
    assert consume(cloud) == ["three"]


def test_seek_pushes_again(cloud: Cloud) -> None:
    cloud.push(retain_acked_messages=True)
    publish_an_hour_apart(cloud, "one", "two")
    seek_back(cloud, hours=5)
    cloud.loop.settle()
    assert sorted(cloud.receiver.data()) == ["one", "one", "two", "two"]


def test_snapshot_expires_after_seven_days(cloud: Cloud) -> None:
    cloud.subscribe()
    snapshot(cloud)
    cloud.loop.advance(days=7)
    assert list(cloud.subscriber.list_snapshots(project=PROJECT)) == []


def test_snapshot_of_an_old_backlog_is_refused(cloud: Cloud) -> None:
    cloud.subscribe(message_retention_duration={"seconds": 20 * 86400})
    cloud.publish()
    cloud.loop.advance(days=6, hours=23, minutes=30)
    with pytest.raises(exceptions.FailedPrecondition):
        snapshot(cloud)
