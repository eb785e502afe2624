"""Faults of deliveries: messages pushed and pulled, tasks, webhooks."""

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from emulators.engine import Engine, Ground
from emulators.faults import Fault, FaultKind
from emulators.tasks import Tasks
from emulators.vendors.inbox import Webhooks
from tests.emulators.conftest import Loop
from tests.emulators.http_receiver import HttpReceiver
from tests.emulators.pubsub_cloud import SUBSCRIPTION, Cloud

Start = Callable[[Callable[[Ground], Engine]], tuple[Engine, int]]
PLACE = "projects/shop/locations/here"
QUEUE = f"{PLACE}/queues/mails"


pytestmark = pytest.mark.usefixtures("frozen")


def strike(cloud: Cloud, kind: FaultKind, **limits: Any) -> None:
    cloud.loop.ground.faults.add(Fault("pubsub", kind, **limits))


def pulled(cloud: Cloud) -> list[str]:
    """Pull what there is and acknowledge it."""
    found = cloud.pull()
    if found:
        ids = [each.ack_id for each in found]
        cloud.subscriber.acknowledge(subscription=SUBSCRIPTION, ack_ids=ids)
    return [each.message.data.decode() for each in found]


def test_a_pulled_message_comes_again_although_it_was_acknowledged(cloud: Cloud) -> None:
    cloud.subscribe()
    strike(cloud, FaultKind.DUPLICATE)
    cloud.publish("twice")
    assert [pulled(cloud), pulled(cloud), pulled(cloud)] == [["twice"], ["twice"], []]
    assert cloud.backlog() == 0


def test_a_duplicate_brings_its_followers_again(cloud: Cloud) -> None:
    cloud.subscribe(enable_message_ordering=True)
    strike(cloud, FaultKind.DUPLICATE, count=1)
    for data in ("first", "second"):
        cloud.publish(data, key="c-1")
    assert pulled(cloud) == ["first", "second"]
    assert pulled(cloud) == ["first", "second"]
    assert pulled(cloud) == []


def test_exactly_once_delivery_has_no_duplicates(cloud: Cloud) -> None:
    cloud.subscribe(enable_exactly_once_delivery=True)
    strike(cloud, FaultKind.DUPLICATE)
    cloud.publish("once")
    assert [pulled(cloud), pulled(cloud)] == [["once"], []]


def test_a_reordered_message_is_pulled_after_its_followers(cloud: Cloud) -> None:
    cloud.subscribe()
    strike(cloud, FaultKind.REORDER, count=1)
    for data in ("first", "second"):
        cloud.publish(data)
    assert pulled(cloud) == ["second"]
    cloud.loop.advance(seconds=2)
    assert pulled(cloud) == ["first"]


def test_messages_that_are_all_held_back_change_places(cloud: Cloud) -> None:
    cloud.subscribe()
    strike(cloud, FaultKind.REORDER)
    sent = [str(number) for number in range(10)]
    for data in sent:
        cloud.publish(data)
    cloud.loop.advance(seconds=3)
    came = pulled(cloud)
    assert sorted(came) == sent
    assert came != sent


def test_a_delayed_message_is_pulled_later(cloud: Cloud) -> None:
    cloud.subscribe()
    strike(cloud, FaultKind.DELAY, late=600)
    cloud.publish("late")
    cloud.loop.advance(minutes=9)
    assert pulled(cloud) == []
    cloud.loop.advance(minutes=2)
    assert pulled(cloud) == ["late"]


def test_a_delayed_message_is_pushed_later(cloud: Cloud) -> None:
    cloud.push()
    strike(cloud, FaultKind.DELAY, late=600, count=1)
    for data in ("late", "soon"):
        cloud.publish(data)
    cloud.loop.settle()
    assert cloud.receiver.data() == ["soon"]
    cloud.loop.advance(minutes=11)
    assert cloud.receiver.data() == ["soon", "late"]


def test_a_delayed_message_keeps_its_place_in_order(cloud: Cloud) -> None:
    cloud.push(enable_message_ordering=True)
    strike(cloud, FaultKind.DELAY, late=600, count=1)
    for data in ("late", "after"):
        cloud.publish(data, key="c-1")
    cloud.publish("other", key="c-2")
    cloud.loop.settle()
    assert cloud.receiver.data() == ["other"]
    cloud.loop.advance(minutes=11)
    assert cloud.receiver.data() == ["other", "late", "after"]


def test_a_path_names_the_topic_whose_deliveries_suffer(cloud: Cloud) -> None:
    cloud.subscribe()
    strike(cloud, FaultKind.DELAY, path="topics/others")
    cloud.publish("soon")
    assert pulled(cloud) == ["soon"]


# Tasks


@pytest.fixture
def tasks(loop: Loop, start_engine: Start) -> Iterator[tasks_v2.CloudTasksClient]:
    _, port = start_engine(Tasks)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        client.create_queue(parent=PLACE, queue=tasks_v2.Queue(name=QUEUE))
        yield client


@pytest.mark.parametrize("kind", [FaultKind.DELAY, FaultKind.REORDER])
def test_a_task_that_is_held_back_runs_after_the_next(
    loop: Loop, tasks: tasks_v2.CloudTasksClient, receiver: HttpReceiver, kind: FaultKind
) -> None:
    loop.ground.faults.add(Fault("tasks", kind, count=1))
    for name in ("first", "second"):
        request = tasks_v2.HttpRequest(url=f"{receiver.url}/{name}")
        tasks.create_task(parent=QUEUE, task=tasks_v2.Task(http_request=request))
    loop.settle()
    assert receiver.paths == ["/second"]
    loop.advance(seconds=3)
    assert receiver.paths == ["/second", "/first"]


def test_tasks_that_are_all_held_back_change_places(
    loop: Loop, tasks: tasks_v2.CloudTasksClient, receiver: HttpReceiver
) -> None:
    loop.ground.faults.add(Fault("tasks", FaultKind.REORDER))
    sent = [f"/{number}" for number in range(10)]
    for path in sent:
        request = tasks_v2.HttpRequest(url=f"{receiver.url}{path}")
        tasks.create_task(parent=QUEUE, task=tasks_v2.Task(http_request=request))
    loop.advance(seconds=3)
    assert sorted(receiver.paths) == sent
    assert receiver.paths != sent


# Webhooks


def test_a_delayed_webhook_comes_later(loop: Loop, receiver: HttpReceiver) -> None:
    loop.ground.faults.add(Fault("acme-webhooks", FaultKind.DELAY, late=3600))

    async def send() -> None:
        Webhooks(loop.ground, "acme").send(f"{receiver.url}/hook", json={})

    loop.run(send())
    loop.advance(minutes=59)
    assert receiver.paths == []
    loop.advance(minutes=2)
    assert receiver.paths == ["/hook"]
