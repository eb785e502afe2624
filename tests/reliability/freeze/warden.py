"""Who looks after processes that stand still: replaces them, and lets them go on late."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

import psutil

from emulators.demo.stage import connect
from emulators.fail_points import Fired
from emulators.host import PROCESSES
from emulators.running import RunningCloud

LATE = timedelta(minutes=10)
"""Virtual time after which a process goes on: all of its leases have run out by then, long ago."""
_LOOK_SECONDS = 0.02


@dataclass
class Warden:
    """Watches the points of a cloud from a thread of its own, for the length of `watching`."""

    cloud: RunningCloud
    dice: Random
    stopped: list[Fired] = field(default_factory=list)
    _frozen: dict[int, datetime] = field(default_factory=dict)
    _done: threading.Event = field(default_factory=threading.Event)

    def _watch(self) -> None:
        with closing(connect(self.cloud.admin_url)) as database:
            while not self._done.wait(_LOOK_SECONDS):
                self._look(database)
            for pid in [*self._frozen]:
                self._thaw(pid, database)

    def _look(self, database: Any) -> None:
        for fired in self.cloud.fail_points.fired()[len(self.stopped) :]:
            self.stopped.append(fired)
            self._frozen[fired.pid] = self.cloud.now
            self._replace(fired.pid, database)
        for pid, since in [*self._frozen.items()]:
            if self.cloud.now >= since + LATE:
                self._thaw(pid, database)

    def _replace(self, pid: int, database: Any) -> None:
        """Somebody can answer: one more process, or of the most there are the one longest still.

        gunicorn starts one at SIGTTIN (its documentation, "Signal Handling").
        """
        host = psutil.Process(pid).parent()
        if host is None or not {one.pid for one in host.children()} <= self._frozen.keys():
            return
        if len(self._frozen) <= PROCESSES:
            host.send_signal(signal.SIGTTIN)
        else:
            self._thaw(next(iter(self._frozen)), database)

    def _thaw(self, pid: int, database: Any) -> None:
        """Let it go on; half of them find that the database has cut their connections."""
        del self._frozen[pid]
        if self.dice.random() < 0.5:
            ports = [one.laddr.port for one in psutil.Process(pid).net_connections("tcp4")]
            database.run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE client_port = ANY(CAST(:ports AS int[]))",
                ports=ports,
            )
        os.kill(pid, signal.SIGCONT)

    def thaw(self) -> None:
        """Nobody stands still any longer."""
        self._done.set()


@contextmanager
def watching(cloud: RunningCloud, dice: Random) -> Iterator[Warden]:
    """A warden at work; in the end everybody goes on.

    As Cloud Run's router does, no request is sent to a process that stands still: connections are
    not kept.
    """

    async def keep_no_connection() -> None:
        cloud.cloud.ground.session.headers["Connection"] = "close"

    cloud.run(keep_no_connection())
    warden = Warden(cloud, dice)
    thread = threading.Thread(target=warden._watch, name="warden")
    thread.start()
    try:
        yield warden
    finally:
        warden.thaw()
        thread.join(20)
