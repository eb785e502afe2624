"""The objects of one Chargebee site: kept in memory and in the journal, found by list filters.

A table is ordered by last change, so that the newest changes, which an incremental sync asks for,
are found without a walk over everything.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from emulators.clock import micros
from emulators.engine import Ground
from emulators.journal import Journal
from emulators.vendors.chargebee.forms import Resource, not_found, shown

KINDS = (
    "customer",
    "subscription",
    "invoice",
    "transaction",
    "item_family",
    "item",
    "item_price",
)
_EVENT_LIFE = 90 * 86_400
"""The events API reaches back 90 days."""
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Site:
    """All objects by kind and id. `save` is the only way in; `emit` records an event.

    `source` says who acts (`api` or `scheduled_job`). `on_save` hears of every saved object,
    `on_event` of every event with its body as it goes out.
    """

    def __init__(self, ground: Ground, journal: Journal) -> None:
        self.ground = ground
        self.journal = journal
        self.source = "api"
        self.tables: dict[str, dict[str, Resource]] = {kind: {} for kind in (*KINDS, "event")}
        self.invoices_of: dict[str, list[str]] = defaultdict(list)
        self.on_save: Callable[[str, Resource], None] = lambda _kind, _resource: None
        self.on_event: Callable[[Resource, bytes], None] = lambda _event, _body: None
        self._version = 0
        self._number = 0
        self._invoice_number = 0
        self._load()

    def _load(self) -> None:
        for kind in KINDS:
            rows = [json.loads(value) for _, value in self.journal.items(f"{kind}/")]
            rows.sort(key=lambda row: row["resource_version"])
            self.tables[kind].update((row["id"], row) for row in rows)
            if rows:
                self._version = max(self._version, rows[-1]["resource_version"])
        for invoice in self.tables["invoice"].values():
            self.invoices_of[invoice["subscription_id"]].append(invoice["id"])
        for key, body in self.journal.items("event/"):
            self._enter(json.loads(body), body, key)
        counters = dict(self.journal.items("counters"))
        if counters:
            self._number, self._invoice_number = json.loads(counters["counters"])

    def now(self) -> int:
        """Virtual time in whole epoch seconds."""
        return micros(self.ground.clock.now()) // 1_000_000

    @contextmanager
    def change(self, source: str) -> Iterator[None]:
        """Everything saved in the block becomes durable at its end, in the name of `source`."""
        before, self.source = self.source, source
        number = self._number, self._invoice_number
        try:
            with self.journal.batch():
                yield
                if (self._number, self._invoice_number) != number:
                    counters = json.dumps([self._number, self._invoice_number])
                    self.journal.put("counters", counters.encode())
        finally:
            self.source = before

    def new_id(self, prefix: str = "") -> str:
        """An id in Chargebee's style; the same sequence of calls gives the same ids."""
        self._number += 1
        value = int.from_bytes(hashlib.blake2b(str(self._number).encode(), digest_size=12).digest())
        letters = ""
        while len(letters) < 16:
            value, digit = divmod(value, 62)
            letters += _LETTERS[digit]
        return prefix + letters

    def new_invoice_id(self) -> str:
        self._invoice_number += 1
        return str(self._invoice_number)

    def next_version(self) -> int:
        """Milliseconds of virtual time, but always more than the last one."""
        now = micros(self.ground.clock.now()) // 1000
        self._version = max(self._version + 1, now)
        return self._version

    def find(self, kind: str, id_: str) -> Resource:
        """A copy of an object to change and save. Raises the API's 404 when absent or deleted."""
        resource = self.tables[kind].get(id_)
        if resource is None or resource.get("deleted"):
            raise not_found(kind.replace("_", " ").capitalize(), id_)
        return dict(resource)

    def save(self, kind: str, resource: Resource) -> None:
        """Enter a changed object: bumps `updated_at` and `resource_version`."""
        now = self.now()
        resource.setdefault("created_at", now)
        resource["updated_at"] = now
        resource["resource_version"] = self.next_version()
        table = self.tables[kind]
        if table.pop(resource["id"], None) is None and kind == "invoice":
            self.invoices_of[resource["subscription_id"]].append(resource["id"])
        table[resource["id"]] = resource
        self._put(kind, resource)
        self.ground.agenda.touch("chargebee")
        self.on_save(kind, resource)

    def note(self, kind: str, resource: Resource, **hidden: Any) -> None:
        """Change only what the API never shows; this is no new version."""
        current = self.tables[kind][resource["id"]]
        for one in (current, resource):
            one.update({f"_{name}": value for name, value in hidden.items()})
        self._put(kind, current)

    def _put(self, kind: str, resource: Resource) -> None:
        self.journal.put(
            f"{kind}/{resource['id']}",
            lambda: json.dumps(resource, separators=(",", ":")).encode(),
        )

    def emit(self, event_type: str, **content: Resource | None) -> None:
        """Record an event over the objects in `content` as they are now."""
        now = self.now()
        configured = "webhooks" in self.ground.settings
        event: Resource = {
            "id": self.new_id("ev_"),
            "occurred_at": now,
            "source": self.source,
            "object": "event",
            "api_version": "v2",
            "event_type": event_type,
            "webhook_status": "scheduled" if configured else "not_configured",
            "content": {name: shown(part) for name, part in content.items() if part},
        }
        body = json.dumps(event, separators=(",", ":")).encode()
        key = f"event/{self._number:012d}"
        self.journal.put(key, body)
        self._enter(event, body, key)
        events = self.tables["event"]
        while (oldest := next(iter(events.values())))["occurred_at"] < now - _EVENT_LIFE:
            self.journal.delete(events.pop(oldest["id"])["_key"])
        self.ground.agenda.touch("chargebee")
        self.on_event(event, body)

    def _enter(self, event: Resource, body: bytes, key: str) -> None:
        # The content stays text: parsed it takes several times the room, and is seldom read again.
        kept = {name: value for name, value in event.items() if name != "content"}
        self.tables["event"][event["id"]] = {**kept, "_body": body, "_key": key}
