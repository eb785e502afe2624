"""Faults of deliveries: what Pub/Sub may do to a message on its way, on demand."""

from datetime import datetime, timedelta

from emulators.engine import Ground
from emulators.faults import FaultKind

_ORDERED = (FaultKind.DELAY,)
_UNORDERED = (FaultKind.DELAY, FaultKind.REORDER)


class Disturbances:
    """Asks the faults of `pubsub`; a fault's `path` is looked for in the topic's name."""

    def __init__(self, ground: Ground) -> None:
        self._faults = ground.faults
        self._clock = ground.clock

    def held_back(self, topic: str, *, ordered: bool) -> datetime | None:
        """Until when a new message is held back, if at all; an ordered one is not overtaken."""
        fault = self._faults.struck("pubsub", topic, *(_ORDERED if ordered else _UNORDERED))
        if fault is None:
            return None
        return self._clock.now() + timedelta(seconds=fault.holds_back())

    def duplicates(self, topic: str) -> bool:
        """Whether a message is delivered twice."""
        return self._faults.strike("pubsub", topic, FaultKind.DUPLICATE) is not None
