"""What the Pub/Sub tests stand on: official clients, and a receiver of pushes that records."""

import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from google.cloud import pubsub_v1

from tests.emulators.conftest import Loop

PROJECT = "projects/clinicloop-local"
Answer = Callable[[dict[str, Any]], int]


@dataclass
class Clients:
    """The official clients, ordering enabled, pointed at one engine."""

    publisher: pubsub_v1.PublisherClient
    subscriber: pubsub_v1.SubscriberClient

    def publish(self, topic: str, data: bytes, ordering_key: str = "", **attributes: str) -> str:
        future = self.publisher.publish(topic, data, ordering_key=ordering_key, **attributes)
        published: str = future.result(timeout=10)
        return published

    def pull(self, subscription: str, most: int = 100) -> list[Any]:
        answer = self.subscriber.pull(
            subscription=subscription, max_messages=most, return_immediately=True
        )
        return list(answer.received_messages)


@contextmanager
def pubsub_clients(port: int, monkeypatch: Any) -> Iterator[Clients]:
    """Clients made exactly as an application makes them with PUBSUB_EMULATOR_HOST set."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{port}")
    publisher = pubsub_v1.PublisherClient(
        publisher_options=pubsub_v1.types.PublisherOptions(enable_message_ordering=True)
    )
    subscriber = pubsub_v1.SubscriberClient()
    try:
        yield Clients(publisher, subscriber)
    finally:
        publisher.stop()
        publisher.transport.close()
        subscriber.close()


@dataclass
class Receiver:
    """An HTTP endpoint that records requests; `answer` decides the status by the JSON body."""

    url: str = ""
    answer: Answer = lambda _: 204
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.requests]

    def data(self) -> list[str]:
        """The payloads in the order in which they came."""
        return [b64decode(body["message"]["data"]).decode() for body in self.bodies()]

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests.append((dict(request.headers), body))
        return web.Response(status=self.answer(json.loads(body) if body[:1] == b"{" else {}))

    @classmethod
    @contextmanager
    def listening(cls, loop: Loop) -> Iterator["Receiver"]:
        receiver = cls()

        async def start() -> web.AppRunner:
            app = web.Application()
            app.add_routes([web.post("/push", receiver._take)])
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/push"
            return runner

        runner = loop.run(start())
        try:
            yield receiver
        finally:
            loop.run(runner.cleanup())
