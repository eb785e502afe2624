"""Business time comes from one place."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from shared.kernel import clock


@pytest.fixture
def frozen() -> Iterator[datetime]:
    instant = datetime(2026, 2, 28, 23, 59, tzinfo=UTC)
    before = clock._source
    clock.use(lambda: instant)
    yield instant
    clock.use(before)


def test_the_source_decides_what_time_it_is(frozen: datetime) -> None:
    assert clock.now() == frozen


def test_without_a_source_it_is_the_systems_time_in_utc(frozen: datetime) -> None:
    clock.use(None)
    assert clock.now().utcoffset() == timedelta(0)
    assert clock.now() > frozen
