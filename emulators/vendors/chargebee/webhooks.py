"""Events on their way to the product: at least once, some twice, some late, as Chargebee warns.

https://apidocs.chargebee.com/docs/api/events and, for the retries,
https://www.chargebee.com/docs/2.0/webhook_settings.html
"""

import json
from binascii import crc32
from collections import deque
from functools import partial
from typing import Any

from emulators.agenda import Entry
from emulators.clock import from_micros, micros
from emulators.engine import Ground
from emulators.journal import Journal
from emulators.vendors.chargebee.forms import Resource
from emulators.vendors.inbox import Webhooks

DELAYS = (120, 360, 1800, 3600, 18_000, 86_400, 172_800)
"""Seconds before each further attempt: 2, 6, 30 minutes, 1 and 5 hours, 1 and 2 days."""


class EventSender:
    """Posts events to `settings["webhooks"]/chargebee` with basic authentication.

    `settings["chargebee_webhook_events"]` names the events the webhook is switched on for (all
    unless given), `settings["chargebee_disorder"]` is the share (0.1 unless given) of events that
    go out twice and, apart from those, the share that goes out 2 to 60 virtual seconds late. Which
    ones they are follows from the event's content alone, so that the same run is disturbed alike.
    """

    def __init__(self, ground: Ground, journal: Journal) -> None:
        self._ground = ground
        self._journal = journal
        self._webhooks = Webhooks(ground, "chargebee", journal, DELAYS)
        self._late: dict[str, Entry] = {}
        self.sent: deque[dict[str, Any]] = deque(maxlen=200)
        for key, value in journal.items("late/"):
            due, body = value.split(b"\n", 1)
            self._hold(key, int(due), body)

    def __len__(self) -> int:
        """How many webhooks are held back, under way or waiting to be tried again."""
        return len(self._webhooks) + len(self._late)

    def stop(self) -> None:
        self._webhooks.stop()
        for entry in self._late.values():
            entry.cancel()
        self._late.clear()

    def tell(self, event: Resource, body: bytes) -> None:
        """Send an event, or hold it back; durable with the event itself."""
        note = self.note(event)
        chosen = self._ground.settings.get("chargebee_webhook_events", "").split()
        if "webhooks" not in self._ground.settings or (
            chosen and event["event_type"] not in chosen
        ):
            return
        share = float(self._ground.settings.get("chargebee_disorder", "0.1"))
        seed = f"{event['event_type']} {note['subject']} {event['occurred_at']}"
        lot = crc32(seed.encode()) / 2**32
        seconds = 2 + crc32(b"delay " + seed.encode()) % 59
        if lot < share:
            note["delivery"] = "twice"
            self._post(body)
            self._keep(event["id"], seconds, body)
        elif lot < 2 * share:
            note["delivery"] = f"{seconds} s late"
            self._keep(event["id"], seconds, body)
        else:
            self._post(body)

    def note(self, event: Resource) -> dict[str, Any]:
        """Remember an event for the console; the note may be completed."""
        note = {
            "id": event["id"],
            "event_type": event["event_type"],
            "occurred_at": event["occurred_at"],
            "subject": next((part["id"] for part in event["content"].values()), ""),
            "delivery": event["webhook_status"],
        }
        self.sent.append(note)
        return note

    def _keep(self, id_: str, seconds: int, body: bytes) -> None:
        due = micros(self._ground.clock.now()) + seconds * 1_000_000
        self._journal.put(f"late/{id_}", b"%d\n%b" % (due, body))
        self._hold(f"late/{id_}", due, body)

    def _hold(self, key: str, due: int, body: bytes) -> None:
        action = partial(self._release, key, body)
        name = f"chargebee webhook {json.loads(body)['event_type']}"
        self._late[key] = self._ground.agenda.at(from_micros(due), action, name)

    def _release(self, key: str, body: bytes) -> None:
        self._late.pop(key, None)
        with self._journal.batch():
            self._journal.delete(key)
            self._post(body)

    def _post(self, body: bytes) -> None:
        settings = self._ground.settings
        user = settings.get("chargebee_webhook_user", "chargebee")
        password = settings.get("chargebee_webhook_password", "local-secret")
        self._webhooks.send(
            settings["webhooks"] + "/chargebee",
            data=body,
            headers={"Content-Type": "application/json;charset=UTF-8", "User-Agent": "ChargeBee"},
            auth=(user, password),
        )
