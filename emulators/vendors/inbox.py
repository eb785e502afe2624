"""What the fakes of all vendors share: the in-box a person looks into, and webhooks going out."""

import asyncio
import base64
import json as jsonlib
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import aiohttp

from emulators.agenda import Entry
from emulators.engine import Ground
from emulators.faults import FaultKind
from emulators.journal import Journal

DELAYS = (60, 300, 1800, 7200, 18_000, 43_200, 86_400)
"""Seconds of virtual time between the attempts at one webhook; after the last it is given up."""

_HOLDING_BACK = (FaultKind.REORDER, FaultKind.DELAY)
_ANSWER_WITHIN = aiohttp.ClientTimeout(total=20)


@dataclass(frozen=True)
class Sent:
    """One thing the product told a vendor, as a person would look it up. `at` is aware UTC."""

    vendor: str
    kind: str
    to: str
    subject: str
    body: dict[str, Any]
    at: datetime
    id: str


class Inbox:
    """The newest `most` things sent by way of one vendor, durable through its journal.

    Uses the journal's keys under `inbox/`.
    """

    def __init__(self, ground: Ground, vendor: str, journal: Journal, most: int = 10_000) -> None:
        self._ground = ground
        self._vendor = vendor
        self._journal = journal
        self._kept: deque[tuple[str, Sent]] = deque()
        self._most = most
        for key, value in journal.items("inbox/"):
            fields = jsonlib.loads(value)
            fields["at"] = datetime.fromisoformat(fields["at"])
            self._kept.append((key, Sent(**fields)))
        self._next = int(self._kept[-1][0].removeprefix("inbox/")) + 1 if self._kept else 0

    def add(
        self,
        kind: str,
        to: str,
        subject: str,
        body: dict[str, Any],
        id: str = "",  # noqa: A002
    ) -> Sent:
        """Keep one thing, durably; the oldest makes room. `id` is the vendor's, or made here."""
        sent = Sent(
            self._vendor, kind, to, subject, body, self._ground.clock.now(), id or uuid.uuid4().hex
        )
        key = f"inbox/{self._next:012d}"
        self._next += 1
        self._kept.append((key, sent))
        with self._journal.batch():
            self._journal.put(key, lambda: jsonlib.dumps(_plain(sent)).encode())
            while len(self._kept) > self._most:
                self._journal.delete(self._kept.popleft()[0])
        self._ground.agenda.touch()
        return sent

    def newest(self, most: int | None = None) -> list[Sent]:
        """What was sent, newest first."""
        return [sent for _, sent in reversed(self._kept)][:most]

    def describe(self, most: int = 200) -> list[dict[str, Any]]:
        """The newest as JSON-ready data, newest first; `at` as ISO 8601."""
        return [_plain(sent) for sent in self.newest(most)]

    def __len__(self) -> int:
        return len(self._kept)


def _plain(sent: Sent) -> dict[str, Any]:
    return asdict(sent) | {"at": sent.at.isoformat()}


@dataclass(frozen=True)
class _Delivery:
    id: str
    url: str
    headers: dict[str, str]
    body: str
    attempts: int
    due: float  # virtual seconds since the epoch


class Webhooks:
    """Webhooks going out from one vendor: at least once, retried over virtual time.

    A webhook is in the journal (under `webhook/`) from `send` until it is answered with 2xx or
    given up, so a new object over the same journal goes on with it. Faults of `<vendor>-webhooks`:
    DUPLICATE posts it twice at once, REORDER holds it back by up to 30 virtual seconds, DELAY by as
    many as the fault says, DOWN loses the attempt. An attempt not answered within 20 real
    seconds has failed.
    """

    def __init__(
        self,
        ground: Ground,
        vendor: str,
        journal: Journal | None = None,
        delays: Sequence[float] = DELAYS,
    ) -> None:
        self._ground = ground
        self._vendor = vendor
        self._journal = journal or Journal(None, vendor)
        self._delays = tuple(delays)
        self._waiting: dict[str, Entry] = {}
        self._running: set[asyncio.Task[None]] = set()
        for _, value in self._journal.items("webhook/"):
            self._wait(_Delivery(**jsonlib.loads(value)))

    def send(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | Mapping[str, str] | None = None,
        json: Any = None,
        auth: tuple[str, str] | None = None,
    ) -> None:
        """Post to `url`: `data` as raw bytes or form fields, or `json`; `auth` is basic auth.

        Durable when it returns, and counted as under way. A signature over the body belongs into
        `headers` and the body then into `data` as bytes, so that retries carry the same.
        """
        sent = dict(headers or {})
        if json is not None:
            data = jsonlib.dumps(json).encode()
            sent.setdefault("Content-Type", "application/json")
        elif isinstance(data, Mapping):
            data = urlencode(data).encode()
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
        if auth is not None:
            token = base64.b64encode(":".join(auth).encode()).decode()
            sent["Authorization"] = f"Basic {token}"
        now = self._ground.clock.time()
        body = (data or b"").decode()
        delivery = _Delivery(uuid.uuid4().hex, url, sent, body, 0, now)
        if late := self._held_back(url):
            delivery = replace(delivery, due=now + late)
            self._keep(delivery)
            self._wait(delivery)
        else:
            self._keep(delivery)
            self._start(delivery)

    def stop(self) -> None:
        """Drop what is waiting or under way, as a crash would; the journal still holds it."""
        for entry in self._waiting.values():
            entry.cancel()
        self._waiting.clear()
        for task in self._running:
            task.cancel()

    def __len__(self) -> int:
        """How many are neither answered nor given up."""
        return len(self._waiting) + len(self._running)

    def _held_back(self, url: str) -> float:
        """Virtual seconds for which a fault holds a new webhook back."""
        fault = self._ground.faults.struck(f"{self._vendor}-webhooks", url, *_HOLDING_BACK)
        if fault is None:
            return 0.0
        return fault.late if fault.kind is FaultKind.DELAY else fault.dice.uniform(1, 30)

    def _struck(self, url: str, *kinds: FaultKind) -> bool:
        return self._ground.faults.strike(f"{self._vendor}-webhooks", url, *kinds) is not None

    def _keep(self, delivery: _Delivery) -> None:
        self._journal.put(
            f"webhook/{delivery.id}", lambda: jsonlib.dumps(asdict(delivery)).encode()
        )

    def _wait(self, delivery: _Delivery) -> None:
        seconds = max(delivery.due - self._ground.clock.time(), 0)
        self._waiting[delivery.id] = self._ground.agenda.after(
            seconds, lambda: self._start(delivery), f"{self._vendor} webhook {delivery.url}"
        )

    def _start(self, delivery: _Delivery) -> None:
        self._waiting.pop(delivery.id, None)
        task = self._ground.agenda.start(self._deliver(delivery))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _deliver(self, delivery: _Delivery) -> None:
        if self._struck(delivery.url, FaultKind.DUPLICATE):
            both = await asyncio.gather(self._post(delivery), self._post(delivery))
            accepted = any(both)
        else:
            accepted = await self._post(delivery)
        if accepted or delivery.attempts >= len(self._delays):
            self._journal.delete(f"webhook/{delivery.id}")
            return
        due = self._ground.clock.time() + self._delays[delivery.attempts]
        later = replace(delivery, attempts=delivery.attempts + 1, due=due)
        self._keep(later)
        self._wait(later)

    async def _post(self, delivery: _Delivery) -> bool:
        """One attempt; True for an answer of 2xx in time."""
        if self._struck(delivery.url, FaultKind.DOWN):
            return False
        try:
            async with self._ground.session.post(
                delivery.url,
                data=delivery.body.encode(),
                headers=delivery.headers,
                timeout=_ANSWER_WITHIN,
                allow_redirects=False,
            ) as answer:
                return 200 <= answer.status < 300
        except (aiohttp.ClientError, TimeoutError):
            return False
