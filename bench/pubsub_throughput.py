"""The local Pub/Sub against Google's official emulator, each through Google's own client.

Batched publishing, streaming pull with an ack for each message, and push to an endpoint in a third
process. Each round has a topic and a subscription of its own.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from functools import partial
from uuid import uuid4

from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
from google.cloud.pubsub_v1.subscriber.message import Message
from google.cloud.pubsub_v1.types import BatchSettings

from bench.database import PROJECT
from bench.emulated import local_engine, official_engine, reached_at
from bench.kit import Result, compare
from bench.servers.sink import Sink, sink

PUBLISHES = 20_000
PULLS = 6_000
PUSHES = 2_000
_TIMEOUT = 300


class Peer:
    """Google's clients of one Pub/Sub server."""

    def __init__(self, address: str) -> None:
        with reached_at("pubsub", address):
            self._publisher = PublisherClient(BatchSettings(max_messages=1000))
            self._subscriber = SubscriberClient()

    def published(self) -> float:
        """Messages a second until the last has its id; one subscription gets them all."""
        topic, subscription = self._create()
        try:
            return self._publish(topic, PUBLISHES)
        finally:
            self._delete(topic, subscription)

    def pulled(self) -> float:
        """Messages a second from the opening of the stream to the last one's callback."""
        topic, subscription = self._create()
        self._publish(topic, PULLS)
        seen: set[str] = set()
        all_seen = threading.Event()

        def receive(message: Message) -> None:
            message.ack()
            seen.add(message.message_id)
            if len(seen) == PULLS:
                all_seen.set()

        begun = time.perf_counter()
        stream = self._subscriber.subscribe(subscription, receive)
        try:
            if not all_seen.wait(_TIMEOUT):
                raise TimeoutError(f"{len(seen)} of {PULLS} messages came")
            return PULLS / (time.perf_counter() - begun)
        finally:
            stream.cancel()
            stream.result(_TIMEOUT)
            self._delete(topic, subscription)

    def pushed(self, receiver: Sink) -> float:
        """Messages a second from the first publish to the last push that was answered."""
        topic, subscription = self._create(receiver.url)
        already = receiver.count()
        begun = time.perf_counter()
        try:
            self._publish(topic, PUSHES)
            while receiver.count() < already + PUSHES:
                if time.perf_counter() - begun > _TIMEOUT:
                    raise TimeoutError("not everything was pushed")
                time.sleep(0.01)
            return PUSHES / (time.perf_counter() - begun)
        finally:
            self._delete(topic, subscription)

    def _create(self, endpoint: str = "") -> tuple[str, str]:
        name = f"bench-{uuid4()}"
        topic = self._publisher.topic_path(PROJECT, name)
        subscription = self._subscriber.subscription_path(PROJECT, name)
        self._publisher.create_topic(name=topic)
        self._subscriber.create_subscription(
            request={
                "name": subscription,
                "topic": topic,
                "push_config": {"push_endpoint": endpoint},
            }
        )
        return topic, subscription

    def _publish(self, topic: str, count: int) -> float:
        begun = time.perf_counter()
        sent = [self._publisher.publish(topic, b"a small message, %d" % n) for n in range(count)]
        done, pending = wait(sent, _TIMEOUT)
        if pending or any(each.exception() for each in done):
            raise RuntimeError("not everything was published")
        return count / (time.perf_counter() - begun)

    def _delete(self, topic: str, subscription: str) -> None:
        self._subscriber.delete_subscription(subscription=subscription)
        self._publisher.delete_topic(topic=topic)


def run() -> Iterator[Result]:
    with local_engine("pubsub") as local, official_engine("pubsub") as official, sink() as receiver:
        ours = Peer(local)
        peer = Peer(official) if official else None
        figures: list[tuple[str, Callable[[Peer], float], float | None]] = [
            ("pubsub_publish", Peer.published, 0.8),
            ("pubsub_streaming_pull", Peer.pulled, 4),
            ("pubsub_push", lambda each: each.pushed(receiver), None),
        ]
        for name, measure, limit in figures:
            yield compare(
                name,
                ("local", partial(measure, ours)),
                ("Google's emulator", partial(measure, peer) if peer else None),
                unit="messages/s",
                limit=limit,
                at_least=True,
            )
