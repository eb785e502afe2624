"""HTTP calls to a server under measurement, some of them always under way."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp

from bench.kit import expect
from bench.served import Served

UNDER_WAY = 16


@dataclass(frozen=True)
class Call:
    """What is asked again and again; `said` has to occur in every answer."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    said: bytes = b""


@dataclass(frozen=True)
class Taken:
    """What calls took: how many a second, and microseconds of the server's CPU for each."""

    rate: float
    cpu_us: float


def taken(server: Served, call: Call, bodies: Sequence[bytes]) -> Taken:
    """Call `server` with each of the bodies."""
    before = server.cpu_seconds()
    seconds = driven(server.url, call, bodies)
    spent = server.cpu_seconds() - before
    return Taken(len(bodies) / seconds, spent / len(bodies) * 1e6)


def driven(base: str, call: Call, bodies: Sequence[bytes]) -> float:
    """Seconds until a call with each of the bodies is answered, `UNDER_WAY` at a time."""
    return asyncio.run(_driven(base + call.path, call, list(bodies)))


async def _driven(url: str, call: Call, waiting: list[bytes]) -> float:
    async with aiohttp.ClientSession(headers=call.headers) as session:

        async def caller() -> None:
            while waiting:
                body = waiting.pop()
                async with session.request(call.method, url, data=body or None) as answer:
                    found = await answer.read()
                    expect(f"the status of {url}", answer.status, call.status)
                    expect(f"{call.said!r} in the answer", call.said in found, True)

        begun = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(UNDER_WAY)))
        return time.perf_counter() - begun
