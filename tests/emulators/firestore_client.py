"""Official Firestore clients, on our engine or on whatever FIRESTORE_EMULATOR_HOST names."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias
from uuid import uuid4

import pytest
from google.cloud import firestore

from emulators.engine import HOST, Engine, Ground
from emulators.firestore import Firestore

VARIABLE = "FIRESTORE_EMULATOR_HOST"
Client: TypeAlias = Any
"""An official client, sync or async; its own annotations are incomplete and in part wrong."""
StartEngine = Callable[[Callable[[Ground], Engine]], tuple[Engine, int]]


@contextmanager
def client_at(port: int, project: str = "clinicloop-local") -> Iterator[Client]:
    """A client of the engine that listens on `port`."""
    with _client_of(f"{HOST}:{port}", project) as client:
        yield client


@contextmanager
def _client_of(address: str, project: str) -> Iterator[Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, address)
        client = firestore.Client(project=project)
    yield client
    client._firestore_api.transport.close()


@contextmanager
def conformance_client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client with a project of its own, so that tests do not meet on a shared emulator."""
    project = f"test-{uuid4().hex[:12]}"
    address = os.environ.get(VARIABLE)
    if not address:
        start: StartEngine = request.getfixturevalue("start_engine")
        _, port = start(Firestore)
        address = f"{HOST}:{port}"
    with _client_of(address, project) as client:
        yield client


def ids(query: Any) -> list[str]:
    """The ids of the documents that a query finds, in order."""
    return [snapshot.id for snapshot in query.stream()]
