"""Official Firestore clients of our engine or of another emulator."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias
from uuid import uuid4

import pytest
from google.cloud import firestore

from emulators.engine import HOST, Engine, Ground

VARIABLE = "FIRESTORE_EMULATOR_HOST"
Client: TypeAlias = Any
"""An official client, sync or async; its own annotations are incomplete and in part wrong."""
StartEngine = Callable[[Callable[[Ground], Engine]], tuple[Engine, int]]


@contextmanager
def client_at(port: int, project: str = "clinicloop-local") -> Iterator[Client]:
    """A client of the engine that listens on `port`."""
    with client_of(f"{HOST}:{port}", project=project) as client:
        yield client


@contextmanager
def client_of(address: str, **options: Any) -> Iterator[Client]:
    """A client of the emulator at `address`, with a project of its own unless told otherwise."""
    options.setdefault("project", f"test-{uuid4().hex[:12]}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, address)
        client = firestore.Client(**options)
    yield client
    client._firestore_api.transport.close()


def ids(query: Any) -> list[str]:
    """The ids of the documents that a query finds, in order."""
    return [snapshot.id for snapshot in query.stream()]
