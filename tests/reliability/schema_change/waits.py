"""How long the application waited for a migration, as Postgres itself says."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from emulators.demo.stage import connect

_OFTEN = 0.01
_WAITING = """
    SELECT l.pid, l.waitstart::text, EXTRACT(EPOCH FROM clock_timestamp() - l.waitstart)
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE NOT l.granted AND l.waitstart IS NOT NULL AND a.usename = 'clinicloop_app'
      AND EXISTS (SELECT 1 FROM pg_stat_activity m
                  WHERE m.pid = ANY(pg_blocking_pids(l.pid)) AND m.usename <> 'clinicloop_app')"""


@dataclass
class Waits:
    """What was seen: how many requests waited for a migration, and the longest wait in seconds."""

    samples: int = 0
    waited: int = 0
    longest: float = 0.0


@contextmanager
def watching(admin_url: str) -> Iterator[Waits]:
    """Look a hundred times a second who waits behind the owner's session, and for how long."""
    seen: dict[tuple[int, str], float] = {}
    waits, over = Waits(), threading.Event()

    def look() -> None:
        with connect(admin_url) as database:
            while not over.is_set():
                waits.samples += 1
                for pid, since, seconds in database.run(_WAITING):
                    seen[pid, since] = float(seconds)
                time.sleep(_OFTEN)

    with ThreadPoolExecutor(1) as pool:
        watcher = pool.submit(look)
        try:
            yield waits
        finally:
            over.set()
        watcher.result()
    waits.waited, waits.longest = len(seen), max(seen.values(), default=0.0)
