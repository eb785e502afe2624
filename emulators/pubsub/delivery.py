"""One subscription at work: what is ready, what is out, what waits, and how often it was tried.

A message stands with a subscription from the time it is published until it is acknowledged,
dead-lettered or expired. Ordered messages stand in a line per key: a line hands out one batch at
a time, and a redelivery brings everything behind it again, acknowledged or not.
"""

import struct
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Protocol
from zlib import crc32

from emulators.agenda import Agenda, Entry
from emulators.clock import from_micros, micros
from emulators.pubsub.deliveries import Outcome
from emulators.pubsub.disturbances import Disturbances
from emulators.pubsub.filters import compile_filter
from emulators.pubsub.leases import Holder, Lease, Leases
from emulators.pubsub.messages import Message
from emulators.pubsub.wire import Proto

_RECORD = struct.Struct("<Iq")
PUSH_BACKOFF = (0.1, 60.0)


class Standing:
    """How one message stands with one subscription. `failures` counts nacks and expired leases."""

    __slots__ = (
        "acked",
        "due",
        "duplicated",
        "entry",
        "failures",
        "lease",
        "line",
        "message",
        "out",
    )

    def __init__(self, message: Message, failures: int = 0, due: datetime | None = None) -> None:
        self.message = message
        self.failures = failures
        self.due = due
        self.line: Line | None = None
        self.out = False
        self.acked = False
        self.duplicated = False
        self.entry: Entry | None = None
        self.lease: Lease | None = None

    @property
    def attempt(self) -> int:
        """Which delivery attempt the present or next one is, from 1."""
        return self.failures + 1

    def record(self) -> bytes:
        return _RECORD.pack(self.failures, micros(self.due) if self.due else 0)

    @classmethod
    def from_record(cls, message: Message, record: bytes) -> "Standing":
        failures, due = _RECORD.unpack(record)
        return cls(message, failures, from_micros(due) if due else None)

    def rest(self) -> None:
        """Take its entry off the agenda."""
        if self.entry is not None:
            self.entry.cancel()
            self.entry = None


class Line:
    """The messages of one ordering key, oldest first; `out` are with a receiver."""

    __slots__ = ("entry", "key", "out", "waiting")

    def __init__(self, key: str) -> None:
        self.key = key
        self.waiting: deque[Standing] = deque()
        self.out: list[Standing] = []
        self.entry: Entry | None = None

    @property
    def open(self) -> bool:
        """Whether it may hand out its next batch."""
        return bool(self.waiting) and not self.out and self.entry is None


class Keeper(Protocol):
    """What a subscription asks of the broker."""

    agenda: Agenda
    disturbances: Disturbances

    def keep(self, subscription: "Subscription", standing: Standing) -> None:
        """Write down failures and due time."""

    def release(self, subscription: "Subscription", standing: Standing) -> None:
        """Forget a standing that is done."""

    def dead_letter(self, subscription: "Subscription", standing: Standing) -> bool:
        """Forward to the dead-letter topic; False if that cannot be done."""

    def note(self, subscription: "Subscription", standing: Standing, outcome: Outcome) -> None:
        """Enter what happened into the delivery log."""


class Subscription:
    """A subscription's configuration and its standings; calls `wake` when one becomes ready."""

    def __init__(
        self, config: Proto, keeper: Keeper, wake: Callable[["Subscription"], None]
    ) -> None:
        self.matches = compile_filter(config.filter)
        self.standings: dict[int, Standing] = {}
        self.lines: dict[str, Line] = {}
        self.mark = f"{crc32(config.name.encode()):08x}"
        """Begins its ack ids."""
        self.leases = Leases(keeper.agenda, config.name, self.mark, self._expire)
        self.workers = 0
        self._ready: deque[Standing | Line] = deque()
        self._keeper = keeper
        self._wake = wake
        self.configure(config)

    def configure(self, config: Proto) -> None:
        """Take over a (changed) configuration; hot values are kept as plain attributes."""
        self.config = config
        self.name: str = config.name
        self.topic: str = config.topic
        self.endpoint: str = config.push_config.push_endpoint
        self.ordered: bool = config.enable_message_ordering
        self.exactly_once: bool = config.enable_exactly_once_delivery
        self.retains_acked: bool = config.retain_acked_messages
        self.retention: timedelta = config.message_retention_duration.ToTimedelta()
        self.most_attempts: int = (
            config.dead_letter_policy.max_delivery_attempts
            if config.HasField("dead_letter_policy")
            else 0
        )

    # What comes in

    def add(self, standing: Standing) -> None:
        """A new standing, or one read back from the journal."""
        message = standing.message
        self.standings[message.number] = standing
        if self.ordered and message.ordering_key:
            line = self.lines.setdefault(message.ordering_key, Line(message.ordering_key))
            standing.line = line
            line.waiting.append(standing)
            if standing.due is not None and line.entry is None:
                self._delay_line(line, standing.due)
            elif line.open and len(line.waiting) == 1:
                self._offer(line)
        elif standing.due is not None:
            self._delay(standing, standing.due)
        else:
            self._offer(standing)

    def _offer(self, ready: Standing | Line) -> None:
        self._ready.append(ready)
        self._wake(self)

    @property
    def ready(self) -> int:
        """How much there is to take: messages, and ordering keys with some."""
        return len(self._ready)

    # What goes out

    def take(self, most: int, most_bytes: float, batch: int) -> list[Standing]:
        """The next standings to deliver, at most `batch` of one ordering key; they are out then."""
        now = self._keeper.agenda.clock.now()
        taken: list[Standing] = []
        while self._ready and len(taken) < most and most_bytes > 0:
            first = self._ready.popleft()
            if isinstance(first, Standing):
                batch_taken = [first] if self._usable(first, now) else []
            else:
                batch_taken = self._take_line(first, min(batch, most - len(taken)), now)
            for standing in batch_taken:
                standing.out = True
                most_bytes -= standing.message.size
                taken.append(standing)
        return taken

    def _take_line(self, line: Line, most: int, now: datetime) -> list[Standing]:
        if not line.open:
            return []
        while line.waiting and len(line.out) < most:
            standing = line.waiting.popleft()
            if self._usable(standing, now):
                line.out.append(standing)
        if not line.out:
            self.lines.pop(line.key, None)
        return list(line.out)

    def _usable(self, standing: Standing, now: datetime) -> bool:
        """False for what is done already; what outlived its retention is dropped here."""
        if self.standings.get(standing.message.number) is not standing:
            return False
        if standing.message.expired(now, self.retention):
            self._keeper.note(self, standing, Outcome.EXPIRED)
            self._done(standing)
            return False
        return True

    # What comes back

    def ack(self, standing: Standing) -> None:
        """Done, unless an older message of its line is still out."""
        if self.standings.get(standing.message.number) is not standing:
            return
        self._end_lease(standing)
        line = standing.line
        if line is None:
            self._done(standing)
            return
        standing.acked = True
        while line.out and line.out[0].acked:
            self._done(line.out.pop(0))
        self._after_line(line)

    def nack(self, standing: Standing) -> None:
        """Count a failure; dead-letter the message or deliver it again after its backoff."""
        if self.standings.get(standing.message.number) is not standing or not standing.out:
            return
        self._end_lease(standing)
        standing.failures += 1
        exhausted = 0 < self.most_attempts <= standing.failures
        if exhausted and self._keeper.dead_letter(self, standing):
            self.ack(standing)
            return
        seconds = self._backoff(standing.failures)
        now = self._keeper.agenda.clock.now()
        standing.due = now + timedelta(seconds=seconds) if seconds else None
        self._keeper.keep(self, standing)
        if standing.line is not None:
            self._give_back(standing.line, standing)
        elif standing.due is not None:
            standing.out = False
            self._delay(standing, standing.due)
        else:
            standing.out = False
            self._offer(standing)

    def _backoff(self, failures: int) -> float:
        """Seconds before the next attempt.

        A retry policy doubles from its minimum to its maximum. Without one a puller gets the
        message again at once, a push endpoint after 100 ms growing to 60 s, as documented for push
        backoff; that floor holds for a policy of zero too, so that nothing spins.
        """
        least, most = PUSH_BACKOFF if self.endpoint else (0.0, 0.0)
        if self.config.HasField("retry_policy"):
            policy = self.config.retry_policy
            least = max(least, policy.minimum_backoff.ToTimedelta().total_seconds())
            most = max(least, policy.maximum_backoff.ToTimedelta().total_seconds())
        return min(least * 2.0 ** min(failures - 1, 30), most)

    def _give_back(self, line: Line, standing: Standing) -> None:
        """Return it and everything of its line behind it, acknowledged or not."""
        at = line.out.index(standing)
        returned = line.out[at:]
        del line.out[at:]
        for follower in returned:
            self._end_lease(follower)
            follower.out = follower.acked = False
        line.waiting.extendleft(reversed(returned))
        if standing.due is not None:
            self._delay_line(line, standing.due)
        self._after_line(line)

    def _after_line(self, line: Line) -> None:
        if line.open:
            self._offer(line)
        elif not line.waiting and not line.out:
            self.lines.pop(line.key, None)

    def _delay(self, standing: Standing, due: datetime) -> None:
        def again() -> None:
            standing.entry = standing.due = None
            self._offer(standing)

        standing.entry = self._keeper.agenda.at(due, again, f"redeliver {standing.message.id}")

    def _delay_line(self, line: Line, due: datetime) -> None:
        def again() -> None:
            line.entry = None
            if line.open:
                self._offer(line)

        if line.entry is not None:
            line.entry.cancel()
        line.entry = self._keeper.agenda.at(due, again, f"redeliver key {line.key}")

    def _done(self, standing: Standing) -> None:
        del self.standings[standing.message.number]
        standing.rest()
        self._keeper.release(self, standing)

    # Leases of pullers

    def deadline(self, seconds: float) -> datetime:
        """The instant so many (virtual) seconds from now."""
        return self._keeper.agenda.clock.now() + timedelta(seconds=seconds)

    def lease(self, standing: Standing, due: datetime, holder: Holder) -> str:
        """Hand it out until `due`; answers the ack id."""
        standing.lease = self.leases.grant(standing, due, holder)
        return standing.lease.ack_id

    def _expire(self, lease: Lease) -> None:
        self._keeper.note(self, lease.standing, Outcome.NACKED)
        self.nack(lease.standing)

    def _end_lease(self, standing: Standing) -> None:
        if standing.lease is not None:
            self.leases.end(standing.lease)
            standing.lease = None
            self._wake(self)

    def acknowledge(self, ack_ids: Iterable[str]) -> None:
        """Unknown and expired ack ids are passed over, as documented."""
        for ack_id in ack_ids:
            if (lease := self.leases.get(ack_id)) is None:
                continue
            self._keeper.note(self, lease.standing, Outcome.ACKED)
            if self.duplicates(lease.standing):
                self._again(lease.standing)
            else:
                self.ack(lease.standing)

    def duplicates(self, standing: Standing) -> bool:
        """Whether a fault delivers it twice, which exactly-once delivery rules out."""
        spared = self.exactly_once or standing.duplicated
        return not spared and self._keeper.disturbances.duplicates(self.topic)

    def _again(self, standing: Standing) -> None:
        """Deliver it once more at once, although nothing has failed."""
        self._end_lease(standing)
        standing.duplicated = True
        standing.due = None
        if standing.line is not None:
            self._give_back(standing.line, standing)
        else:
            standing.out = False
            self._offer(standing)

    def modify(self, ack_ids: Iterable[str], seconds: int) -> None:
        """Move deadlines to `seconds` from now; 0 is a nack."""
        due = self.deadline(seconds)
        for ack_id in ack_ids:
            lease = self.leases.get(ack_id)
            if lease is None:
                continue
            if seconds == 0:
                self._expire(lease)
            else:
                self.leases.set_deadline(lease, due)

    def backlog(self) -> int:
        """How many messages are neither acknowledged nor past their retention."""
        now = self._keeper.agenda.clock.now()
        return sum(
            not standing.acked and not standing.message.expired(now, self.retention)
            for standing in self.standings.values()
        )

    def close(self) -> None:
        """Take everything of it off the agenda."""
        for standing in self.standings.values():
            standing.rest()
        for line in self.lines.values():
            if line.entry is not None:
                line.entry.cancel()
        self.leases.clear()
        self._ready.clear()
