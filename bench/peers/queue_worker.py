"""The peer of the outbox relay: PgQueuer's worker, draining jobs that do nothing.

Takes commands on its standard input: `fill COUNT` enqueues jobs, `drain` works them off. Answers
each with the seconds it took.
"""

import asyncio
import os
import sys
import time
from datetime import timedelta

import asyncpg  # type: ignore[import-not-found]
import uvloop
from pgqueuer import AsyncpgDriver, QueueManager  # type: ignore[import-not-found]
from pgqueuer.queries import Queries  # type: ignore[import-not-found]
from pgqueuer.types import QueueExecutionMode  # type: ignore[import-not-found]

_BATCH = 500
"""As many as our relay claims at a time."""
_PAYLOAD = b'{"contract_id": "0198c0de-0000-7000-8000-000000000001", "version": 1}'


async def _drain(queries: Queries) -> None:
    worker = QueueManager(queries)

    @worker.entrypoint("told")  # type: ignore[untyped-decorator]
    async def told(_: object) -> None:
        """Take everything at once, so that only the database's share is measured."""

    await worker.run(
        dequeue_timeout=timedelta(seconds=1),
        batch_size=_BATCH,
        mode=QueueExecutionMode.drain,
        log_aggregation_interval=timedelta(0),
    )


async def main() -> None:
    connection = await asyncpg.connect(os.environ["QUEUE_DATABASE_URL"])
    queries = Queries(AsyncpgDriver(connection))
    await queries.install()
    while command := await asyncio.to_thread(sys.stdin.readline):
        begun = time.perf_counter()
        match command.split():
            case ["fill", count]:
                jobs = int(count)
                await queries.enqueue(["told"] * jobs, [_PAYLOAD] * jobs, [0] * jobs)
            case ["drain"]:
                await _drain(queries)
        print(time.perf_counter() - begun, flush=True)
    await connection.close()


if __name__ == "__main__":
    uvloop.run(main())
