"""Outages on demand, for every engine and vendor of the local cloud."""

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from random import Random
from typing import Any

from aiohttp import web

from emulators.clock import VirtualClock


class FaultKind(StrEnum):
    """What may be wrong. Calls are slow in real time, deliveries are late in virtual time."""

    DOWN = "down"  # unavailable before anything happens; open streams are cut
    ERROR = "error"  # 500 or UNAVAILABLE before anything happens
    RATE_LIMIT = "429"
    SLOW = "slow"  # calls: answered late
    HANG = "hang"  # calls: no answer until the fault ends
    DROP_CONNECTION = "drop-connection"  # done, and the answer is cut off in the midst
    FAIL_AFTER_SUCCESS = "fail-after-success"  # done, and there is no answer at all
    DUPLICATE = "duplicate"  # deliveries: twice
    REORDER = "reorder"  # deliveries: after those that follow
    DELAY = "delay"  # deliveries: later; where there are none, the same as slow


CALLS = (
    FaultKind.DOWN,
    FaultKind.ERROR,
    FaultKind.RATE_LIMIT,
    FaultKind.SLOW,
    FaultKind.HANG,
    FaultKind.DROP_CONNECTION,
    FaultKind.FAIL_AFTER_SUCCESS,
)
DELIVERIES = (FaultKind.DUPLICATE, FaultKind.REORDER, FaultKind.DELAY)
LATE = (FaultKind.SLOW, FaultKind.DELAY)
"""The kinds for which `Fault.late` says how much."""
DELIVERING = ("pubsub", "tasks")
"""The engines that deliver; vendors do it under their name with `-webhooks`."""
_REORDER_SECONDS = (0.5, 1.5)
"""How long REORDER holds back; it varies, so that deliveries held back change places, too."""
_DATABASE = (FaultKind.DOWN, FaultKind.HANG, FaultKind.DROP_CONNECTION)


def possible(target: str) -> tuple[FaultKind, ...]:
    """The kinds that `target` can act out."""
    if target == "postgres":
        return _DATABASE
    if target.endswith("-webhooks"):
        return (FaultKind.DOWN, *DELIVERIES)
    return (*CALLS, *DELIVERIES) if target in DELIVERING else (*CALLS, FaultKind.DELAY)


def call_kinds(target: str) -> tuple[FaultKind, ...]:
    """What the calls of a target act out; DELAY where it has no deliveries."""
    return CALLS if target in DELIVERING else (*CALLS, FaultKind.DELAY)


class NoSuchFault(ValueError):
    """The fault cannot be put in force; the message says what can be."""


def check_target(target: str, targets: Collection[str]) -> None:
    """Raise `NoSuchFault` unless `target` is one of `targets`."""
    if target not in targets:
        raise NoSuchFault(f"{target} has no faults here; there is {', '.join(targets)}")


def checked(target: str, kind: str, targets: Collection[str]) -> FaultKind:
    """The kind by its name, if one of `targets` is meant and can act it out."""
    check_target(target, targets)
    kinds = possible(target)
    if kind not in kinds:
        raise NoSuchFault(f"{kind} is no kind of fault of {target}; there is {', '.join(kinds)}")
    return FaultKind(kind)


@dataclass(eq=False)
class Fault:
    """A fault of `target` (`pubsub`, `chargebee` ...) for a `share` of the calls or deliveries.

    It ends at the virtual instant `until` and after `count` strikes, whichever comes first; `path`
    limits it to calls whose path or gRPC method contains it. `late` says for SLOW how many real
    seconds, for DELAY how many virtual ones.
    """

    target: str
    kind: FaultKind
    share: float = 1.0
    until: datetime | None = None
    count: int | None = None
    path: str = ""
    late: float = 2.0
    ended: asyncio.Event = field(default_factory=asyncio.Event, init=False, repr=False)
    dice: Random = field(default_factory=Random, init=False, repr=False)

    def __post_init__(self) -> None:
        """Raises `NoSuchFault` for limits by which nothing could be struck."""
        if not 0 < self.share <= 1:
            raise NoSuchFault(f"a share is more than 0 and at most 1 (100%), not {self.share:g}")
        if self.late < 0 or (self.count is not None and self.count < 1):
            raise NoSuchFault("`late` is no less than 0, `count` no less than 1")

    def holds_back(self) -> float:
        """How late a delivery that was struck by DELAY or REORDER comes, in virtual seconds."""
        if self.kind is FaultKind.DELAY:
            return self.late
        return self.dice.uniform(*_REORDER_SECONDS)

    def hits(self) -> bool:
        """Throw the dice for one call and count a strike."""
        if self.count == 0 or (self.share < 1 and self.dice.random() >= self.share):
            return False
        if self.count is not None:
            self.count -= 1
        return True


class OpenStream:
    """One streaming call under way, that a fault may cut."""

    def __init__(self, target: str, path: str) -> None:
        self.target = target
        self.path = path
        self.cut = False
        self.waits = False
        self.task = _current_task()

    def end(self) -> None:
        """Cut it: now if it waits for its next response, else as soon as it does."""
        self.cut = True
        if self.waits:
            self.task.cancel()


def _current_task() -> "asyncio.Task[Any]":
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a stream is served by a task")
    return task


Refusal = Callable[[int], web.Response]
"""Answers the status 429 or 500 in the wire form of a service."""


class Faults:
    """The faults in force.

    Seeded: each fault has dice of its own, thrown from the same seed whenever it is put in force,
    so that the same calls in the same order are struck alike, whatever else happens.
    """

    def __init__(self, clock: VirtualClock, random: Random) -> None:
        self._clock = clock
        self._seed = random.getrandbits(64)
        self._faults: list[Fault] = []
        self._streams: set[OpenStream] = set()
        self._watchers: list[Callable[[str], None]] = []
        self._cleared = asyncio.Event()
        self.refusals: dict[str, Refusal] = {}
        """How a target words its refusals, where it is not Google's way."""

    def add(self, fault: Fault) -> None:
        fault.dice.seed(f"{self._seed}/{fault.target}/{fault.kind}/{fault.path}")
        self._faults.append(fault)
        for stream in list(self._streams):
            cutting = (FaultKind.DOWN, FaultKind.DROP_CONNECTION)
            if stream.target == fault.target and self.strike(fault.target, stream.path, *cutting):
                stream.end()
        self._changed(fault.target)

    def end(self, fault: Fault) -> None:
        """Remove one fault and let the calls go that hang by it. Idempotent."""
        self._faults = [other for other in self._faults if other is not fault]
        fault.ended.set()
        self._changed(fault.target)

    def clear(self, target: str | None = None) -> None:
        """Remove the faults of `target`, or all, and let hanging calls go."""
        for fault in list(self._faults):
            if target in (None, fault.target):
                self.end(fault)
        self._cleared.set()
        self._cleared = asyncio.Event()

    async def cleared(self) -> None:
        """Wait until faults are cleared."""
        await self._cleared.wait()

    def watch(self, look: Callable[[str], None]) -> None:
        """Call `look` with the target whenever its faults have changed."""
        self._watchers.append(look)

    def _changed(self, target: str) -> None:
        for look in self._watchers:
            look(target)

    def in_force(self) -> list[Fault]:
        """What may strike now; for any thread to ask."""
        now = self._clock.now()
        return [
            fault
            for fault in self._faults
            if fault.count != 0 and (fault.until is None or now < fault.until)
        ]

    def forget(self) -> None:
        """End what is past its time; what is used up stays only while calls may hang by it."""
        now = self._clock.now()
        for fault in list(self._faults):
            if fault.until is not None and fault.until <= now:
                self.end(fault)
            elif fault.count == 0 and fault.kind is not FaultKind.HANG:
                self._faults.remove(fault)

    def strike(self, target: str, path: str = "", *kinds: FaultKind) -> FaultKind | None:
        """The kind of fault that this call meets, if any; see `struck`."""
        fault = self.struck(target, path, *kinds)
        return fault.kind if fault is not None else None

    def struck(self, target: str, path: str = "", *kinds: FaultKind) -> Fault | None:
        """The fault that this call meets, if any; `kinds` limits what the caller can act out."""
        if not self._faults:
            return None
        self.forget()
        for fault in self.in_force():
            if fault.target != target or fault.path not in path:
                continue
            if (not kinds or fault.kind in kinds) and fault.hits():
                return fault
        return None

    @contextmanager
    def streaming(self, target: str, path: str) -> Iterator[OpenStream]:
        """Keep a streaming call known for the length of the block."""
        stream = OpenStream(target, path)
        self._streams.add(stream)
        try:
            yield stream
        finally:
            self._streams.discard(stream)
