"""A street on which one process can be stopped as soon as it has answered a certain request."""

import json
import os
import signal
import time
from base64 import b64encode
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import psutil

from emulators.demo.stage import CLINIC_IDS, Player, Stage
from emulators.fail_points import Action
from tests.journeys.street import Street, facts, person
from tests.reliability.freeze.proof import AFTERWARDS

_PATIENCE = 20.0
_HELD_BACK = 60.0
"""Virtual seconds for which events are on their way, so that nobody else answers meanwhile."""


class Hall:
    """Sends requests as Google and vendors would, each on a connection of its own."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.cloud = stage.cloud
        self.street = Street(stage)
        self.http = httpx.Client(timeout=20, limits=httpx.Limits(max_keepalive_connections=0))

    def open(self) -> Player:
        """Somebody with a contract, whose term lasts a month."""
        self.cloud.run(self._keep_no_connection())
        self.street.open()
        player = self.street.move_in(person(1, "monthly"))
        self.street.pass_until(3)
        return player

    async def _keep_no_connection(self) -> None:
        self.cloud.cloud.ground.session.headers["Connection"] = "close"

    def trigger(self, function: str, path: str, kind: str, body: Any = None) -> int:
        """An authentic request to an agent; the status."""
        address = self.cloud.env["FUNCTIONS_URL"].format(function=function)
        headers = {"Authorization": f"Bearer {self.cloud.service_token(function, kind)}"}
        return self.http.post(address + path, json=body, headers=headers).status_code

    def push_payment(self, player: Player, amount: int, event_id: str) -> int:
        """Pub/Sub pushes that somebody paid."""
        payload = {
            "clinic_id": CLINIC_IDS[0],
            "invoice_id": str(uuid4()),
            "customer_id": player.person.id,
            "version": 1,
            "amount": {"amount": amount, "currency": "EUR"},
        }
        attributes = {
            "ce-id": event_id,
            "ce-type": "invoice.paid",
            "ce-time": self.cloud.now.isoformat(),
            "clinicid": CLINIC_IDS[0],
        }
        data = b64encode(json.dumps(payload).encode()).decode()
        body = {"message": {"data": data, "attributes": attributes}, "subscription": "test"}
        return self.trigger("invoice_handler", "/events", "pubsub", body)

    def webhook(self) -> int:
        """Chargebee tells once more what it told last, as another event; the status."""
        told = self.stage.one(
            "SELECT body FROM platform.webhooks WHERE vendor = 'chargebee' "
            "ORDER BY received_at DESC, id DESC LIMIT 1"
        )
        event = json.loads(told) | {"id": f"ev_{uuid4().hex}"}
        env = self.cloud.env
        login = (env["CHARGEBEE_WEBHOOK_USER"], env["CHARGEBEE_WEBHOOK_PASSWORD"])
        url = f"{self.cloud.url}/webhooks/chargebee"
        return self.http.post(url, json=event, auth=login).status_code

    def stopped_after(self, ask: Callable[[], object]) -> int:
        """Ask, and stop the process that answered as soon as it has; its process id."""
        points = self.cloud.fail_points
        self.cloud.settle()
        before = len(points.fired())
        with self.cloud.fault("pubsub", "delay", late=_HELD_BACK):
            points.arm(AFTERWARDS, Action.STOP)
            ask()
            until = time.monotonic() + _PATIENCE
            while len(points.fired()) == before and time.monotonic() < until:
                time.sleep(0.01)
        (fired,) = points.fired()[before:]
        while psutil.Process(fired.pid).status() != psutil.STATUS_STOPPED:
            time.sleep(0.01)
        return fired.pid

    def thaw(self, pid: int) -> None:
        """Let it go on, and everything come to rest."""
        os.kill(pid, signal.SIGCONT)
        self.cloud.advance(minutes=5)
        self.stage.listen()

    def facts(self) -> dict[str, Any]:
        self.stage.listen()
        return facts(self.stage)

    def close(self) -> None:
        self.http.close()
