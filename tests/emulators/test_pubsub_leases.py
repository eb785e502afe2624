"""Ack deadlines of many messages at once."""

import pytest
from google.pubsub_v1 import types

from tests.emulators.pubsub_cloud import SUBSCRIPTION, Cloud

pytestmark = pytest.mark.usefixtures("frozen")


@pytest.fixture
def cloud(cloud: Cloud) -> Cloud:
    cloud.subscribe(ack_deadline_seconds=20)
    return cloud


def pulled(cloud: Cloud, count: int) -> list[types.ReceivedMessage]:
    """So many messages, published and leased."""
    for _ in range(count):
        cloud.publish()
    messages = cloud.pull()
    assert len(messages) == count
    return messages


def deadline(cloud: Cloud, seconds: int, *messages: types.ReceivedMessage) -> None:
    cloud.subscriber.modify_ack_deadline(
        subscription=SUBSCRIPTION,
        ack_ids=[message.ack_id for message in messages],
        ack_deadline_seconds=seconds,
    )


def ids(messages: list[types.ReceivedMessage]) -> list[str]:
    return [each.message.message_id for each in messages]


def test_each_message_comes_again_at_its_own_deadline(cloud: Cloud) -> None:
    first, second, third = pulled(cloud, 3)
    deadline(cloud, 40, first)
    deadline(cloud, 5, third)
    came = []
    for seconds in (6, 15, 20):
        cloud.loop.advance(seconds=seconds)
        again = cloud.pull()
        came.append(ids(again))
        deadline(cloud, 600, *again)
    assert came == [ids([third]), ids([second]), ids([first])]


def test_deadline_moved_back_and_forth_counts_as_it_was_set_last(cloud: Cloud) -> None:
    (message,) = pulled(cloud, 1)
    for seconds in (5, 60, 10, 30):
        deadline(cloud, seconds, message)
    cloud.loop.advance(seconds=29)
    assert cloud.pull() == []
    cloud.loop.advance(seconds=2)
    assert ids(cloud.pull()) == ids([message])


def test_extensions_do_not_pile_up_on_the_agenda(cloud: Cloud) -> None:
    messages = pulled(cloud, 20)
    for seconds in range(30, 80):
        deadline(cloud, seconds, *messages)
    named = [each for each in cloud.loop.ground.agenda.upcoming() if "deadline" in each.name]
    assert len(named) == 1


def test_acknowledged_message_leaves_nothing_to_expire(cloud: Cloud) -> None:
    messages = pulled(cloud, 5)
    ack_ids = [each.ack_id for each in messages]
    cloud.subscriber.acknowledge(subscription=SUBSCRIPTION, ack_ids=ack_ids)
    cloud.loop.advance(hours=1)
    assert cloud.pull() == []
    assert cloud.backlog() == 0
