"""Push subscriptions, through the official client and a real HTTP receiver."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import google.auth.jwt
import pytest
from google.protobuf import duration_pb2
from google.pubsub_v1 import types

from emulators.faults import Fault, FaultKind
from emulators.pubsub import PubSub
from tests.emulators.conftest import Loop
from tests.emulators.pubsub_receiver import PROJECT, Clients, Receiver, pubsub_clients

TOPIC = f"{PROJECT}/topics/contract-events"
PUSHED = f"{PROJECT}/subscriptions/agent.contract-events"


@pytest.fixture
def clients(start_engine, loop: Loop, monkeypatch):
    _, port = start_engine(PubSub)
    with pubsub_clients(port, monkeypatch) as made:
        made.publisher.create_topic(name=TOPIC)
        yield made


@pytest.fixture
def receiver(loop: Loop):
    with Receiver.listening(loop) as listening:
        yield listening


def subscribe(clients: Clients, receiver: Receiver, name: str = PUSHED, **settings):
    return clients.subscriber.create_subscription(
        types.Subscription(
            name=name,
            topic=TOPIC,
            push_config=types.PushConfig(push_endpoint=receiver.url, **settings.pop("push", {})),
            **settings,
        )
    )


def test_push_body_wraps_the_message(clients, receiver, loop):
    subscribe(clients, receiver)
    message_id = clients.publish(TOPIC, b"hello", ordering_key="c-1", kind="greeting")
    loop.settle()
    body = receiver.bodies()[0]
    message = body["message"]
    assert body["subscription"] == PUSHED
    assert base64.b64decode(message["data"]) == b"hello"
    assert message["attributes"] == {"kind": "greeting"}
    assert message["messageId"] == message["message_id"] == message_id
    assert message["publishTime"] == message["publish_time"]
    assert message["publishTime"].endswith("Z")
    assert message["orderingKey"] == "c-1"
    assert "deliveryAttempt" not in body
