"""What the Pub/Sub tests stand on: an engine, official clients and a receiver of pushes."""

import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import google.auth.jwt
import pytest
from aiohttp import web
from google.cloud import pubsub_v1
from google.protobuf.duration_pb2 import Duration
from google.pubsub_v1 import types

from emulators.engine import Engine, Ground
from emulators.pubsub import PubSub
from tests.emulators.conftest import Loop

PROJECT = "projects/clinicloop-local"
TOPIC = f"{PROJECT}/topics/contract-events"
SUBSCRIPTION = f"{PROJECT}/subscriptions/agent.contract-events"
SENDER = "pubsub@clinicloop-local.iam.gserviceaccount.com"

StartEngine = Callable[[Callable[[Ground], Engine]], tuple[Engine, int]]


@dataclass
class Receiver:
    """An HTTP endpoint that records what comes; `answer` decides the status by the payload."""

    url: str = ""
    answer: Callable[[str], int] = lambda _: 204
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.requests]

    def data(self) -> list[str]:
        """The payloads in the order in which they came."""
        return [_payload(body) for _, body in self.requests]

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests.append((dict(request.headers), body))
        return web.Response(status=self.answer(_payload(body)))


def _payload(body: bytes) -> str:
    try:
        return b64decode(json.loads(body)["message"].get("data", "")).decode()
    except ValueError:
        return body.decode()


@dataclass
class Cloud:
    """An engine in use: clients as an application makes them, ordering enabled."""

    loop: Loop
    engine: PubSub
    publisher: pubsub_v1.PublisherClient
    subscriber: pubsub_v1.SubscriberClient
    receiver: Receiver

    def subscribe(self, name: str = SUBSCRIPTION, topic: str = TOPIC, **settings: Any) -> Any:
        return self.subscriber.create_subscription(
            types.Subscription(name=name, topic=topic, **settings)
        )

    def push(self, name: str = SUBSCRIPTION, push: Any = None, **settings: Any) -> Any:
        """Subscribe the receiver; `push` holds further fields of the push_config."""
        config = types.PushConfig(push_endpoint=self.receiver.url, **(push or {}))
        return self.subscribe(name, push_config=config, **settings)

    def publish(
        self, data: str = "hello", key: str = "", topic: str = TOPIC, **attributes: str
    ) -> str:
        future = self.publisher.publish(topic, data.encode(), ordering_key=key, **attributes)
        published: str = future.result(timeout=10)
        return published

    def pull(self, name: str = SUBSCRIPTION, most: int = 100) -> list[Any]:
        """One pull that does not wait for messages to come."""
        request = types.PullRequest(subscription=name, max_messages=most, return_immediately=True)
        with pytest.warns(DeprecationWarning, match="return_immediately"):
            answer = self.subscriber.pull(request)
        return list(answer.received_messages)

    def outcomes(self) -> list[str]:
        return [str(each.outcome) for each in self.engine.deliveries()]

    def backlog(self, name: str = SUBSCRIPTION) -> int:
        rows = self.engine.describe()["subscriptions"]
        return next(int(row["backlog"]) for row in rows if row["name"] == name)


def backoff(least: float, most: float) -> types.RetryPolicy:
    """A retry policy; times in seconds."""
    first, last = Duration(), Duration()
    first.FromMilliseconds(int(least * 1000))
    last.FromMilliseconds(int(most * 1000))
    return types.RetryPolicy(minimum_backoff=first, maximum_backoff=last)


def verified(token: str, certificates: dict[str, str], audience: str) -> dict[str, Any]:
    """The claims of a token that google-auth finds rightly signed, current and for `audience`."""
    decode: Any = google.auth.jwt.decode
    return dict(decode(token, certs=certificates, audience=audience))


@contextmanager
def clients(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[pubsub_v1.PublisherClient, pubsub_v1.SubscriberClient]]:
    """Unmodified clients that find the engine by PUBSUB_EMULATOR_HOST."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{port}")
    options = pubsub_v1.types.PublisherOptions(enable_message_ordering=True)
    publisher = pubsub_v1.PublisherClient(publisher_options=options)
    subscriber = pubsub_v1.SubscriberClient()
    try:
        yield publisher, subscriber
    finally:
        publisher.stop()
        publisher.transport.close()
        subscriber.close()


@contextmanager
def listening(loop: Loop) -> Iterator[Receiver]:
    """A receiver on a free port of 127.0.0.1."""
    receiver = Receiver()

    async def take(request: web.Request) -> web.Response:
        return await receiver.take(request)

    async def start() -> web.AppRunner:
        app = web.Application()
        app.add_routes([web.post("/push", take)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/push"
        return runner

    runner = loop.run(start())
    try:
        yield receiver
    finally:
        loop.run(runner.cleanup())


@contextmanager
def pubsub_cloud(
    loop: Loop, start_engine: StartEngine, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cloud]:
    """A started engine with `TOPIC` in it."""
    engine, port = start_engine(PubSub)
    assert isinstance(engine, PubSub)
    with (
        clients(port, monkeypatch) as (publisher, subscriber),
        listening(loop) as receiver,
    ):
        publisher.create_topic(name=TOPIC)
        yield Cloud(loop, engine, publisher, subscriber, receiver)
