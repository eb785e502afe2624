"""The one place that turns what happens on a vendor's wire into the kernel's three errors.

Every vendor module makes its calls inside `calling`. A vendor that keeps failing is left alone for
a while (a circuit breaker per vendor and process), so that nobody waits on it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache

import httpx
import pybreaker

from shared.kernel import clock
from shared.kernel.errors import OutcomeUnknown, VendorError, VendorRefused, VendorUnavailable

TIMEOUT = httpx.Timeout(10.0, connect=3.0)
_NOT_CONNECTED = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    ConnectionRefusedError,
)
_OPENS_AFTER = 10
_RESTS_SECONDS = 15


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


@cache
def _breaker(vendor: str) -> pybreaker.CircuitBreaker:
    return pybreaker.CircuitBreaker(
        fail_max=_OPENS_AFTER,
        reset_timeout=_RESTS_SECONDS,
        exclude=[VendorRefused],
        state_storage=_BusinessTime(),
        name=vendor,
    )


@contextmanager
def calling(
    vendor: str, translate: Callable[[Exception], VendorError | None] = lambda _: None
) -> Iterator[None]:
    """Run a vendor call; whatever goes wrong leaves as a `VendorError`.

    `translate` reads the SDK's own exceptions; what it does not know is judged by where it
    happened: not connected means unavailable, anything later that the outcome is unknown.
    """
    try:
        with _breaker(vendor).calling():
            try:
                yield
            except VendorError:
                raise
            except Exception as error:
                raise (translate(error) or _judged(vendor, error)) from error
    except pybreaker.CircuitBreakerError as error:
        if isinstance(error.__cause__, VendorError):
            raise error.__cause__ from None
        raise VendorUnavailable(vendor, "resting after repeated failures") from None


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
