"""Publishing to Pub/Sub through Google's client, made on first use."""

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cache, partial
from typing import Any

from shared.kernel.errors import VendorUnavailable
from shared.platform.outbox import Letter
from shared.platform.settings import Settings, load
from shared.platform.telemetry import log

_TIMEOUT = 5.0
RECONNECT = ("grpc.max_reconnect_backoff_ms", 5_000)
"""gRPC lets up to two minutes pass between attempts to connect; until then all calls fail."""
_AWAY = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "RESOURCE_EXHAUSTED"})
"""Codes that say something about Pub/Sub or our quota, and nothing about what was published."""
_MOST_MESSAGES = 1000
"""Pub/Sub's limit of one publish request (https://cloud.google.com/pubsub/quotas)."""


class PubSubSettings(Settings):
    google_cloud_project: str


@cache
def _publish() -> Any:
    """The publish call on the client's channel, past its logging: half the CPU time of a call."""
    from google.pubsub_v1.types import PublishRequest, PublishResponse

    return _client().transport.grpc_channel.unary_unary(
        "/google.pubsub.v1.Publisher/Publish",
        request_serializer=PublishRequest.pb().SerializeToString,
        response_deserializer=PublishResponse.pb().FromString,
    )


@cache
def _client() -> Any:
    from google.pubsub_v1 import PublisherClient
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

    if emulator := os.environ.get("PUBSUB_EMULATOR_HOST"):
        import grpc

        channel = grpc.insecure_channel(emulator, options=[RECONNECT])
    else:
        channel = PublisherGrpcTransport.create_channel(options=[RECONNECT])
    return PublisherClient(transport=PublisherGrpcTransport(channel=channel))


class PubSubPublisher:
    """Publishes letters, in order per ordering key. It does not retry: the outbox does."""

    def publish(self, letters: Sequence[Letter]) -> list[int]:
        """Answers the `seq` of the accepted ones. Raises `VendorUnavailable` when none was and
        Pub/Sub was to blame.

        Pub/Sub wants one request per ordering key, so the requests of a batch are under way
        together; of one key there is never more than one. The last is made in this thread: grpc
        gives one under way elsewhere a thread of its own.
        """
        from grpc import RpcError

        queues: dict[tuple[str, str], list[Letter]] = defaultdict(list)
        for letter in letters:
            queues[letter.topic, letter.ordering_key].append(letter)
        *others, last = [(*key, queue[:_MOST_MESSAGES]) for key, queue in queues.items()]
        calls = [(one[-1], _start(_publish().future, *one).result) for one in others]
        calls.insert(0, (last[-1], partial(_start, _publish(), *last)))
        accepted: list[int] = []
        refused: Counter[str] = Counter()
        for queue, answered in calls:
            try:
                answered()
                accepted += [letter.seq for letter in queue]
            except RpcError as error:
                refused[str(error.code().name)] += len(queue)
        if refused:
            log.warning("publish_failed", codes=str(dict(refused)))
        if not accepted and not refused.keys().isdisjoint(_AWAY):
            raise VendorUnavailable("pubsub", " ".join(refused))
        return accepted


def _start(call: Any, topic: str, ordering_key: str, queue: Sequence[Letter]) -> Any:
    """Make one request by `call`."""
    from google.api_core.gapic_v1.routing_header import to_grpc_metadata
    from google.pubsub_v1.types import PublishRequest

    path = f"projects/{load(PubSubSettings).google_cloud_project}/topics/{topic}"
    request = PublishRequest.pb()(topic=path)
    for letter in queue:
        message = request.messages.add(data=letter.payload.encode(), ordering_key=ordering_key)
        message.attributes.update(letter.attributes)
    metadata = [to_grpc_metadata((("topic", path),))]  # type: ignore[no-untyped-call]
    return call(request, timeout=_TIMEOUT, metadata=metadata)
