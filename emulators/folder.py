"""The folder of a local cloud, which one cloud at a time has for itself."""

import fcntl
from pathlib import Path
from typing import IO


class FolderInUse(Exception):
    """Another local cloud runs on the folder; the message names it."""


class Folder:
    """A cloud's folder, made when it is missing."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock: IO[bytes] | None = None
        self.was_left = False
        """Whether the cloud before this one did not stop: its children may be about to end."""

    def take(self) -> None:
        """Raises `FolderInUse`. The lock goes with the process, however that ends."""
        lock = (self._path / "lock").open("a+b")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise FolderInUse(f"a local cloud is running on {self._path}") from None
        self._lock = lock
        lock.seek(0)
        self.was_left = bool(lock.read())
        lock.write(b"running")
        lock.flush()

    def leave(self) -> None:
        """The cloud has stopped. Idempotent."""
        if self._lock is not None:
            self._lock.truncate(0)
            self._lock.close()
            self._lock = None
