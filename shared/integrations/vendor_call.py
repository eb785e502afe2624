"""The one place that turns what happens on a vendor's wire into the kernel's three errors.

Every vendor module makes its calls inside `calling`. A vendor that keeps failing is left alone for
a while (a circuit breaker per vendor and process), so that nobody waits on it; and one that hangs
holds at most half of a process's threads. What is turned away was surely not done.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pybreaker

from shared.kernel import clock
from shared.kernel.errors import OutcomeUnknown, VendorError, VendorRefused, VendorUnavailable
from shared.platform.telemetry import metrics, traces
from shared.platform.telemetry.traces import Kind

_STATES = {"closed": 0, "half-open": 1, "open": 2}
TIMEOUT = httpx.Timeout(10.0, connect=3.0)
_TRIAL_TIMEOUT = httpx.Timeout(5.0, connect=3.0)
_NOT_CONNECTED = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    ConnectionRefusedError,
)
AT_ONCE = 4
"""Calls under way at a vendor from one process, which has eight threads (`start`)."""
_PATIENCE_SECONDS = 0.25
"""How long one more waits for a place: longer than a healthy call takes, too short to hold up."""
_OPENS_AFTER = AT_ONCE
"""Failures in a row: all calls that can hang at once have timed out."""
_RESTS_SECONDS = 5
_LONGEST_WAIT = timedelta(hours=1)


class _BusinessTime(pybreaker.CircuitMemoryStorage):
    """Lets a vendor rest on business time; pybreaker itself compares with the system's clock."""

    def __init__(self) -> None:
        super().__init__(pybreaker.STATE_CLOSED)
        self._since: datetime | None = None

    @property
    def opened_at(self) -> datetime | None:
        """The system's time at which a rest as long as this one so far would have begun."""
        return None if self._since is None else datetime.now(UTC) - (clock.now() - self._since)

    @opened_at.setter
    def opened_at(self, _: datetime) -> None:
        self._since = clock.now()


class _Way:
    """The way from this process to one vendor."""

    def __init__(self, vendor: str) -> None:
        self._vendor = vendor
        self._free = threading.Condition()
        self._waits_until: datetime | None = None
        self.under_way = 0
        self.breaker = pybreaker.CircuitBreaker(
            fail_max=_OPENS_AFTER,
            reset_timeout=_RESTS_SECONDS,
            exclude=[VendorRefused],
            state_storage=_BusinessTime(),
            name=vendor,
            # Its own error in place of the call's would hide that the outcome is unknown.
            throw_new_error_on_trip=False,
        )

    @contextmanager
    def entered(self) -> Iterator[bool]:
        """One call's place on the way; answers whether it is the trial after a rest.

        pybreaker lets every call through while it is half-open; here it is one at a time.
        """
        with self._free:
            is_trial = self.breaker.current_state != pybreaker.STATE_CLOSED
            most, patience = (1, 0.0) if is_trial else (AT_ONCE, _PATIENCE_SECONDS)
            self._free.wait_for(lambda: self.under_way < most or self._left_alone(), patience)
            if self._left_alone():
                raise VendorUnavailable(self._vendor, "it asked to be left alone for a while")
            if self.under_way >= most:
                raise VendorUnavailable(self._vendor, "busy with the calls under way")
            self.under_way += 1
        try:
            yield is_trial
        finally:
            with self._free:
                self.under_way -= 1
                self._free.notify()

    def _left_alone(self) -> bool:
        return self._waits_until is not None and clock.now() < self._waits_until

    def wait(self, until: datetime) -> None:
        """Make no call before `until`."""
        self._waits_until = min(until, clock.now() + _LONGEST_WAIT)


_ways: dict[str, _Way] = {}
_present: ContextVar[tuple[_Way, bool] | None] = ContextVar("present", default=None)
"""The way of the call under way in this thread, and whether that is a trial."""


def breaker_states() -> dict[str, str]:
    """By vendor: `closed` (all is well), `open` (it is left alone) or `half-open` (on trial)."""
    return {vendor: str(way.breaker.current_state) for vendor, way in list(_ways.items())}


def _breakers() -> list[tuple[float, tuple[str]]]:
    return [(_STATES[state], (vendor,)) for vendor, state in breaker_states().items()]


metrics.BREAKERS.read = _breakers


def calls_under_way() -> dict[str, int]:
    """By vendor, how many calls this process waits for; at most `AT_ONCE`."""
    return {vendor: way.under_way for vendor, way in list(_ways.items())}


@contextmanager
def calling(
    vendor: str, translate: Callable[[Exception], VendorError | None] = lambda _: None
) -> Iterator[None]:
    """Run a vendor call; whatever goes wrong leaves as a `VendorError`.

    `translate` reads the SDK's own exceptions; what it does not know is judged by where it
    happened: not connected means unavailable, anything later that the outcome is unknown.
    """
    way = _ways.get(vendor) or _ways.setdefault(vendor, _Way(vendor))
    try:
        with _measured(vendor), way.entered() as is_trial, way.breaker.calling():
            before = _present.set((way, is_trial))
            try:
                yield
            except VendorError:
                raise
            except Exception as error:
                raise (translate(error) or _judged(vendor, error)) from error
            finally:
                _present.reset(before)
    except pybreaker.CircuitBreakerError:
        raise VendorUnavailable(vendor, "resting after repeated failures") from None


@contextmanager
def _measured(vendor: str) -> Iterator[None]:
    """The span and the duration of a call, and what it ended with."""
    began, outcome = time.monotonic(), "ok"
    try:
        with traces.child(vendor, Kind.CLIENT, {"peer.service": vendor}):
            yield
    except Exception as error:
        outcome = type(error).__name__
        raise
    finally:
        metrics.VENDOR_CALLS.record(time.monotonic() - began, vendor, outcome)


def _judged(vendor: str, error: Exception) -> VendorError:
    if isinstance(error, _NOT_CONNECTED):
        return VendorUnavailable(vendor, "no connection")
    return OutcomeUnknown(vendor, type(error).__name__)


def by_status(vendor: str, status: int, code: str = "") -> VendorError | None:
    """The error an HTTP status stands for; None for a success. `code` is the vendor's own, no PHI.

    429 says that nothing was done. A server error, also one of a proxy on the way, may come after
    the deed.
    """
    if status < 400:
        return None
    if status == 429:
        return VendorUnavailable(vendor, f"{status} {code}".strip())
    if status == 408 or status >= 500:
        return OutcomeUnknown(vendor, f"{status} {code}".strip())
    return VendorRefused(vendor, f"{status} {code}".strip())


def seconds_to_wait() -> float | None:
    """How long the call under way may wait for an answer, where it is shorter than usual."""
    present = _present.get()
    return _TRIAL_TIMEOUT.read if present is not None and present[1] else None


def heed(retry_after: str | None) -> None:
    """Leave the vendor of the call under way alone for as long as its `Retry-After` says.

    Seconds or an HTTP date (RFC 9110, 10.2.3); what is neither is passed over.
    """
    present = _present.get()
    if present is None or not retry_after:
        return
    text = retry_after.strip()
    if text.isdecimal():
        present[0].wait(clock.now() + timedelta(seconds=min(int(text), 10**6)))
        return
    try:
        present[0].wait(parsedate_to_datetime(text).astimezone(UTC))
    except (ValueError, OverflowError):
        return


def _hurry(request: httpx.Request) -> None:
    if seconds_to_wait() is not None:
        request.extensions["timeout"] = _TRIAL_TIMEOUT.as_dict()


def _heed_answer(response: httpx.Response) -> None:
    if response.status_code in (429, 503):
        heed(response.headers.get("Retry-After"))


HOOKS: dict[str, list[Callable[..., Any]]] = {"request": [_hurry], "response": [_heed_answer]}
"""For the `event_hooks` of every httpx client that speaks to a vendor."""
