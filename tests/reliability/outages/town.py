"""Two clinics at work on a local cloud of their own, with seeded traffic at their portals."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from emulators.cloud import Options
from emulators.demo.journey import BEGINS
from emulators.demo.stage import OPENING, Stage
from emulators.pubsub.deliveries import Delivery
from emulators.running import running
from emulators.traffic import Sent, Traffic
from shared.platform.timers import HORIZON

AFTERNOON = timedelta(hours=6)
"""After `BEGINS` it is day in both clinics' zones: few messages wait for quiet hours to end."""
_UNSENT = "SELECT count(*) FROM platform.outbox WHERE sent_at IS NULL"
_UNQUEUED = """
    SELECT count(*) FROM platform.timers
    WHERE state = 'scheduled' AND queued_at IS NULL AND due_at <= :horizon"""
_OVERDUE = "SELECT count(*) FROM platform.timers WHERE state = 'scheduled' AND due_at <= :now"


@dataclass
class Received:
    """What subscribers got: for each delivery its subscription, subject and event, once each.

    Pub/Sub's log keeps the newest 5000 deliveries, so it is read again and again.
    """

    stage: Stage
    first: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """By subscription and subject the events' ids, in the order of their first delivery."""
    _seen: set[tuple[str, str]] = field(default_factory=set)
    _last: Delivery | None = None

    def listen(self) -> None:
        """Take note of new deliveries. Raises `LookupError` if the log has lost some."""

        pubsub: Any = self.stage.cloud.cloud.engines["pubsub"]

        async def read() -> list[Delivery]:
            return list(pubsub.deliveries())

        log = self.stage.cloud.run(read())
        at = next((n for n in range(len(log) - 1, -1, -1) if log[n] is self._last), None)
        if self._last is not None and at is None:
            raise LookupError("more was delivered than the log keeps")
        for one in log[0 if at is None else at + 1 :]:
            self._note(one)
        self._last = log[-1] if log else None

    def _note(self, one: Delivery) -> None:
        subscription, event = one.subscription.rpartition("/")[2], one.attributes["ce-id"]
        if (subscription, event) not in self._seen:
            self._seen.add((subscription, event))
            key = (subscription, one.attributes["ce-subject"])
            self.first.setdefault(key, []).append(event)

    def disorder(self) -> list[str]:
        """Events that a subscriber got after a later one of the same subject."""
        rows = self.stage.rows("SELECT CAST(id AS text) AS id, seq FROM platform.outbox")
        seq = {row["id"]: row["seq"] for row in rows}
        found = []
        for (subscription, subject), events in self.first.items():
            latest = 0
            for event in events:
                if seq[event] < latest:
                    found.append(f"{subscription} {subject} {event}")
                latest = max(latest, seq[event])
        return found


@dataclass
class Town:
    """The clinics, who calls them, and what is still to be done."""

    stage: Stage
    traffic: Traffic
    received: Received

    @property
    def now(self) -> datetime:
        return self.stage.cloud.now

    def work(self, calls: int, seconds: float) -> list[Sent]:
        """Let so many calls come, and then virtual time pass."""
        sent = self.traffic.run(calls=calls, workers=4)
        self.stage.cloud.advance(seconds=seconds)
        self.received.listen()
        return sent

    def rest(self, seconds: float) -> None:
        """Let virtual time pass without calls."""
        self.stage.cloud.advance(seconds=seconds)
        self.received.listen()

    def backlog(self, target: str) -> int:
        """Events unsent or not yet taken by a subscriber, timers overdue.

        Without Cloud Tasks timers that wait for a task, too; otherwise some do for a minute.
        """
        pubsub = self.stage.cloud.describe("pubsub")["subscriptions"]
        return (
            int(self.stage.one(_UNSENT))
            + sum(int(one["backlog"]) for one in pubsub)
            + int(self.stage.one(_UNQUEUED, horizon=self.now + HORIZON) * (target == "tasks"))
            + int(self.stage.one(_OVERDUE, now=self.now))
        )


@contextmanager
def town(folder: Path, seed: int, customers: int, *, frozen: bool = True) -> Iterator[Town]:
    """Open the clinics; five minutes later the subscriptions of all customers begin.

    Time stands still, unless it is moved, or else it runs.
    """
    starts = BEGINS + AFTERNOON
    options = Options(
        folder, seed=seed, throwaway=True, in_memory=True, starts=starts, frozen=frozen
    )
    with running(options) as cloud:
        stage = Stage(cloud)
        try:
            made = Town(stage, Traffic(stage, seed), Received(stage))
            made.traffic.open(customers)
            made.rest(seconds=OPENING.total_seconds() - 300)
            yield made
        finally:
            stage.close()
