"""Fixtures of the reliability tests."""

import pytest

from tests.conftest import House
from tests.reliability.probe import Probe


@pytest.fixture
def probe(house: House) -> Probe:
    """An agent without handlers; the test declares them."""
    return Probe(house)
