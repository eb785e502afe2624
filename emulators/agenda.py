"""What is due when, on virtual time, and what is under way now. All engines share one agenda."""

import asyncio
import heapq
import itertools
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from emulators.clock import VirtualClock

log = logging.getLogger(__name__)
Action = Callable[[], Awaitable[None] | None]
_LOOK_SECONDS = 1.0  # requests to the functions' host are counted by another process


@dataclass(order=True)
class Entry:
    """One thing due at an instant; entries of one instant fire in the order they were made."""

    when: datetime
    number: int
    action: Action = field(compare=False)
    name: str = field(compare=False, default="")
    cancelled: bool = field(compare=False, default=False)

    def cancel(self) -> None:
        self.cancelled = True


class Unsettled(Exception):
    """Work did not come to rest in the real time allowed; the message says what it waits for."""


class Agenda:
    """Due entries and running work on one asyncio loop.

    `at` and `after` register what is due. `start` runs a coroutine as work under way: the stack is
    settled when nothing is under way and nothing is due. `advance` visits every due instant on the
    way, in order, and lets each settle before time moves on. While it works the clock stands still.
    `activity_of` counts what a polling cron might notice; engines call `touch` on such changes.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self._heap: list[Entry] = []
        self._numbers = itertools.count()
        self._under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._moving = asyncio.Lock()
        self._touches: Counter[str] = Counter()
        self._watchers: list[Callable[[], None]] = []

    def at(self, when: datetime, action: Action, name: str = "") -> Entry:
        """Run `action` when the clock reaches `when` (aware UTC); at once if that has passed."""
        entry = Entry(when, next(self._numbers), action, name)
        heapq.heappush(self._heap, entry)
        self._changed.set()
        return entry

    def after(self, seconds: float, action: Action, name: str = "") -> Entry:
        return self.at(self.clock.now() + timedelta(seconds=seconds), action, name)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Mark work under way for the length of the block."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            self._changed.set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` as a task that counts as under way from now until it ends."""
        self._under_way += 1
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._under_way -= 1
        self._changed.set()
        if not task.cancelled() and (error := task.exception()):
            log.error("work on the agenda failed", exc_info=error)

    def touch(self, source: str = "") -> None:
        """Say that something changed, maybe at a named `source`, which a polling cron could see."""
        self._touches[source] += 1
        self._changed.set()

    def watch(self, look: Callable[[], None]) -> Callable[[], None]:
        """Call `look` just before and just after time is moved, and each second while it runs.

        It may register entries. Answers a function that ends the watch.
        """
        self._watchers.append(look)
        return lambda: self._watchers.remove(look)

    def _look(self) -> None:
        for look in list(self._watchers):
            look()

    @property
    def activity(self) -> int:
        """Grows whenever something changed: `touch` calls and requests to the functions' host."""
        return self._touches.total() + self.clock.requests

    def activity_of(self, source: str) -> int:
        """Grows when something changed at `source`; for one that never said so, with all else."""
        known = source and source in self._touches
        return self._touches[source] if known else self.activity

    @property
    def under_way(self) -> int:
        return self._under_way

    def next_due(self) -> datetime | None:
        while self._heap and self._heap[0].cancelled:
            heapq.heappop(self._heap)
        return self._heap[0].when if self._heap else None

    def upcoming(self, most: int = 50) -> list[Entry]:
        """The next entries in order, for display."""
        return heapq.nsmallest(most, (entry for entry in self._heap if not entry.cancelled))

    def _fire_due(self) -> bool:
        fired = False
        while (due := self.next_due()) is not None and due <= self.clock.now():
            entry = heapq.heappop(self._heap)
            fired = True
            try:
                result = entry.action()
            except Exception:
                log.exception("entry %s failed", entry.name)
                continue
            if result is not None:
                self.start(result if isinstance(result, Coroutine) else _awaited(result))
        return fired

    async def run(self) -> None:
        """Fire entries as the running clock reaches them, for ever. `advance` takes precedence."""
        while True:
            async with self._moving:
                self._fire_due()
                self._changed.clear()
                self._look()
            due = self.next_due()
            wait = None
            if due is not None and not self.clock.frozen:
                wait = max((due - self.clock.now()).total_seconds(), 0)
            elif due is not None and due <= self.clock.now():
                wait = 0
            if self._watchers:
                wait = min(wait, _LOOK_SECONDS) if wait is not None else _LOOK_SECONDS
            try:
                await asyncio.wait_for(self._changed.wait(), wait)
            except TimeoutError:
                continue

    async def settle(self, timeout: float = 60) -> None:
        """Wait until nothing is under way and nothing is due; fires what falls due meanwhile.

        Raises `Unsettled` after `timeout` real seconds: somebody does not answer. Nothing is given
        up by that. Time stays where it is, what is under way goes on, and settling anew waits on.
        """
        async with self._moving:
            await self._settle(timeout)

    async def _settle(self, timeout: float) -> None:
        deadline = asyncio.get_running_loop().time() + timeout
        while self._fire_due() or self._under_way:
            self._changed.clear()
            if not self._under_way:
                await asyncio.sleep(0)
                continue
            left = deadline - asyncio.get_running_loop().time()
            try:
                await asyncio.wait_for(self._changed.wait(), max(left, 0))
            except TimeoutError:
                raise Unsettled(self._waiting(timeout)) from None

    def _waiting(self, seconds: float) -> str:
        kinds = Counter(str(getattr(task.get_coro(), "__qualname__", "")) for task in self._tasks)
        named = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        return (
            f"no rest after {seconds:g} s; still under way: {self._under_way} ({named or 'calls'})"
        )

    async def advance(self, to: datetime, timeout: float = 60) -> None:
        """Move the clock to `to`, settling every due instant on the way (each within `timeout`).

        `Unsettled` leaves the clock at the instant that did not settle; advancing anew goes on.
        """
        async with self._moving:
            was_frozen = self.clock.frozen
            self.clock.freeze()
            try:
                await self._settle(timeout)
                while (due := self._next_before(to)) is not None:
                    self.clock.jump(due)
                    self._look()
                    await self._settle(timeout)
                self.clock.jump(to)
                self._look()
            finally:
                if not was_frozen:
                    self.clock.run()
                self._changed.set()

    def _next_before(self, to: datetime) -> datetime | None:
        """The next due instant up to `to`, after the watchers have had their last look."""
        self._look()
        due = self.next_due()
        return due if due is not None and due <= to else None


async def _awaited(result: Awaitable[None]) -> None:
    await result
