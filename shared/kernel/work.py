"""The unit of work: what one command or one message may do to the world, all or nothing."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from shared.kernel.event import Event
from shared.kernel.ids import ClinicId, TimerId, TypedId

Request = TypeVar("Request")
Outcome = TypeVar("Outcome")


class Work(Protocol):
    """One transaction. State, events, timers and audit rows commit together or not at all."""

    @property
    def now(self) -> datetime:
        """The instant of this work: aware UTC, the same throughout."""
        ...

    @property
    def clinic_id(self) -> ClinicId:
        """The clinic whose rows are visible. Raises `LookupError` when none is entered."""
        ...

    def emit(self, event: Event) -> None:
        """Say that something happened; it is published after the commit, at least once."""
        ...

    def schedule(self, kind: str, subject: TypedId, due_at: datetime) -> None:
        """Set the one timer of this kind and subject to `due_at`, moving it if it was set."""
        ...

    def cancel(self, kind: str, subject: TypedId) -> None:
        """Clear the timer; one that is already on its way becomes harmless."""
        ...

    def within(self, clinic_id: ClinicId) -> AbstractContextManager[None]:
        """See the rows of `clinic_id` inside the block; for work that spans clinics."""
        ...


@dataclass(frozen=True)
class Timer:
    """A timer that fired: its kind, whom it is about, and when it was due (aware UTC)."""

    id: TimerId
    kind: str
    subject: Any
    due_at: datetime
    version: int


@dataclass(frozen=True)
class Idle:
    """What a polling cron answers when it found nothing to do.

    `until` is the instant from which there may be something to do although nothing changed; None
    means never. Virtual time skips the runs in between.
    """

    until: datetime | None = None


@dataclass(frozen=True)
class Effect(Generic[Request, Outcome]):
    """A vendor is told something, in three steps that survive a crash between any two of them.

    `prepare(event, work)` runs in the transaction that claims the intent, and gives the request, or
    None when there is nothing to tell. `call(request, vendors, key)` runs outside any transaction;
    `key` is the idempotency key of this intent. `record(outcome, event, work)` closes the intent.
    After a crash or time-out in between, `find(request, vendors, called_at)` asks what became of
    the call made at that instant (None: it did not happen). Leave `find` out only where the vendor
    itself honours the key, so that calling again is safe. `refuse(reason, event, work)` is told
    when the vendor said no for good; without it the event is parked.
    """

    prepare: Callable[[Any, Work], Request | None]
    call: Callable[[Request, Any, str], Outcome]
    record: Callable[[Outcome, Any, Work], Any]
    find: Callable[[Request, Any, datetime], Outcome | None] | None = None
    refuse: Callable[[str, Any, Work], None] | None = None


@dataclass(frozen=True)
class Mirroring(Generic[Request]):
    """Something outside is brought to what Postgres holds, and doing so again changes nothing.

    It needs no intent: `prepare(event, work)` reads what is to be told (None: nothing), then
    `call(request, vendors)` runs outside any transaction, on every delivery.
    """

    prepare: Callable[[Any, Work], Request | None]
    call: Callable[[Request, Any], Any]
