"""Threads of which one runs at a time: at every point of a step the lots decide which.

A thread that waits for a lock in Postgres is known by its backend in `pg_locks`, never by how long
it takes. It goes on by itself when the lock's holder is done; then everybody else waits
until it has reached its next point.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from random import Random

from tests.reliability.simulation import task as tasks
from tests.reliability.simulation.task import Turns

_LOOKS_EVERY = 0.002
"""Seconds after which a thread that is still running is looked up in Postgres."""
_PATIENCE = 30.0


class _State(Enum):
    READY = auto()
    RUNNING = auto()
    WAITING = auto()
    ENDED = auto()


@dataclass
class _Runner:
    act: Callable[[], None]
    turns: Turns = field(default_factory=lambda: Turns(lambda: None))
    state: _State = _State.RUNNING
    turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    error: BaseException | None = None


class Interleaving:
    """`waiting` answers the backends that wait for a lock right now."""

    def __init__(self, lots: Random, waiting: Callable[[], set[int]]) -> None:
        self._lots = lots
        self._waiting = waiting
        self._changed = threading.Condition()
        self._runners: list[_Runner] = []
        self.waits = 0

    def run(self, acts: Sequence[Callable[[], None]]) -> None:
        """Do all of it at the same time; raises the first error of a thread."""
        self._runners = [_Runner(act) for act in acts]
        # Daemons: who is interrupted leaves them waiting for turns that never come.
        threads = [
            threading.Thread(target=self._live, args=(one,), daemon=True) for one in self._runners
        ]
        for thread in threads:
            thread.start()
        self._settle()
        while ready := self._in(_State.READY):
            chosen = self._lots.choice(ready)
            chosen.state = _State.RUNNING
            chosen.turn.release()
            self._settle()
        for thread in threads:
            thread.join(_PATIENCE)
        for runner in self._runners:
            if runner.error is not None:
                raise runner.error

    def _live(self, runner: _Runner) -> None:
        runner.turns.pause = lambda: self._pause(runner)
        tasks.take_turns(runner.turns)
        try:
            self._pause(runner)
            runner.act()
        except BaseException as error:  # noqa: BLE001 -- the thread that waits for it raises it
            runner.error = error
        finally:
            tasks.take_turns(None)
            with self._changed:
                runner.state = _State.ENDED
                self._changed.notify()

    def _pause(self, runner: _Runner) -> None:
        with self._changed:
            runner.state = _State.READY
            self._changed.notify()
        runner.turn.acquire()

    def _in(self, state: _State) -> list[_Runner]:
        return [one for one in self._runners if one.state is state]

    def _settle(self) -> None:
        """Come back when nobody runs, and somebody may (or all have ended)."""
        for _ in range(int(_PATIENCE / _LOOKS_EVERY)):
            with self._changed:
                self._changed.wait_for(lambda: not self._in(_State.RUNNING), _LOOKS_EVERY)
            if self._in(_State.RUNNING) or self._in(_State.WAITING):
                self._look()
            if not self._in(_State.RUNNING) and (
                self._in(_State.READY) or not self._in(_State.WAITING)
            ):
                return
        raise TimeoutError("threads wait for each other: " + str(self._in(_State.WAITING)))

    def _look(self) -> None:
        waiting = self._waiting()
        with self._changed:
            for one in self._runners:
                if one.state is _State.RUNNING and one.turns.backend in waiting:
                    one.state = _State.WAITING
                    self.waits += 1
                elif one.state is _State.WAITING and one.turns.backend not in waiting:
                    one.state = _State.RUNNING
