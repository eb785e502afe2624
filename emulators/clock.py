"""Virtual time for the whole stack, shared between processes through one small memory-mapped file.

The page holds little-endian 64-bit integers: the offset from the system's clock in microseconds,
the frozen instant in microseconds since the epoch (0 while time runs), and for each process of the
functions' host how many requests it has served.
"""

import mmap
import struct
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

HOST_PROCESSES = 4
_PAGE = struct.Struct(f"<{2 + HOST_PROCESSES}q")
_INT = struct.Struct("<q")
_OFFSET, _FROZEN, _REQUESTS = 0, 8, 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(instant: datetime) -> int:
    """Whole microseconds since the epoch."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


def from_micros(value: int) -> datetime:
    return _EPOCH + timedelta(microseconds=value)


class VirtualClock:
    """A clock that runs with the system's, ahead of it by an offset, or stands still at an instant.

    One process (the local cloud) moves it; any process that opens the same file reads it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists() or path.stat().st_size < _PAGE.size:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(_PAGE.size))
        with path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), _PAGE.size)

    def _get(self, at: int) -> int:
        value: int = _INT.unpack_from(self._page, at)[0]
        return value

    def _set(self, at: int, value: int) -> None:
        _INT.pack_into(self._page, at, value)

    def now(self) -> datetime:
        """The virtual instant, aware, in UTC."""
        frozen = self._get(_FROZEN)
        return from_micros(frozen or time.time_ns() // 1000 + self._get(_OFFSET))

    def time(self) -> float:
        """The virtual instant in seconds since the epoch."""
        return micros(self.now()) / 1e6

    @property
    def frozen(self) -> bool:
        return self._get(_FROZEN) != 0

    def begin(self, at: datetime) -> None:
        """Start a new stack at `at`, past or future, standing still. Not for one that has run."""
        self._set(_FROZEN, micros(at))

    def freeze(self, at: datetime | None = None) -> None:
        """Stand still at `at`, or at the present instant. Never moves back."""
        self._set(_FROZEN, micros(max(at or self.now(), self.now())))

    def run(self) -> None:
        """Go on at the system's pace from the present virtual instant."""
        if self.frozen:
            self._set(_OFFSET, self._get(_FROZEN) - time.time_ns() // 1000)
            self._set(_FROZEN, 0)

    def jump(self, to: datetime) -> None:
        """Set the present instant to `to`; ignored when `to` is not ahead."""
        ahead = micros(to) - micros(self.now())
        if ahead <= 0:
            return
        if self.frozen:
            self._set(_FROZEN, micros(to))
        else:
            self._set(_OFFSET, self._get(_OFFSET) + ahead)

    @property
    def requests(self) -> int:
        """How many requests the functions' host has served, polling crons left out."""
        return sum(self._get(_REQUESTS + _INT.size * slot) for slot in range(HOST_PROCESSES))

    def count_request(self, process: int = 0) -> None:
        """Called by the functions' host alone; each of its processes has a count of its own."""
        at = _REQUESTS + _INT.size * (process % HOST_PROCESSES)
        self._set(at, self._get(at) + 1)
