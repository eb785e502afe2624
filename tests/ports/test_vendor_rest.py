"""A vendor that keeps failing is left alone for a while, on business time."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from shared.integrations import vendor_call
from shared.integrations.vendor_call import calling
from shared.kernel import clock
from shared.kernel.errors import VendorUnavailable

BEGAN = datetime(2027, 3, 28, 0, 59, 59, tzinfo=UTC)


@pytest.fixture(autouse=True)
def tired() -> Iterator[None]:
    """The vendor `tired` has failed so often that it rests."""
    vendor_call._ways.clear()
    clock.use(lambda: BEGAN)
    for _ in range(10):
        with pytest.raises(VendorUnavailable), calling("tired"):
            raise ConnectionRefusedError
    yield
    clock.use(None)
    vendor_call._ways.clear()


def reached(after: timedelta) -> bool:
    """Whether a call goes through so long after the rest began."""
    clock.use(lambda: BEGAN + after)
    try:
        with calling("tired"):
            return True
    except VendorUnavailable:
        return False


def test_vendor_is_left_alone_while_business_time_stands_still() -> None:
    assert not reached(timedelta())


def test_vendor_rests_until_business_time_has_passed() -> None:
    assert [reached(timedelta(seconds=second)) for second in (4, 5)] == [False, True]


def test_rest_ends_at_once_when_time_is_moved_on() -> None:
    assert reached(timedelta(days=180))
