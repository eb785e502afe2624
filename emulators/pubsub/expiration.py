"""Subscriptions that nobody uses expire.

Rule, from the reference of ExpirationPolicy: a subscription is deleted when for the length of its
`ttl` no subscriber was connected, took or acknowledged messages, or issued operations on it.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from emulators.agenda import Agenda, Entry
from emulators.pubsub.wire import Proto

LONGEST = timedelta(days=36_500)
"""Instants further away are beyond Python's."""


class Expirations:
    """Watches subscriptions by name; calls `expire` with that of one to delete.

    The last activity is not written down: a new engine counts from when it was made.
    """

    def __init__(self, agenda: Agenda, expire: Callable[[str], None]) -> None:
        self._agenda = agenda
        self._expire = expire
        self._entries: dict[str, Entry] = {}
        self._active: dict[str, datetime] = {}
        self._connected: Counter[str] = Counter()

    def watch(self, config: Proto) -> None:
        """Begin anew with a new or changed subscription; without a ttl it never expires."""
        self.forget(config.name)
        policy = config.expiration_policy
        if policy.HasField("ttl"):
            self._active[config.name] = self._agenda.clock.now()
            self._look_later(config.name, min(policy.ttl.ToTimedelta(), LONGEST))

    def forget(self, name: str) -> None:
        if (entry := self._entries.pop(name, None)) is not None:
            entry.cancel()
        self._active.pop(name, None)

    def close(self) -> None:
        """Leave the agenda."""
        for name in list(self._entries):
            self.forget(name)

    def active(self, name: str) -> None:
        if name in self._active:
            self._active[name] = self._agenda.clock.now()

    @contextmanager
    def connected(self, name: str) -> Iterator[None]:
        """A subscriber is connected for the length of the block."""
        self._connected[name] += 1
        try:
            yield
        finally:
            self._connected[name] -= 1
            self.active(name)

    def connections(self, name: str) -> int:
        return self._connected[name]

    def _look_later(self, name: str, ttl: timedelta) -> None:
        self._entries[name] = self._agenda.at(
            self._active[name] + ttl, lambda: self._look(name, ttl), f"expire {name}"
        )

    def _look(self, name: str, ttl: timedelta) -> None:
        now = self._agenda.clock.now()
        if self._connected[name]:
            self._active[name] = now
        if self._active[name] + ttl <= now:
            self._expire(name)
        else:
            self._look_later(name, ttl)
