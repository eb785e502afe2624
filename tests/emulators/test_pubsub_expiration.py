"""Subscriptions expire when nobody uses them; time is virtual."""

import queue
from typing import Any

import pytest
from google.api_core import exceptions

from tests.emulators.pubsub_cloud import SUBSCRIPTION, Cloud

DAY = 86400


pytestmark = pytest.mark.usefixtures("frozen")


def left(cloud: Cloud) -> int:
    """How many subscriptions there are; asking so is no operation on one."""
    return len(cloud.engine.describe()["subscriptions"])


def test_unused_subscription_expires_after_31_days(cloud: Cloud) -> None:
    cloud.subscribe()
    cloud.loop.advance(days=30, hours=23)
    assert left(cloud) == 1
    cloud.loop.advance(hours=1)
    assert left(cloud) == 0
    with pytest.raises(exceptions.NotFound):
        cloud.pull()


def test_policy_decides_after_what_time(cloud: Cloud) -> None:
    cloud.subscribe(expiration_policy={"ttl": {"seconds": DAY}})
    cloud.loop.advance(days=1)
    assert left(cloud) == 0


def test_policy_without_a_ttl_keeps_the_subscription(cloud: Cloud) -> None:
    cloud.subscribe(expiration_policy={})
    cloud.loop.advance(days=400)
    assert left(cloud) == 1


def test_pulling_keeps_the_subscription(cloud: Cloud) -> None:
    cloud.subscribe(expiration_policy={"ttl": {"seconds": DAY}})
    for _ in range(3):
        cloud.loop.advance(hours=20)
        cloud.pull()
    assert left(cloud) == 1
    cloud.loop.advance(days=1)
    assert left(cloud) == 0


def test_successful_pushes_keep_the_subscription(cloud: Cloud) -> None:
    cloud.push(expiration_policy={"ttl": {"seconds": DAY}})
    for _ in range(3):
        cloud.loop.advance(hours=20)
        cloud.publish()
        cloud.loop.settle()
    assert left(cloud) == 1


def test_failing_pushes_do_not(cloud: Cloud) -> None:
    cloud.receiver.answer = lambda _: 500
    cloud.push(expiration_policy={"ttl": {"seconds": DAY}})
    cloud.publish()
    cloud.loop.advance(days=1)
    assert left(cloud) == 0


def test_connected_stream_keeps_the_subscription(cloud: Cloud) -> None:
    cloud.subscribe(expiration_policy={"ttl": {"seconds": DAY}})
    cloud.publish()
    arrived: queue.Queue[Any] = queue.Queue()
    stream = cloud.subscriber.subscribe(SUBSCRIPTION, arrived.put)
    arrived.get(timeout=10).ack()
    cloud.loop.advance(days=10)
    assert left(cloud) == 1
    stream.cancel()
    stream.result(timeout=10)


def test_changed_policy_counts_from_the_change(cloud: Cloud) -> None:
    cloud.subscribe()
    cloud.loop.advance(days=20)
    cloud.subscriber.update_subscription(
        subscription={"name": SUBSCRIPTION, "expiration_policy": {"ttl": {"seconds": 2 * DAY}}},
        update_mask={"paths": ["expiration_policy"]},
    )
    cloud.loop.advance(days=1)
    assert left(cloud) == 1
    cloud.loop.advance(days=1)
    assert left(cloud) == 0


def test_deleted_subscription_leaves_nothing_on_the_agenda(cloud: Cloud) -> None:
    cloud.subscribe()
    cloud.subscriber.delete_subscription(subscription=SUBSCRIPTION)
    assert cloud.loop.ground.agenda.upcoming() == []
