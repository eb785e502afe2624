"""Round trips to Postgres as the network sees them, whatever the driver: a proxy that counts.

Counting takes time, so it is done in a run of its own, one operation at a time, before anything is
measured.
"""

import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from sqlalchemy.engine import make_url

from bench.served import Served

Start = Callable[[Mapping[str, str]], AbstractContextManager[Served]]
"""Starts a server with variables on top of its own."""

_PIECE = 65536
_TIMES = 50


def round_trips(start: Start, operation: Callable[[Served], object]) -> float:
    """Round trips to Postgres for one `operation` on a server of its own."""
    with counted() as trips, start(trips.environment) as server:
        return trips.each(lambda: operation(server), _TIMES)


@dataclass
class Trips:
    """What crossed the proxy on all its connections."""

    environment: dict[str, str]
    """What points a process at the database through the proxy."""
    round_trips: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def each(self, operation: Callable[[], object], times: int) -> float:
        """Round trips of one `operation`, the mean of `times` after as many to warm up."""
        for _ in range(times):
            operation()
        before = self.round_trips
        for _ in range(times):
            operation()
        return (self.round_trips - before) / times

    def asked(self) -> None:
        with self._lock:
            self.round_trips += 1


@contextmanager
def counted() -> Iterator[Trips]:
    """A proxy in front of the database that DATABASE_URL names, until the block ends."""
    url = make_url(os.environ["DATABASE_URL"])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        through = url.set(host="127.0.0.1", port=listening.getsockname()[1])
        trips = Trips({"DATABASE_URL": through.render_as_string(hide_password=False)})
        open_ones: list[socket.socket] = []
        accepting = threading.Thread(
            target=_accept,
            args=(listening, (url.host or "", url.port or 0), trips, open_ones),
            daemon=True,
        )
        accepting.start()
        try:
            yield trips
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            accepting.join(5)
            for one in open_ones:
                one.close()


def _accept(
    listening: socket.socket,
    server: tuple[str, int],
    trips: Trips,
    open_ones: list[socket.socket],
) -> None:
    while True:
        try:
            client, _ = listening.accept()
        except OSError:
            return
        upstream = socket.create_connection(server)
        for one in (client, upstream):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        open_ones += [client, upstream]
        answered = threading.Event()
        answered.set()
        for target, arguments in (
            (_forward, (client, upstream, answered, trips)),
            (_answer, (upstream, client, answered)),
        ):
            threading.Thread(target=target, args=arguments, daemon=True).start()


def _forward(
    client: socket.socket, upstream: socket.socket, answered: threading.Event, trips: Trips
) -> None:
    """What is said after the server spoke begins another round trip."""
    for piece in _pieces(client):
        if answered.is_set():
            answered.clear()
            trips.asked()
        if not _said(upstream, piece):
            break
    _end(upstream)


def _answer(upstream: socket.socket, client: socket.socket, answered: threading.Event) -> None:
    for piece in _pieces(upstream):
        answered.set()
        if not _said(client, piece):
            break
    _end(client)


def _pieces(source: socket.socket) -> Iterator[bytes]:
    while True:
        try:
            piece = source.recv(_PIECE)
        except OSError:
            return
        if not piece:
            return
        yield piece


def _said(target: socket.socket, piece: bytes) -> bool:
    """Whether anybody still listened."""
    try:
        target.sendall(piece)
    except OSError:
        return False
    return True


def _end(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
