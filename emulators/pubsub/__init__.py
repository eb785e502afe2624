"""Pub/Sub: google.pubsub.v1 and its google.iam.v1.IAMPolicy, for Google's unmodified clients."""

import dataclasses
from typing import Any

from emulators.api.unary import handlers
from emulators.engine import Ground, GrpcServer
from emulators.pubsub.deliveries import Delivery
from emulators.pubsub.delivery import Subscription
from emulators.pubsub.publisher import Publisher
from emulators.pubsub.push import Pusher
from emulators.pubsub.resources import Broker
from emulators.pubsub.streams import Arrivals
from emulators.pubsub.subscriber import Subscriber

__all__ = ["Delivery", "PubSub"]

_SHOWN = 200


class PubSub:
    """The engine. State is in its journal; pushes begin when it starts."""

    name = "pubsub"

    def __init__(self, ground: Ground) -> None:
        self._running = False
        self._arrivals = Arrivals()
        self._broker = Broker(ground, self._wake)
        self._pusher = Pusher(ground, self._broker)
        self._server = GrpcServer(ground, self.name)

    def _wake(self, subscription: Subscription) -> None:
        if subscription.endpoint and self._running:
            self._pusher.pump(subscription)
        self._arrivals.notify(subscription)

    async def start(self, port: int = 0) -> int:
        services = [
            Publisher(self._broker).handler(),
            Subscriber(self._broker, self._arrivals).handler(),
            self._broker.schemas.handler(),
            handlers("google.iam.v1.IAMPolicy", self._broker.policies.methods()),
        ]
        bound = await self._server.start(services, port)
        self._running = True
        for subscription in self._broker.subscriptions.values():
            self._wake(subscription)
        return bound

    async def stop(self) -> None:
        self._running = False
        self._pusher.stop()
        self._broker.close()
        await self._server.stop()

    def deliveries(self) -> list[Delivery]:
        """The most recent delivery attempts, oldest first (at most 5000)."""
        return self._broker.log.recent()

    def describe(self) -> dict[str, Any]:
        return {
            "topics": [
                {"name": name, "subscriptions": len(self._broker.subscriptions_of(name))}
                for name in sorted(self._broker.topics)
            ],
            "subscriptions": [
                {
                    "name": name,
                    "topic": each.topic,
                    "endpoint": each.endpoint,
                    "filter": each.config.filter,
                    "backlog": each.backlog(),
                }
                for name, each in sorted(self._broker.subscriptions.items())
            ],
            "deliveries": [_shown(each) for each in self.deliveries()[-_SHOWN:]],
        }


def _shown(delivery: Delivery) -> dict[str, Any]:
    fields = dataclasses.asdict(delivery)
    for name in ("publish_time", "delivered_at"):
        fields[name] = fields[name].isoformat()
    return fields
