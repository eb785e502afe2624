"""Acknowledged messages and snapshots: what a subscription can be turned back to."""

from collections.abc import Callable
from datetime import datetime, timedelta

from emulators.agenda import Agenda
from emulators.journal import Journal
from emulators.pubsub.delivery import Subscription
from emulators.pubsub.history import (
    LEAST_SNAPSHOT_LIFE,
    SNAPSHOT_LIFE,
    History,
    TakenSnapshot,
)
from emulators.pubsub.messages import Message
from emulators.pubsub.rules import DELETED_TOPIC, check_name
from emulators.pubsub.wire import Proto, already_exists, not_found, unmet


class Archive:
    """The kept messages of topics and the snapshots, journaled as `snapshot/<name>`.

    `retention` tells how long a topic's messages are kept apart from snapshots, `forget` is told
    of snapshots that are gone.
    """

    def __init__(
        self,
        agenda: Agenda,
        journal: Journal,
        retention: Callable[[str], timedelta],
        forget: Callable[[str], None],
    ) -> None:
        self.snapshots: dict[str, TakenSnapshot] = {}
        self._agenda = agenda
        self._journal = journal
        self._retention = retention
        self._forget = forget
        self._history = History()

    def load(self) -> None:
        for _, record in self._journal.items("snapshot/"):
            self._hold(TakenSnapshot.from_record(record))

    def close(self) -> None:
        """Leave the agenda."""
        for snapshot in self.snapshots.values():
            snapshot.rest()

    # Kept messages

    def life(self, topic: str) -> timedelta:
        """How long acknowledged messages of the topic are kept."""
        life = self._retention(topic)
        return max(life, SNAPSHOT_LIFE) if self.of(topic) else life

    def keep(self, message: Message) -> None:
        self._history.keep(message)

    def kept(self, topic: str) -> list[Message]:
        return self._history.of(topic)

    def prune(self, topic: str) -> None:
        """Drop what has been kept for long enough."""
        now = self._agenda.clock.now()
        for message in self._history.prune(topic, now, self.life(topic)):
            self._journal.delete(message.key)

    # Snapshots

    def of(self, topic: str) -> list[TakenSnapshot]:
        return [each for each in self.snapshots.values() if each.config.topic == topic]

    def snapshot(self, name: str) -> TakenSnapshot:
        """The snapshot; raises NOT_FOUND."""
        if name not in self.snapshots:
            check_name("snapshots", name)
            raise not_found(name)
        return self.snapshots[name]

    def take(self, config: Proto, subscription: Subscription, upto: int) -> None:
        """Hold on to what is unacknowledged and to all numbers above `upto`.

        `config` gets topic and expiry time. FAILED_PRECONDITION if the oldest message would let it
        live for less than an hour.
        """
        if config.name in self.snapshots:
            raise already_exists(config.name)
        unacked = [each.message for each in subscription.standings.values() if not each.acked]
        now = self._agenda.clock.now()
        expires = min((message.published for message in unacked), default=now) + SNAPSHOT_LIFE
        if expires - now < LEAST_SNAPSHOT_LIFE:
            raise unmet("The backlog is too old for a snapshot.")
        config.topic = subscription.topic
        config.expire_time.FromDatetime(expires)
        self.save(TakenSnapshot(config, frozenset(each.number for each in unacked), upto))
        for message in unacked:
            self.keep(message)

    def save(self, snapshot: TakenSnapshot) -> None:
        """Write it down and hold it until its (perhaps changed) expiry time."""
        self._hold(snapshot)
        self._journal.put(f"snapshot/{snapshot.config.name}", snapshot.record())

    def _hold(self, snapshot: TakenSnapshot) -> None:
        name = snapshot.config.name
        snapshot.rest()
        self.snapshots[name] = snapshot
        snapshot.entry = self._agenda.at(
            snapshot.expires, lambda: self.delete(name), f"expire {name}"
        )

    def delete(self, name: str) -> None:
        snapshot = self.snapshot(name)
        snapshot.rest()
        with self._journal.batch():
            self._journal.delete(f"snapshot/{name}")
            del self.snapshots[name]
            self._forget(name)
            self.prune(snapshot.config.topic)

    def leave_topic(self, topic: str) -> None:
        """The topic is gone; its snapshots stay."""
        for snapshot in self.of(topic):
            snapshot.config.topic = DELETED_TOPIC
            self._journal.put(f"snapshot/{snapshot.config.name}", snapshot.record())
        self.prune(topic)

    def expired(self, message: Message, now: datetime) -> bool:
        """Whether the message has been kept for long enough."""
        return message.expired(now, self.life(message.topic))
