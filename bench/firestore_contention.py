"""Transactions that all increment one document: the local Firestore against Google's emulator.

Google's own client in as many threads as there are increments. It gives up after five attempts, as
it does by itself, and is then asked anew until its increment is committed. The figure is committed
increments a second; the document has to hold exactly those.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import uuid4

from google.api_core.exceptions import Aborted
from google.auth.credentials import AnonymousCredentials
from google.cloud import firestore

from bench.database import PROJECT
from bench.emulated import local_engine, official_engine, reached_at
from bench.kit import Result, compare

INCREMENTS = 12
ROUNDS = 3
LIMIT = 20
MOST_SECONDS = 30
"""After this no increment is asked anew: Google's emulator can lock itself up for minutes."""


def _increment(client: Any, counter: Any, until: float) -> int:
    """1 once it is committed, 0 if that did not come to be."""

    def increment(transaction: Any) -> None:
        found = counter.get(transaction=transaction)
        transaction.update(counter, {"count": found.get("count") + 1})

    while time.perf_counter() < until:
        try:
            # One wrapper for each thread: it keeps the state of its transaction in itself.
            firestore.transactional(increment)(client.transaction())
        except ValueError as failed:
            if not isinstance(failed.__cause__, Aborted):
                raise
        else:
            return 1
    return 0


def _contended(client: Any, *, all_wanted: bool) -> float:
    """Committed increments a second; none at all counts as one, in the peer's favour."""
    counter = client.collection("bench").document(str(uuid4()))
    counter.set({"count": 0})
    begun = time.perf_counter()
    with ThreadPoolExecutor(INCREMENTS) as pool:
        increments = [
            pool.submit(_increment, client, counter, begun + MOST_SECONDS)
            for _ in range(INCREMENTS)
        ]
        committed = sum(increment.result() for increment in increments)
    seconds = time.perf_counter() - begun
    count = counter.get().get("count")
    if count != committed or (all_wanted and count != INCREMENTS):
        raise AssertionError(f"{committed} increments ended at {count}")
    return max(committed, 1) / seconds


def _client(address: str) -> Any:
    with reached_at("firestore", address):
        credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
        return firestore.Client(project=PROJECT, credentials=credentials)


def run() -> Iterator[Result]:
    with local_engine("firestore") as local, official_engine("firestore") as official:
        ours = partial(_contended, _client(local), all_wanted=True)
        peer = partial(_contended, _client(official), all_wanted=False) if official else None
        yield compare(
            "firestore_contention",
            ("local", ours),
            ("Google's emulator", peer),
            unit="increments/s",
            limit=LIMIT,
            at_least=True,
            rounds=ROUNDS,
        )
