"""Portal traffic that goes on while a proof does its worst."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from emulators.traffic import Traffic


@contextmanager
def calling(traffic: Traffic, workers: int) -> Iterator[None]:
    """Let portals call for the length of the block; what they sent is in `traffic.ledger`."""
    over, failures = threading.Event(), list[BaseException]()

    def call() -> None:
        try:
            while not over.is_set():
                traffic.run(seconds=1, workers=workers)
        except BaseException as error:  # noqa: BLE001 -- raised in the thread that waits
            failures.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    try:
        yield
    finally:
        over.set()
        caller.join()
    if failures:
        raise failures[0]
