"""What the tests of the Chargebee fake share: the official SDK, and a place for its webhooks."""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import chargebee
import pytest
from aiohttp import web
from chargebee.main import Chargebee as Sdk

from emulators.engine import HttpServer
from emulators.vendors.chargebee import Chargebee
from tests.emulators.conftest import Loop

MONTHLY = "hair-loss-monthly-EUR"
QUARTERLY = "hair-loss-quarterly-EUR"
SIX_MONTHS = "hair-loss-6month-EUR"


def client(port: int) -> Sdk:
    Sdk.verify_ca_certs = False
    return chargebee.Chargebee(
        api_key="test_key", site="127", chargebee_domain=f"0.0.1:{port}", protocol="http"
    )


@dataclass
class Receiver:
    """Takes webhooks; refuses the first `refusals` of them."""

    events: list[dict[str, Any]] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    refusals: int = 0

    async def take(self, request: web.Request) -> web.Response:
        self.events.append(json.loads(await request.read()))
        token = request.headers.get("Authorization", "").removeprefix("Basic ")
        self.users.append(base64.b64decode(token).decode())
        if self.refusals:
            self.refusals -= 1
            return web.Response(status=503)
        return web.Response(status=200)

    def types(self) -> list[str]:
        return [event["event_type"] for event in self.events]


@dataclass
class World:
    """A Chargebee site on virtual time, seen through the official SDK."""

    loop: Loop
    sdk: Sdk
    engine: Chargebee
    port: int

    @property
    def now(self) -> int:
        return int(self.loop.ground.clock.time())

    def customer(self, id_: str = "c1", card: str = "ok", **more: Any) -> Any:
        params = {"id": id_, "first_name": "Ada", "email": f"{id_}@example.com"}
        return self.sdk.Customer.create({**params, "cf_test_card": card, **more}).customer

    def subscribe(self, customer: str = "c1", price: str = MONTHLY, **more: Any) -> Any:
        params = {"subscription_items": [{"item_price_id": price}], "id": "s1", **more}
        return self.sdk.Subscription.create_with_items(customer, params)

    def subscription(self, id_: str = "s1") -> Any:
        return self.sdk.Subscription.retrieve(id_).subscription

    def invoices(self, subscription: str = "s1") -> list[Any]:
        """Oldest first."""
        found = self.sdk.Invoice.list(
            {"subscription_id": {"is": subscription}, "sort_by": {"asc": "date"}, "limit": 100}
        )
        return [row.invoice for row in found.list]


@pytest.fixture
def world(loop: Loop, start_engine: Callable[..., tuple[Any, int]]) -> World:
    loop.ground.clock.freeze()
    engine, port = start_engine(Chargebee)
    return World(loop, client(port), engine, port)


@pytest.fixture
def receiver(world: World) -> Iterator[Receiver]:
    taken = Receiver()
    server = HttpServer(world.loop.ground, "receiver")
    port = world.loop.run(server.start([web.post("/webhooks/chargebee", taken.take)], 0))
    world.loop.ground.settings["webhooks"] = f"http://127.0.0.1:{port}/webhooks"
    world.loop.ground.settings["chargebee_disorder"] = "0"
    yield taken
    world.loop.run(server.stop())
