"""A local cloud in the foreground: it runs until it is told to stop, and a file says where it is.

Heavy imports happen inside the functions, so that the command line is quick.
"""

import os
import re
import shlex
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emulators.cloud import LocalCloud, Options

MARK = "CLINICLOOP_CLOUD"
"""The variable with the address of a cloud's console."""
_STOPPING_SECONDS = 3


class NotStarted(Exception):
    """The cloud could not start; the message says why."""


class NotOurs(Exception):
    """A file is in the way that no local cloud has written."""


class Notice:
    """A file that is there while a cloud is ready, for its owner's eyes only.

    `text` makes what is in it. It appears whole, and goes when the cloud stops.
    """

    def __init__(self, file: Path, text: "Callable[[LocalCloud], str]") -> None:
        self.file = file
        self._text = text
        self._written: str | None = None

    def put_up(self, cloud: "LocalCloud") -> None:
        self._written = self._text(cloud)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        draft = self.file.with_name(f".{self.file.name}.{os.getpid()}")
        draft.touch(0o600)
        draft.write_text(self._written)
        draft.replace(self.file)

    def take_down(self) -> None:
        """Remove it, unless another cloud has put up its own."""
        if self.file.exists() and self.file.read_text(errors="replace") == self._written:
            self.file.unlink()

    def clear_way(self) -> None:
        """Remove what an earlier cloud left behind; raises `NotOurs` for anything else.

        A cloud that is stopping has a moment to go.
        """
        if not self.file.exists():
            return
        if self.file.is_dir():
            raise NotOurs(f"{self.file} is a folder")
        text = self.file.read_text(errors="replace")
        if text.strip() and f"{MARK}=" not in text:
            raise NotOurs(f"{self.file} is in the way: no local cloud has written it")
        owner = re.search(rf"^{MARK}=(\S+)", text, re.MULTILINE)
        if owner is not None and _goes_on(owner[1]):
            raise NotOurs(f"{self.file} is of the local cloud that runs at {owner[1]}")
        self.file.unlink(missing_ok=True)


def _goes_on(url: str) -> bool:
    """Whether a console answers there, and still does after some seconds."""
    deadline = time.monotonic() + _STOPPING_SECONDS
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{url}/api/faults", timeout=1).close()  # noqa: S310 -- ours
        except (OSError, HTTPException, ValueError):
            return False
        time.sleep(0.1)
    return True


def shell_variables(cloud: "LocalCloud") -> str:
    """The cloud's environment as a shell reads it, a variable a line."""
    values = dict(cloud.environment)
    if cloud.options.product and cloud.admin_url:
        values["DATABASE_ADMIN_URL"] = cloud.admin_url
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in sorted(values.items()))


def stop_cleanly() -> None:
    """Let a signal that comes before the cloud listens for it end the command in good order."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)


def _leave(*_: object) -> None:
    raise SystemExit(0)


@contextmanager
def state_folder(data: Path | None) -> Iterator[Path]:
    """The folder to keep state in, or one that is gone afterwards."""
    if data is not None:
        yield data
        return
    from tempfile import TemporaryDirectory

    stops = (signal.SIGINT, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)  # one between making and knowing would leave it
    with TemporaryDirectory(prefix="clinicloop-", ignore_cleanup_errors=True) as made:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stops)
        yield Path(made)


def run(
    options: "Options",
    only: frozenset[str] | None,
    notice: Notice,
    greet: "Callable[[LocalCloud], None]",
) -> None:
    """Start, put the notice up and greet, wait for SIGINT or SIGTERM, stop.

    Raises `NotStarted`; what had started is stopped then.
    """
    import asyncio
    import logging

    import uvloop

    from emulators.cloud import CloudError
    from emulators.database import MigrationsFailed
    from emulators.host_process import HostFailed
    from emulators.ports import PortTaken
    from emulators.postgres import PostgresError

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    failures = (CloudError, HostFailed, MigrationsFailed, PortTaken, PostgresError, OSError)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_told(options, only, notice, greet))
    except failures as error:
        raise NotStarted(str(error)) from None
    finally:
        notice.take_down()


async def _until_told(
    options: "Options",
    only: frozenset[str] | None,
    notice: Notice,
    greet: "Callable[[LocalCloud], None]",
) -> None:
    import asyncio

    from emulators.cloud import LocalCloud

    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    cloud = LocalCloud(options)
    start = asyncio.create_task(cloud.start(only))
    stop = asyncio.create_task(told.wait())
    await asyncio.wait([start, stop], return_when=asyncio.FIRST_COMPLETED)
    try:
        if told.is_set():
            start.cancel()
            await asyncio.gather(start, return_exceptions=True)
            return
        await start
        notice.put_up(cloud)
        greet(cloud)
        await told.wait()
    finally:
        stop.cancel()
        await cloud.stop()
