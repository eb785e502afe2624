"""Portal traffic that goes on while a proof does its worst."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from emulators.traffic import Traffic


@contextmanager
def calling(traffic: Traffic, workers: int) -> Iterator[None]:
    """Let portals call for the length of the block; what they sent is in `traffic.ledger`."""
    over = threading.Event()

    def call() -> None:
        while not over.is_set():
            traffic.run(seconds=1, workers=workers)

    with ThreadPoolExecutor(1) as pool:
        caller = pool.submit(call)
        try:
            yield
        finally:
            over.set()
        caller.result()
