"""How each kind of handler runs: what is claimed, what commits when, and when it is left alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.kernel import clock
from shared.kernel.errors import (
    DomainError,
    OutcomeUnknown,
    VendorError,
    VendorRefused,
    VendorUnavailable,
)
from shared.kernel.event import Event, Occurrence
from shared.kernel.work import Effect, Idle, Mirroring, Timer, Work
from shared.platform import inbox, intents, timers
from shared.platform.intents import Claim, IntentState
from shared.platform.steps import Step, taking
from shared.platform.telemetry import traces
from shared.platform.unit_of_work import Cause, Transaction
from shared.runtime import tracing
from shared.runtime.delivery import carried_out, committed

Vendors = Callable[[], Any]


class Busy(Exception):
    """The same intent is being called by another delivery right now; come again."""


@dataclass(frozen=True)
class Reaction:
    """Changes Postgres, once per event: the inbox row is claimed in the same transaction."""

    name: str
    events: tuple[type[Event], ...]
    handle: Callable[[Any, Work], None]

    def run(self, function: str, occurrence: Occurrence) -> None:
        def react(work: Transaction) -> None:
            if work.opened:
                self.handle(occurrence.event, work)
            else:
                tracing.duplicate(self.name)

        claim = inbox.claim(self.name, occurrence.id)
        carried_out(react, occurrence.clinic_id, function, _cause(occurrence), claim)


@dataclass(frozen=True)
class VendorCall:
    """Tells a vendor something, once per event: claim and prepare, call, record."""

    name: str
    events: tuple[type[Event], ...]
    effect: Effect[Any, Any]
    vendors: Vendors

    def run(self, function: str, occurrence: Occurrence) -> None:
        event, cause = occurrence.event, _cause(occurrence)
        opening = intents.claim(self.name, occurrence.id, clock.now())
        with committed(occurrence.clinic_id, function, cause, opening) as work:
            claim = intents.claimed(work.connection, work.opened, self.name, occurrence.id)
            if claim.closed:
                tracing.duplicate(self.name)
                return
            if claim.before is None:
                raise Busy(self.name)
            request = self.effect.prepare(event, work)
            if request is None:
                work.closing.append(self._closing(occurrence, claim, IntentState.DONE))
                return
        try:
            outcome = self._tell(request, occurrence, claim)
        except VendorRefused as refusal:
            self._refused(function, occurrence, claim, refusal)
            return
        except VendorUnavailable:
            intents.reopen(self.name, occurrence.id, claim.attempt, IntentState.OPEN)
            raise
        except Exception:
            intents.reopen(self.name, occurrence.id, claim.attempt, IntentState.UNKNOWN)
            raise

        def told(work: Work) -> None:
            self.effect.record(outcome, event, work)

        self._record(function, occurrence, claim, IntentState.DONE, told)

    def _record(
        self,
        function: str,
        occurrence: Occurrence,
        claim: Claim,
        state: IntentState,
        record: Callable[[Work], None],
    ) -> None:
        """Record in the transaction that closes the intent, while it is still this attempt's.

        It is done once more where Postgres undid it: else nobody would know of a call that was
        made, and a vendor that cannot be asked would be called again.
        """

        def act(work: Transaction) -> None:
            if not work.opened:
                raise Busy(self.name)
            record(work)

        close = intents.close(self.name, occurrence.id, claim.attempt, state)
        carried_out(act, occurrence.clinic_id, function, _cause(occurrence), close)

    def _closing(self, occurrence: Occurrence, claim: Claim, state: IntentState) -> str:
        return intents.close_statement(self.name, occurrence.id, claim.attempt, state)

    def _tell(self, request: Any, occurrence: Occurrence, claim: Claim) -> Any:
        vendors = self.vendors()
        if claim.before is IntentState.UNKNOWN:
            found = self._found(request, vendors, claim)
            if found is not None:
                return found
            if not intents.call_again(self.name, occurrence.id, claim.attempt, clock.now()):
                raise Busy(self.name)
        with taking(Step.VENDOR_CALL):
            return self.effect.call(request, vendors, f"{occurrence.id}:{self.name}")

    def _found(self, request: Any, vendors: Any, claim: Claim) -> Any:
        """Look up; a look-up that fails leaves the outcome as unknown as it was."""
        if self.effect.find is None:
            return None
        try:
            with taking(Step.VENDOR_FIND):
                return self.effect.find(request, vendors, claim.called_at or clock.now())
        except VendorError as error:
            raise OutcomeUnknown(error.vendor, error.reason) from error

    def _refused(
        self, function: str, occurrence: Occurrence, claim: Claim, refusal: VendorRefused
    ) -> None:
        refuse = self.effect.refuse
        if refuse is None:
            intents.reopen(self.name, occurrence.id, claim.attempt, IntentState.OPEN)
            raise refusal

        def told(work: Work) -> None:
            refuse(refusal.reason, occurrence.event, work)

        self._record(function, occurrence, claim, IntentState.REFUSED, told)


@dataclass(frozen=True)
class Mirror:
    """Brings something outside up to date, on every delivery."""

    name: str
    events: tuple[type[Event], ...]
    mirroring: Mirroring[Any]
    vendors: Vendors

    def run(self, function: str, occurrence: Occurrence) -> None:
        with committed(occurrence.clinic_id, function, _cause(occurrence)) as work:
            request = self.mirroring.prepare(occurrence.event, work)
        if request is not None:
            self.mirroring.call(request, self.vendors())


Handling = Reaction | VendorCall | Mirror


@dataclass(frozen=True)
class TimerHandler:
    """Acts when a timer is due; a task for a moved, cleared or handled timer finds nothing."""

    name: str
    kind: str
    handle: Callable[[Timer, Work], None]


def run_timer(function: str, known: dict[str, TimerHandler], timer_id: Any, version: int) -> None:
    """Fire the timer in one transaction with whatever its handler does."""

    def act(work: Transaction) -> None:
        firing = timers.fired(work.opened)
        if firing is None:
            return
        work.cause = Cause(firing.correlation_id, str(timer_id))
        traces.correlate(firing.correlation_id)
        with work.within(firing.clinic_id):
            known[firing.timer.kind].handle(firing.timer, work)
        tracing.timer_fired(firing.timer, known[firing.timer.kind].name, work.now)

    opening = timers.fire(timer_id, version, clock.now())
    carried_out(act, None, function, Cause(str(timer_id)), opening)


@dataclass(frozen=True)
class Cron:
    """Runs by the clock. `handle` answers `Idle` when there was nothing to do."""

    name: str
    schedule: str
    handle: Callable[[Work], Idle | None]
    sees: str | None = None

    def run(self, function: str) -> Idle | None:
        with committed(None, function, _cron_cause(self.name)) as work:
            return self.handle(work)


@dataclass(frozen=True)
class VendorCron:
    """Asks a vendor by the clock: prepare in a transaction, call outside, record in another.

    It keeps no intent: recording the same answer twice must change nothing.
    """

    name: str
    schedule: str
    effect: Effect[Any, Any]
    vendors: Vendors
    sees: str | None = None

    def run(self, function: str) -> Idle | None:
        cause = _cron_cause(self.name)
        with committed(None, function, cause) as work:
            request = self.effect.prepare(None, work)
        if request is None:
            return Idle()
        with taking(Step.VENDOR_CALL):
            outcome = self.effect.call(request, self.vendors(), cause.correlation_id)
        with committed(None, function, cause) as work:
            result: Idle | None = self.effect.record(outcome, None, work)
        return result


def _cause(occurrence: Occurrence) -> Cause:
    return Cause(occurrence.correlation_id, str(occurrence.id))


def _cron_cause(name: str) -> Cause:
    cause = Cause(f"{name}@{clock.now().isoformat()}")
    traces.correlate(cause.correlation_id)
    return cause


PERMANENT = (DomainError, VendorRefused)
"""Trying again cannot help: the message is parked at once."""

TRANSIENT = (VendorUnavailable, OutcomeUnknown, Busy, OSError)
"""Trying again will help: the message is retried for as long as Pub/Sub keeps it."""
