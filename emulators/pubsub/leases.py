"""Leases: messages handed to pullers until an ack deadline."""

import itertools
from collections.abc import Callable
from datetime import datetime
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from emulators.agenda import Agenda, Entry

if TYPE_CHECKING:
    from emulators.pubsub.delivery import Standing

_SPARE = 64


class Holder:
    """Who holds leases, e.g. a stream; the counts are its flow control."""

    def __init__(self) -> None:
        self.messages = 0
        self.bytes = 0


class Lease:
    """One message with one holder; `due` (virtual) is its deadline, None once it has ended."""

    __slots__ = ("ack_id", "due", "holder", "standing")

    def __init__(self, ack_id: str, standing: "Standing", holder: Holder) -> None:
        self.ack_id = ack_id
        self.standing = standing
        self.holder = holder
        self.due: datetime | None = None


class Leases:
    """What is out of one subscription, by ack id; calls `expire` at each passed deadline.

    Ack ids begin with `mark`. One entry on the agenda serves all deadlines, so that a
    lease costs next to nothing.
    """

    def __init__(
        self, agenda: Agenda, name: str, mark: str, expire: Callable[[Lease], None]
    ) -> None:
        self._agenda = agenda
        self._name = name
        self._mark = mark
        self._expire = expire
        self._by_id: dict[str, Lease] = {}
        self._deadlines: list[tuple[datetime, int, Lease]] = []
        self._numbers = itertools.count(1)
        self._entry: Entry | None = None

    def __contains__(self, ack_id: object) -> bool:
        return ack_id in self._by_id

    def get(self, ack_id: str) -> Lease | None:
        return self._by_id.get(ack_id)

    def grant(self, standing: "Standing", due: datetime, holder: Holder) -> Lease:
        message = standing.message
        ack_id = f"{self._mark}-{message.id}-{standing.attempt}-{next(self._numbers)}"
        lease = self._by_id[ack_id] = Lease(ack_id, standing, holder)
        holder.messages += 1
        holder.bytes += message.size
        self.set_deadline(lease, due)
        return lease

    def set_deadline(self, lease: Lease, due: datetime) -> None:
        """The deadline is `due` from now on, earlier or later than before."""
        lease.due = due
        heappush(self._deadlines, (due, next(self._numbers), lease))
        if len(self._deadlines) > 2 * len(self._by_id) + _SPARE:
            self._deadlines = [each for each in self._deadlines if each[2].due == each[0]]
            heapify(self._deadlines)
        if self._entry is None or due < self._entry.when:
            self._arm(due)

    def end(self, lease: Lease) -> None:
        lease.due = None
        del self._by_id[lease.ack_id]
        lease.holder.messages -= 1
        lease.holder.bytes -= lease.standing.message.size

    def clear(self) -> None:
        """End all of them and leave the agenda."""
        for lease in list(self._by_id.values()):
            lease.standing.lease = None
            self.end(lease)
        self._deadlines.clear()
        if self._entry is not None:
            self._entry.cancel()
            self._entry = None

    def _arm(self, due: datetime) -> None:
        if self._entry is not None:
            self._entry.cancel()
        self._entry = self._agenda.at(due, self._fire, f"ack deadlines of {self._name}")

    def _fire(self) -> None:
        self._entry = None
        now = self._agenda.clock.now()
        while self._deadlines:
            due, _, lease = self._deadlines[0]
            current = lease.due == due
            if current and due > now:
                self._arm(due)
                return
            heappop(self._deadlines)
            if current:
                self._expire(lease)
