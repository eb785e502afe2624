"""A running local cloud for tests.

A folder of tests gets the fixture with `from emulators.pytest_plugin import local_cloud` in its
conftest.py; `running` gives a cloud with other options.
"""

from collections.abc import Iterator

import pytest

from emulators.cloud import Options
from emulators.running import RunningCloud, running

__all__ = ["RunningCloud", "local_cloud", "running"]


@pytest.fixture(scope="session")
def local_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """All parts, once per test process, throw-away; virtual time runs unless a test moves it."""
    with running(Options(tmp_path_factory.mktemp("cloud"), throwaway=True)) as cloud:
        yield cloud
