"""A receiver of pushes that answers 204 to everything; a GET answers how many came."""

import asyncio
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.servers import started


@dataclass(frozen=True)
class Sink:
    """A started receiver."""

    url: str

    def count(self) -> int:
        """How many POSTs it has answered."""
        with urllib.request.urlopen(self.url, timeout=10) as answer:
            return int(answer.read())


@contextmanager
def sink() -> Iterator[Sink]:
    """A receiver in a process of its own, until the block ends."""
    with started(__name__) as address:
        yield Sink(f"{address}/")


class _Receiver(asyncio.Protocol):
    """As little of HTTP as a pusher needs, so that the receiver is not what is measured."""

    count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            length = 0
            if (at := head.find(b"content-length:")) >= 0:
                length = int(head[at + 15 :].split(b"\r\n", 1)[0])
            if len(self._received) < end + 4 + length:
                return
            self._received = self._received[end + 4 + length :]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        if head.startswith(b"post "):
            _Receiver.count += 1
            self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        else:
            body = str(_Receiver.count).encode()
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
            )


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Receiver, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
