"""Points at which a process of the functions' host ends or stands still, armed by a proof.

A point is a word like `outbox.publish:after`: before or after one side effect of the product. The
host is told each point it reaches (`Watch`); everything is kept in files of one folder, so that
all its processes count and arm together, and what was fired outlives the process that fell:
`reached/<point>` has a byte for each time, `armed/<point>` says what happens there and from which
time on, and is moved to `fired/` by the one process that acts.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

VARIABLE = "CLINICLOOP_FAIL_POINTS"
"""Names the folder; where it is set the functions' host watches its points."""
_REACHED, _ARMED, _FIRED = "reached", "armed", "fired"


class Action(StrEnum):
    """What becomes of the process that reaches an armed point."""

    KILL = "kill"
    """SIGKILL: nothing that comes after is done."""
    STOP = "stop"
    """SIGSTOP: all its threads stand still until somebody sends SIGCONT or SIGKILL."""


_SIGNALS = {Action.KILL: signal.SIGKILL, Action.STOP: signal.SIGSTOP}


@dataclass(frozen=True)
class Fired:
    """A point that was armed, and the process to which that happened."""

    point: str
    action: Action
    pid: int


class FailPoints:
    """Arms points and tells what came of it; for the process that runs a proof.

    An armed point acts once. Idempotent to make: a folder that exists is gone on with.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for part in (_REACHED, _ARMED, _FIRED):
            (folder / part).mkdir(parents=True, exist_ok=True)

    def arm(self, point: str, action: Action | str = Action.KILL, passing: int = 0) -> None:
        """Let the next `passing` times go by and act on the one after; replaces what was armed."""
        before = self.folder / f"arming-{point}"
        before.write_text(f"{Action(action)} {self._times(point) + passing + 1}")
        before.rename(self.folder / _ARMED / point)

    def disarm(self, points: Sequence[str] | None = None) -> None:
        """Arm none of `points` (or none at all) any longer."""
        for point in self.armed() if points is None else points:
            (self.folder / _ARMED / point).unlink(missing_ok=True)

    def armed(self) -> list[str]:
        """The points that have not acted yet."""
        return self._names(_ARMED)

    def fired(self) -> list[Fired]:
        """What happened, oldest first."""
        found = []
        for name in self._names(_FIRED):
            _, pid, action, point = name.split(" ")
            found.append(Fired(point, Action(action), int(pid)))
        return found

    def reached(self) -> Counter[str]:
        """How often each point was reached, armed or not; those never reached are not in it."""
        return Counter({point: self._times(point) for point in self._names(_REACHED)})

    def _names(self, part: str) -> list[str]:
        return sorted(path.name for path in (self.folder / part).iterdir())

    def _times(self, point: str) -> int:
        with suppress(FileNotFoundError):
            return (self.folder / _REACHED / point).stat().st_size
        return 0


class Watch:
    """What a watched process is told; it counts the point and, if armed, acts on itself.

    A point that is not armed costs two system calls. Any thread may call it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._counters: dict[str, int] = {}

    def __call__(self, point: str) -> None:
        counter = self._counters.get(point)
        if counter is None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            counter = os.open(self._folder / _REACHED / point, flags, 0o600)
            self._counters[point] = counter  # two threads may open two: both append
        os.write(counter, b".")
        try:
            armed = (self._folder / _ARMED / point).read_text()
        except FileNotFoundError:
            return
        action, first = armed.split()
        if os.fstat(counter).st_size >= int(first):
            self._act(point, Action(action))

    def _act(self, point: str, action: Action) -> None:
        """Whoever moves the file acts; the move is also the record."""
        fired = f"{time.time_ns():020} {os.getpid()} {action} {point}"
        with suppress(FileNotFoundError):
            (self._folder / _ARMED / point).rename(self._folder / _FIRED / fired)
            os.kill(os.getpid(), _SIGNALS[action])
