"""Publishing to Pub/Sub through Google's client, made on first use."""

import os
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import Any

from shared.platform.outbox import Letter
from shared.platform.settings import Settings, load
from shared.platform.telemetry import log

_TIMEOUT = 5.0
_MOST_MESSAGES = 1000
"""Pub/Sub's limit of one publish request (https://cloud.google.com/pubsub/quotas)."""


class PubSubSettings(Settings):
    google_cloud_project: str


@cache
def _client() -> Any:
    from google.pubsub_v1 import PublisherClient
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

    if emulator := os.environ.get("PUBSUB_EMULATOR_HOST"):
        import grpc

        return PublisherClient(
            transport=PublisherGrpcTransport(channel=grpc.insecure_channel(emulator))
        )
    return PublisherClient()


class PubSubPublisher:
    """Publishes letters, in order per ordering key. It does not retry: the outbox does."""

    def publish(self, letters: Sequence[Letter]) -> list[int]:
        """Answers the `seq` of the accepted ones; a topic that refuses leaves its letters out."""
        topics: dict[str, list[Letter]] = defaultdict(list)
        for letter in letters:
            topics[letter.topic].append(letter)
        accepted: list[int] = []
        for topic, queue in topics.items():
            for start in range(0, len(queue), _MOST_MESSAGES):
                batch = queue[start : start + _MOST_MESSAGES]
                if not self._send(topic, batch):
                    break  # what follows may be the same subject: order matters more than progress
                accepted += [letter.seq for letter in batch]
        return accepted

    def _send(self, topic: str, batch: Sequence[Letter]) -> bool:
        from google.api_core.exceptions import GoogleAPICallError, RetryError

        project = load(PubSubSettings).google_cloud_project
        messages = [
            {
                "data": letter.payload.encode(),
                "attributes": letter.attributes,
                "ordering_key": letter.ordering_key,
            }
            for letter in batch
        ]
        try:
            _client().publish(
                topic=f"projects/{project}/topics/{topic}",
                messages=messages,
                timeout=_TIMEOUT,
                retry=None,
            )
        except (GoogleAPICallError, RetryError) as error:
            log.warning("publish_failed", topic=topic, error=type(error).__name__, count=len(batch))
            return False
        return True
