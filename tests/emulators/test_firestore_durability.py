"""No acknowledged write is lost when the process of the engine is killed."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from google.api_core import exceptions

from emulators.firestore import Firestore
from tests.emulators.engine_process import engine_process
from tests.emulators.firestore_client import Client, client_at


@contextmanager
def process(folder: Path) -> Iterator[tuple[Client, "subprocess.Popen[bytes]"]]:
    """An engine over `folder` in a process of its own, and a client of it; killed at the end."""
    with (
        engine_process(Firestore, folder) as (port, started),
        client_at(port) as client,
    ):
        yield client, started


def test_killed_engine_has_every_acknowledged_write(tmp_path: Path) -> None:
    acknowledged: dict[str, int] = {}
    enough = threading.Event()

    def write(db: Client, writer: int) -> None:
        for number in range(10_000):
            path = f"notes/{writer}-{number % 20}"
            try:
                db.document(path).set({"n": number}, timeout=5, retry=None)
            except exceptions.GoogleAPICallError:
                return
            acknowledged[path] = number
            if len(acknowledged) >= 60:
                enough.set()

    with process(tmp_path) as (db, engine):
        writers = [threading.Thread(target=write, args=(db, number)) for number in range(4)]
        for writer in writers:
            writer.start()
        assert enough.wait(30)
        engine.kill()
        for writer in writers:
            writer.join(30)
    with process(tmp_path) as (db, _):
        kept = {f"notes/{s.id}": s.get("n") for s in db.collection("notes").stream()}
    # The very last write of a writer may be stored without its answer having arrived.
    assert all(kept[path] in (number, number + 20) for path, number in acknowledged.items())


def test_killed_engine_has_all_or_nothing_of_a_commit(tmp_path: Path) -> None:
    started = threading.Event()

    def write(db: Client) -> None:
        for number in range(10_000):
            batch = db.batch()
            for part in range(10):
                batch.set(db.document(f"parts/{part}"), {"n": number})
            try:
                batch.commit(timeout=5, retry=None)
            except exceptions.GoogleAPICallError:
                return
            if number == 5:
                started.set()

    with process(tmp_path) as (db, engine):
        writer = threading.Thread(target=write, args=(db,))
        writer.start()
        assert started.wait(30)
        engine.kill()
        writer.join(30)
    with process(tmp_path) as (db, _):
        found = [snapshot.get("n") for snapshot in db.collection("parts").stream()]
    assert len(found) == 10
    assert len(set(found)) == 1
