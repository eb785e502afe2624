"""Official Firestore clients of our engine or of another emulator."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias
from uuid import uuid4

import grpc
import pytest
from google.api_core import exceptions
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


class Raw:
    """The calls of google.firestore.v1 themselves, with the client's own authorization."""

    def __init__(self, client: Client) -> None:
        self._api = client._firestore_api
        self._metadata = client._rpc_metadata
        self.database: str = client._database_string
        self.root = f"{self.database}/documents"

    def name(self, path: str) -> str:
        """The full name of a document, by its path below the root."""
        return f"{self.root}/{path}"

    def call(self, method: str, **request: Any) -> Any:
        """One call, not retried; `database` is filled in where the request has such a field."""
        if method in _BY_DATABASE:
            request.setdefault("database", self.database)
        call = getattr(self._api, method)
        return call(request=request, metadata=self._metadata, retry=None, timeout=20)

    def commit(self, *writes: dict[str, Any], **more: Any) -> Any:
        return self.call("commit", writes=list(writes), **more)

    def set(self, path: str, fields: dict[str, Any], **more: Any) -> Any:
        """Write a document; `fields` are Values, `more` are other fields of the Write."""
        return self.commit({"update": {"name": self.name(path), "fields": fields}, **more})

    def query(self, query: dict[str, Any], parent: str = "", **more: Any) -> list[Any]:
        """The responses to RunQuery below the root or the document at `parent`."""
        parent = self.name(parent) if parent else self.root
        return list(self.call("run_query", parent=parent, structured_query=query, **more))

    def stream(self, method: str) -> "Stream":
        """An open Listen or Write stream."""
        return Stream(getattr(self._api, method), self._metadata)


_BY_DATABASE = {
    "batch_get_documents",
    "batch_write",
    "begin_transaction",
    "commit",
    "rollback",
}


class Stream:
    """A bidirectional call: `send` requests, `next` waits for a response or raises its error."""

    def __init__(self, method: Any, metadata: Any) -> None:
        self._requests: queue.Queue[Any] = queue.Queue()
        self._responses: queue.Queue[Any] = queue.Queue()
        self._method, self._metadata = method, metadata
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            requests = iter(self._requests.get, None)
            for response in self._method(requests, metadata=self._metadata, timeout=60):
                self._responses.put(response)
            self._responses.put(StopIteration())
        except (exceptions.GoogleAPICallError, grpc.RpcError) as error:
            self._responses.put(error)

    def send(self, **request: Any) -> None:
        self._requests.put(request)

    def next(self) -> Any:
        """The next response. Raises `StopIteration` when the stream has ended well."""
        response = self._responses.get(timeout=10)
        if isinstance(response, Exception):
            raise response
        return response

    def close(self) -> None:
        """Say that no more requests follow."""
        self._requests.put(None)
