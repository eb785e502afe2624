"""Kill PostgreSQL's every process under load, again and again, and compare what is left."""

import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import psutil

from emulators.cloud import Options
from emulators.demo.stage import Stage
from emulators.running import RunningCloud, running
from emulators.traffic import Sent, Traffic
from tests.reliability.calling import calling
from tests.reliability.database_kill.halves import halves

_CALM = (1.0, 3.0)
"""Seconds of traffic before a kill, from and to."""
_AWAY = 0.5
"""Seconds until the server is started again, as a supervisor would."""
_ASKED = 0.05
"""Seconds between two looks whether the host answers again."""
_PATIENCE = 60.0
_LATER = 15
"""Minutes after which leases have run out and everything was tried again."""


@dataclass
class Outcome:
    """What came of it. `back` are seconds from the server's return to the host's first success."""

    sent: list[Sent] = field(default_factory=list)
    kills: int = 0
    back: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    hosts: set[frozenset[int]] = field(default_factory=set)
    """The process ids of the functions' host: there is one set of them if all survived."""

    @property
    def acknowledged(self) -> list[Sent]:
        return [sent for sent in self.sent if sent.request.writes and sent.acknowledged]

    @property
    def unknown(self) -> list[Sent]:
        return [sent for sent in self.sent if sent.request.writes and sent.unknown]

    @property
    def kept(self) -> bool:
        proven = len(self.back) == self.kills and len(self.acknowledged) > 0
        return proven and not self.wrong and len(self.hosts) == 1

    def lines(self) -> Iterator[str]:
        """The outcome, for people."""
        answers = Counter(str(sent.status) for sent in self.unknown)
        yield f"calls      {len(self.sent)}"
        yield f"writes     {len(self.acknowledged)} acknowledged, all looked for"
        said = ", ".join(f"{number} of {status}" for status, number in answers.items()) or "none"
        yield f"unknown    {len(self.unknown)} writes: {said}"
        back = ", ".join(f"{seconds:.2f} s" for seconds in self.back)
        yield f"kills      {self.kills}; first success after the server was back: {back}"
        yield from (f"wrong      {line}" for line in self.wrong)
        yield "kept" if self.kept else "BROKEN"


def prove(seed: int, kills: int, customers: int, workers: int = 4) -> Outcome:
    """Traffic on a cloud with a durable database, which is killed so often at seeded instants."""
    random, outcome = Random(f"kills {seed}"), Outcome(kills=kills)
    with _durable(seed) as cloud:
        stage = Stage(cloud)
        try:
            traffic = Traffic(stage, seed)
            traffic.open(customers)
            outcome.hosts.add(_host(cloud))
            with calling(traffic, workers):
                for _ in range(kills):
                    time.sleep(random.uniform(*_CALM))
                    outcome.back.append(_kill(cloud, traffic))
                    outcome.hosts.add(_host(cloud))
                time.sleep(_CALM[0])
            cloud.advance(minutes=_LATER)
            outcome.sent = traffic.ledger
            outcome.wrong = [*traffic.missing(), *halves(cloud.admin_url)]
        finally:
            stage.close()
    return outcome


@contextmanager
def _durable(seed: int) -> Iterator[RunningCloud]:
    """A cloud that keeps what it acknowledged; its database goes with the proof all the same."""
    with tempfile.TemporaryDirectory(prefix="clinicloop-database-kill-") as folder:
        database = None
        try:
            with running(Options(folder=Path(folder), seed=seed)) as cloud:
                database = cloud.cloud.postgres
                yield cloud
        finally:
            if database is not None:
                database.destroy()


def _kill(cloud: RunningCloud, traffic: Traffic) -> float:
    """Kill the server and start it again; seconds from then on to the first call that succeeded.

    Raises `TimeoutError` when none does.
    """
    server = cloud.cloud.postgres
    assert server is not None
    server.kill()
    time.sleep(_AWAY)
    server.start()
    up, deadline = cloud.now, time.monotonic() + _PATIENCE
    seen = len(traffic.ledger)
    while time.monotonic() < deadline:
        for sent in traffic.ledger[seen:]:
            if sent.acknowledged and sent.request.method and sent.at >= up:
                return (sent.at - up).total_seconds() + sent.took
        time.sleep(_ASKED)
    raise TimeoutError("no call succeeded after the server was back")


def _host(cloud: RunningCloud) -> frozenset[int]:
    """The process ids of the functions' host and its workers."""
    host = cloud.cloud.host
    assert host is not None
    assert host._process is not None
    master = psutil.Process(host._process.pid)
    return frozenset({master.pid, *(child.pid for child in master.children())})
