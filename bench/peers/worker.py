"""PgQueuer's worker (queue_worker.py) under command."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import URL

from bench.peers import FOLDER, interpreter


@dataclass(frozen=True)
class Worker:
    """A started worker."""

    process: "subprocess.Popen[str]"

    def told(self, command: str) -> float:
        """The seconds `command` took. Raises `RuntimeError` when the worker is gone."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(command, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the worker did not survive {command!r}")
        return float(answer)


@contextmanager
def worker(database: URL) -> Iterator[Worker]:
    """A worker on an empty `database`, until the block ends. Raises `Absent`."""
    url = database.set(drivername="postgresql").render_as_string(hide_password=False)
    process = subprocess.Popen(
        [interpreter(), "-I", FOLDER / "queue_worker.py"],
        env=os.environ | {"QUEUE_DATABASE_URL": url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield Worker(process)
        finally:
            process.terminate()
