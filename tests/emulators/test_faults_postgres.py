"""Faults of the whole database."""

import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from pg8000.exceptions import (  # type: ignore[import-untyped, unused-ignore]
    DatabaseError,
    InterfaceError,
)
from pg8000.native import Connection  # type: ignore[import-untyped, unused-ignore]

from emulators.cloud import Options
from emulators.running import RunningCloud, running


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    folder = tmp_path_factory.mktemp("cloud")
    options = Options(folder, product=False, throwaway=True, in_memory=True)
    with running(options, frozenset({"postgres"})) as cloud:
        yield cloud


@pytest.fixture
def cloud(started: RunningCloud) -> Iterator[RunningCloud]:
    yield started
    started.heal()


def connect(cloud: RunningCloud) -> Any:
    url = urlsplit(cloud.env["DATABASE_URL"])
    return Connection(
        url.username,
        host=url.hostname,
        port=url.port,
        database=url.path[1:],
        password=url.password,
        timeout=20,
    )


def ask(cloud: RunningCloud) -> Any:
    with connect(cloud) as connection:
        return connection.run("SELECT 1")


def test_a_database_that_is_down_refuses_and_comes_back(cloud: RunningCloud) -> None:
    with cloud.fault("postgres", "down"), pytest.raises(InterfaceError):
        ask(cloud)
    assert ask(cloud) == [[1]]


def test_a_database_comes_back_when_its_time_is_over(cloud: RunningCloud) -> None:
    cloud.fault("postgres", "down", minutes=10)
    cloud.advance(minutes=11)
    assert ask(cloud) == [[1]]


def test_a_database_that_hangs_answers_when_the_fault_ends(cloud: RunningCloud) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    with connect(cloud) as connection:
        with cloud.fault("postgres", "hang"):
            thread = threading.Thread(target=lambda: answers.put(connection.run("SELECT 2")))
            thread.start()
            with pytest.raises(queue.Empty):
                answers.get(timeout=0.3)
        assert answers.get(timeout=10) == [[2]]
        thread.join(10)


def test_connections_are_dropped_once(cloud: RunningCloud) -> None:
    connection = connect(cloud)
    cloud.fault("postgres", "drop-connection")
    with pytest.raises((InterfaceError, DatabaseError, OSError)):
        connection.run("SELECT 1")
    with suppress(InterfaceError, OSError):
        connection.close()
    assert cloud.faults.in_force() == []
    assert ask(cloud) == [[1]]
