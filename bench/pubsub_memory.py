"""Memory of the local Pub/Sub while a million small messages are published, pulled and acked.

The rule: from a fifth of the messages on, its process grows by less than a twentieth. At most one
chunk of messages is unacknowledged at any time.
"""

import time
from collections.abc import Iterator
from queue import SimpleQueue

import psutil
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
from google.cloud.pubsub_v1.types import BatchSettings

from bench.database import PROJECT
from bench.emulated import VARIABLES, local_cloud, reached_at
from bench.kit import Result

MESSAGES = 1_000_000
SAMPLE_EVERY = 200_000
CHUNK = 10_000
LIMIT_GROWTH = 1.05
_TIMEOUT = 120


def _sizes(address: str, pid: int) -> Iterator[float]:
    """The process's resident MiB after each `SAMPLE_EVERY` messages."""
    server = psutil.Process(pid)
    with reached_at("pubsub", address):
        publisher = PublisherClient(BatchSettings(max_messages=1000))
        subscriber = SubscriberClient()
    topic = publisher.topic_path(PROJECT, "memory")
    subscription = subscriber.subscription_path(PROJECT, "memory")
    publisher.create_topic(name=topic)
    subscriber.create_subscription(name=subscription, topic=topic)
    came: SimpleQueue[str] = SimpleQueue()

    def receive(message: object) -> None:
        message.ack()  # type: ignore[attr-defined]
        came.put(message.message_id)  # type: ignore[attr-defined]

    stream = subscriber.subscribe(subscription, receive)
    for sent in range(CHUNK, MESSAGES + 1, CHUNK):
        wanted = {
            each.result(_TIMEOUT)
            for each in [publisher.publish(topic, b"a small message") for _ in range(CHUNK)]
        }
        while wanted:
            wanted.discard(came.get(timeout=_TIMEOUT))
        if sent % SAMPLE_EVERY == 0:
            time.sleep(1)
            yield server.memory_info().rss / 2**20
    stream.cancel()
    stream.result(_TIMEOUT)


def run() -> Iterator[Result]:
    with local_cloud("--only", "pubsub") as cloud:
        begun = time.perf_counter()
        sizes = list(_sizes(cloud.variables[VARIABLES["pubsub"]], cloud.pid))
        seconds = time.perf_counter() - begun
    samples = ", ".join(f"{size:.0f}" for size in sizes)
    yield Result(
        "pubsub_memory",
        f"resident size after {MESSAGES:,} messages to that after {SAMPLE_EVERY:,}",
        "times",
        [sizes[-1] / sizes[0]],
        LIMIT_GROWTH,
        at_least=False,
        notes={
            f"MiB after each {SAMPLE_EVERY:,}": samples,
            "messages a second": f"{MESSAGES / seconds:,.0f}",
        },
    )
