"""Official Pub/Sub clients of an emulator under test, in a project of their own."""

import itertools
import json
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.cloud.pubsub_v1 import PublisherClient as BatchingClient
from google.cloud.pubsub_v1 import SubscriberClient
from google.cloud.pubsub_v1.types import PublisherOptions
from google.protobuf.field_mask_pb2 import FieldMask
from google.pubsub_v1 import PublisherClient, SchemaServiceClient, types
from google.pubsub_v1.services.schema_service.transports import SchemaServiceGrpcTransport

from tests.emulators.conformance.conftest import Target

Received = types.ReceivedMessage


@dataclass
class Api:
    """The clients, and a topic and a subscription by default names.

    `publish` and `pull` are single requests, without the batches and streams of the clients.
    """

    target: Target
    publisher: Any
    subscriber: Any
    schemas: Any
    project: str = field(default_factory=lambda: f"projects/test-{uuid4().hex[:12]}")

    def name(self, kind: str, short: str) -> str:
        return f"{self.project}/{kind}/{short}"

    @property
    def topic(self) -> str:
        return self.name("topics", "orders")

    @property
    def subscription(self) -> str:
        return self.name("subscriptions", "billing")

    @property
    def schema(self) -> str:
        return self.name("schemas", "payload")

    def make_schema(self, **fields: Any) -> Any:
        """An Avro schema of a record with these fields, or with a text `a`."""
        return self.schemas.create_schema(
            parent=self.project, schema=avro(**fields or {"a": "string"}), schema_id="payload"
        )

    def make_topic(self, short: str = "orders", **fields: Any) -> Any:
        return self.publisher.create_topic(types.Topic(name=self.name("topics", short), **fields))

    def subscribe(self, short: str = "billing", topic: str = "", **fields: Any) -> Any:
        """Subscribe to `topic` (a full name), which without a name is made where it is absent."""
        if not topic:
            topic = self.topic
            if topic not in self.topics():
                self.make_topic()
        return self.subscriber.create_subscription(
            types.Subscription(name=self.name("subscriptions", short), topic=topic, **fields)
        )

    def topics(self) -> list[str]:
        return [topic.name for topic in self.publisher.list_topics(project=self.project)]

    def publish(self, *texts: str, topic: str = "", key: str = "", **attributes: str) -> list[str]:
        """Publish the texts in one request; answers the message ids."""
        messages = [
            {"data": text.encode(), "ordering_key": key, "attributes": attributes} for text in texts
        ]
        return self.publish_raw(*messages, topic=topic)

    def publish_raw(self, *messages: Any, topic: str = "") -> list[str]:
        request = types.PublishRequest(topic=topic or self.topic, messages=messages)
        answer = PublisherClient.publish(self.publisher, request, retry=None, timeout=20)
        return list(answer.message_ids)

    def pull(self, short: str = "billing", most: int = 100) -> list[Received]:
        """One pull, not waiting for messages to come."""
        request = types.PullRequest(
            subscription=self.name("subscriptions", short),
            max_messages=most,
            return_immediately=True,
        )
        with pytest.warns(DeprecationWarning, match="return_immediately"):
            answer = self.subscriber.pull(request, retry=None, timeout=20)
        return list(answer.received_messages)

    def pulled(self, count: int, short: str = "billing") -> list[Received]:
        """The next `count` messages, as soon as they can be had."""
        found: list[Received] = []

        def enough() -> bool:
            if len(found) < count:
                found.extend(self.pull(short, count - len(found)))
            return len(found) >= count

        self.target.until(enough)
        return found

    def ack(self, *messages: Received, short: str = "billing") -> None:
        self.subscriber.acknowledge(
            subscription=self.name("subscriptions", short),
            ack_ids=[message.ack_id for message in messages],
        )

    def deadline(self, seconds: int, *messages: Received) -> None:
        """Move the ack deadline to so many seconds from now; 0 is a nack."""
        self.subscriber.modify_ack_deadline(
            subscription=self.subscription,
            ack_ids=[message.ack_id for message in messages],
            ack_deadline_seconds=seconds,
        )

    def update(self, *paths: str, **fields: Any) -> Any:
        return self.subscriber.update_subscription(
            subscription=types.Subscription(name=self.subscription, **fields),
            update_mask=FieldMask(paths=paths),
        )

    def update_topic(self, *paths: str, **fields: Any) -> Any:
        return self.publisher.update_topic(
            topic=types.Topic(name=self.topic, **fields), update_mask=FieldMask(paths=paths)
        )

    def started(self) -> datetime:
        """The present instant of the emulator, before whatever is published next."""
        scratch = self.name("topics", f"clock-{uuid4().hex[:8]}")
        short = scratch.rpartition("/")[2]
        self.publisher.create_topic(name=scratch)
        self.subscribe(short, scratch)
        self.publish("now", topic=scratch)
        (received,) = self.pulled(1, short)
        self.subscriber.delete_subscription(subscription=self.name("subscriptions", short))
        instant: Any = received.message.publish_time  # proto-plus makes it a datetime
        now: datetime = instant
        return now

    def seek(self, time: datetime) -> None:
        self.subscriber.seek(request={"subscription": self.subscription, "time": time})

    def snapshot(self, short: str = "before", **fields: Any) -> Any:
        request = types.CreateSnapshotRequest(
            name=self.name("snapshots", short), subscription=self.subscription, **fields
        )
        return self.subscriber.create_snapshot(request)

    def seek_snapshot(self, subscription: str = "billing") -> None:
        name = self.name("subscriptions", subscription)
        snapshot = self.name("snapshots", "before")
        self.subscriber.seek(request={"subscription": name, "snapshot": snapshot})

    def got(self, short: str = "billing") -> Any:
        return self.subscriber.get_subscription(subscription=self.name("subscriptions", short))


def avro(name: str = "", **fields: Any) -> types.Schema:
    """A schema whose record has fields of these Avro types."""
    columns = [{"name": field, "type": kind} for field, kind in fields.items()]
    definition = json.dumps({"type": "record", "name": "Payload", "fields": columns})
    return types.Schema(name=name, type_=types.Schema.Type.AVRO, definition=definition)


def texts(messages: list[Received]) -> list[str]:
    return [each.message.data.decode() for each in messages]


@contextmanager
def api_of(target: Target) -> Iterator[Api]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUBSUB_EMULATOR_HOST", target.address)
        settings = PublisherOptions(enable_message_ordering=True)
        publisher = BatchingClient(publisher_options=settings)
        subscriber = SubscriberClient()
    with grpc.insecure_channel(target.address) as channel:
        transport = SchemaServiceGrpcTransport(channel=channel)
        yield Api(target, publisher, subscriber, SchemaServiceClient(transport=transport))
    publisher.stop()
    publisher.transport.close()
    subscriber.close()


@dataclass
class Push:
    """A request that came to the endpoint; names of headers in lower case."""

    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        wrapped: dict[str, Any] = json.loads(self.body)
        return wrapped

    def text(self) -> str:
        return b64decode(self.json()["message"].get("data", "")).decode()


@dataclass
class Endpoint:
    """Where pushes go; `answer` decides the status by the number of the request, from 1."""

    url: str = ""
    answer: Callable[[int], int] = lambda _: 204
    pushes: list[Push] = field(default_factory=list)

    def texts(self) -> list[str]:
        return [push.text() for push in list(self.pushes)]


@contextmanager
def endpoint() -> Iterator[Endpoint]:
    """An HTTP server on a free port of 127.0.0.1."""
    made = Endpoint()
    numbers = itertools.count(1)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            made.pushes.append(Push(headers, body))
            self.send_response(made.answer(next(numbers)))
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_port}/push"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield made
        server.shutdown()
        thread.join(10)
