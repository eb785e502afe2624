"""What is kept after it was acknowledged, so that a subscription can seek back to it.

A topic's messages are kept for as long as the topic's own retention, a subscription that retains
acknowledged messages, or a snapshot asks for. Rules: "Replay and purge messages" in the guide.
"""

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from emulators.agenda import Entry
from emulators.pubsub.messages import Message
from emulators.pubsub.wire import Proto, Snapshot

SNAPSHOT_LIFE = timedelta(days=7)
LEAST_SNAPSHOT_LIFE = timedelta(hours=1)


@dataclass
class TakenSnapshot:
    """The state of a subscription: unacknowledged are `unacked` and all numbers above `upto`."""

    config: Proto
    unacked: frozenset[int]
    upto: int
    entry: Entry | None = None
    """Its expiry on the agenda."""

    def rest(self) -> None:
        """Take its expiry off the agenda."""
        if self.entry is not None:
            self.entry.cancel()

    @property
    def expires(self) -> datetime:
        expires: datetime = self.config.expire_time.ToDatetime(UTC)
        return expires

    def wants(self, message: Message) -> bool:
        return message.number in self.unacked or message.number > self.upto

    def record(self) -> bytes:
        config = b64encode(self.config.SerializeToString()).decode()
        fields = {"config": config, "unacked": sorted(self.unacked), "upto": self.upto}
        return json.dumps(fields).encode()

    @classmethod
    def from_record(cls, record: bytes) -> "TakenSnapshot":
        fields = json.loads(record)
        config = Snapshot.FromString(b64decode(fields["config"]))
        return cls(config, frozenset(fields["unacked"]), fields["upto"])


class History:
    """The kept messages of each topic, oldest first."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[int, Message]] = {}

    def keep(self, message: Message) -> bool:
        """Hold the message; False if it is held already."""
        kept = self._kept.setdefault(message.topic, {})
        if message.number in kept:
            return False
        kept[message.number] = message
        message.holders += 1
        return True

    def of(self, topic: str) -> list[Message]:
        return list(self._kept.get(topic, {}).values())

    def prune(self, topic: str, now: datetime, life: timedelta) -> list[Message]:
        """Let go of what is older than `life`; answers what nobody holds any more."""
        kept = self._kept.get(topic)
        if not kept:
            return []
        unheld = []
        for message in list(kept.values()):
            if not message.expired(now, life):
                break
            del kept[message.number]
            message.holders -= 1
            if not message.holders:
                unheld.append(message)
        return unheld
