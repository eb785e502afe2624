"""The record of what was delivered where, for the console."""

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

MOST_RECORDS = 5000


class Outcome(StrEnum):
    ACKED = "acked"
    NACKED = "nacked"
    DEAD_LETTERED = "dead-lettered"
    EXPIRED = "expired"


@dataclass(slots=True)
class Delivery:
    """One delivery attempt. Instants are virtual, aware, UTC; `milliseconds` is real time."""

    message_id: str
    topic: str
    subscription: str
    attributes: dict[str, str]
    publish_time: datetime
    delivered_at: datetime
    attempt: int
    outcome: Outcome
    status: int | None = None
    """HTTP status of a push; None for a pull, a time-out or no connection."""
    milliseconds: float | None = None


class DeliveryLog:
    """The most recent deliveries, oldest first."""

    def __init__(self) -> None:
        self._records: deque[Delivery] = deque(maxlen=MOST_RECORDS)

    def append(self, record: Delivery) -> None:
        self._records.append(record)

    def recent(self) -> list[Delivery]:
        return list(self._records)
