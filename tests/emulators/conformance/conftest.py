"""Each conformance test runs on our engine and, where it is installed, on Google's emulator.

The tests are written from Google's public documentation. Where Google's emulator departs from it,
`@pytest.mark.differs("what it does instead")` says so: there the test has to fail. With
`hangs=True` it is not tried there.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from emulators.engine import HOST
from emulators.firestore import Firestore
from emulators.identity import Identity
from emulators.pubsub import PubSub
from emulators.tasks import Tasks
from tests.emulators.conftest import Loop, Start
from tests.emulators.identity_client import PROJECT, IdentityClient
from tests.emulators.official import NotInstalled, official
from tests.emulators.tasks_client import TasksClient


@dataclass(frozen=True)
class Target:
    """An emulator under test; `pass_time` takes seconds, virtual ones of our engine."""

    name: str
    address: str
    pass_time: Callable[[float], None]

    def until(self, holds: Callable[[], Any], seconds: float = 10) -> Any:
        """What `holds` answers as soon as that is true; fails after so many real seconds."""
        deadline = time.monotonic() + seconds
        while not (found := holds()):
            assert time.monotonic() < deadline, "it did not come to hold"
            time.sleep(0.02)
        return found


@pytest.fixture(scope="session")
def official_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Start an official emulator once and answer its address; skips where it is absent."""
    folder: Path = tmp_path_factory.mktemp("official")
    with ExitStack() as started:

        @cache
        def address(engine: str) -> str:
            return started.enter_context(official(engine, folder))

        yield address


def _target(request: pytest.FixtureRequest, engine: str, kind: type[Any]) -> Target:
    if request.param == "local":
        loop: Loop = request.getfixturevalue("loop")
        start: Start = request.getfixturevalue("start_engine")
        _, port = start(kind)
        return Target("local", f"{HOST}:{port}", lambda seconds: loop.advance(seconds=seconds))
    if (mark := request.node.get_closest_marker("differs")) is not None:
        if mark.kwargs.get("hangs"):
            pytest.skip(f"Google's emulator {mark.args[0]}")
        request.applymarker(pytest.mark.xfail(reason=mark.args[0], strict=True))
    try:
        address: str = request.getfixturevalue("official_address")(engine)
    except NotInstalled as absent:
        pytest.skip(str(absent))
    return Target("official", address, time.sleep)


@pytest.fixture(params=["local", "official"])
def pubsub_target(request: pytest.FixtureRequest) -> Target:
    return _target(request, "pubsub", PubSub)


@pytest.fixture(params=["local", "official"])
def firestore_target(request: pytest.FixtureRequest) -> Target:
    return _target(request, "firestore", Firestore)


@pytest.fixture(params=["local", "official"])
def identity(request: pytest.FixtureRequest) -> Iterator[IdentityClient]:
    """A client of an emulator without accounts, with e-mail enumeration protection."""
    target = _target(request, "identity", Identity)
    client = IdentityClient(int(target.address.rpartition(":")[2]))
    client.http.delete(f"/emulator/v1/projects/{PROJECT}/accounts").raise_for_status()
    client.protect_addresses(True)
    yield client
    client.http.close()


@pytest.fixture
def tasks(loop: Loop, start_engine: Start) -> Iterator[TasksClient]:
    """A client of our engine alone, which has one queue: there is no official emulator."""
    loop.ground.clock.freeze()
    client = TasksClient(start_engine(Tasks)[1])
    client.create_queue()
    yield client
    client.channel.close()
