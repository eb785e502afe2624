"""Replace a column under load, release by release, and say what anybody noticed of it."""

import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from emulators.cloud import Options
from emulators.demo.stage import Stage, connect
from emulators.ports import free_port
from emulators.running import RunningCloud, running
from emulators.traffic import Sent, Traffic
from shared.platform import migrations
from tests.reliability.calling import calling
from tests.reliability.schema_change.hosts import Balanced, Host, Release, second
from tests.reliability.schema_change.newer import Code
from tests.reliability.schema_change.waits import Waits, watching

VERSIONS = Path(__file__).parent / "versions"
MOST_BLOCKED = 1.0
"""Seconds that a request may wait for a migration."""


@dataclass
class Outcome:
    """What was noticed. `migrated` says from when to when each revision took, waiting included."""

    sent: list[Sent] = field(default_factory=list)
    served: dict[Code, int] = field(default_factory=dict)
    migrated: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)
    waits: Waits = field(default_factory=Waits)
    wrong: list[str] = field(default_factory=list)
    """What is not as it was promised, in the end."""

    @property
    def errors(self) -> list[Sent]:
        return [sent for sent in self.sent if sent.unknown]

    def slowest(self, since: datetime, until: datetime) -> float:
        """Seconds that the slowest call took of those under way in this time."""
        return max(
            (
                sent.took
                for sent in self.sent
                if sent.at < until and sent.at + timedelta(seconds=sent.took) > since
            ),
            default=0.0,
        )

    @property
    def kept(self) -> bool:
        proven = all(self.served.get(code) for code in Code) and self.waits.samples > 0
        return proven and not self.errors and not self.wrong and self.waits.longest < MOST_BLOCKED

    def lines(self) -> Iterator[str]:
        """The outcome, for people."""
        calls = Counter(self.served)
        yield f"calls      {len(self.sent)}: " + ", ".join(f"{calls[c]} by {c}" for c in Code)
        yield f"errors     {len(self.errors)}"
        for sent in self.errors[:10]:
            yield f"           {sent.route}: {sent.status} {sent.answer}"
        for revision, (since, until) in self.migrated.items():
            took = (until - since).total_seconds()
            slowest = self.slowest(since, until)
            yield f"{revision}       {took:.1f} s; the slowest call meanwhile {slowest:.2f} s"
        yield (
            f"blocked    {self.waits.waited} requests waited for a migration, at most"
            f" {self.waits.longest:.2f} s (limit {MOST_BLOCKED:.0f} s; {self.waits.samples} looks)"
        )
        whole = min(sent.at for sent in self.sent), self.sent[-1].at
        yield f"slowest    {self.slowest(*whole):.2f} s of all"
        yield from (f"wrong      {line}" for line in self.wrong)
        yield "kept" if self.kept else "BROKEN"


@dataclass
class Change:
    """The change under way: hosts `a` (where Pub/Sub pushes to) and `b`, and a release of both."""

    cloud: RunningCloud
    a: Host
    b: Host
    release: Release
    seconds: float
    outcome: Outcome

    def migrate(self, revision: str) -> None:
        """As a deployment does, and see it work for a while."""
        began = self.cloud.now
        migrations.upgrade(revision, VERSIONS, url=self.cloud.admin_url)
        self.outcome.migrated[revision] = began, self.cloud.now
        time.sleep(self.seconds)

    def replace(self, host: Host, code: Code, other: Code) -> None:
        """Run `code` on `host`, while the other host, which runs `other`, takes all calls."""
        beside = self.b if host is self.a else self.a
        self.release.to((beside, other))
        host.stop()
        host.start(code)
        self.release.to((beside, other), (host, code))
        time.sleep(self.seconds)

    def play(self) -> None:
        """Expand, release, fill, release, contract."""
        with reading(self.cloud, 4):
            self.migrate("9001")
        self.b.start(Code.BOTH)
        self.release.to((self.a, Code.TODAY), (self.b, Code.BOTH))
        self.migrate("9002")
        self.replace(self.a, Code.BOTH, Code.BOTH)
        self.migrate("9003")
        self.migrate("9004")
        self.replace(self.b, Code.FINAL, Code.BOTH)
        self.replace(self.a, Code.FINAL, Code.FINAL)
        with reading(self.cloud, 4):
            self.migrate("9005")


@contextmanager
def reading(cloud: RunningCloud, seconds: float) -> Iterator[None]:
    """Somebody reads the customers in a transaction that lasts so long."""
    begun = threading.Event()

    def read() -> None:
        with connect(cloud.admin_url) as database:
            database.run("BEGIN")
            database.run("SELECT count(*) FROM customers.customers")
            begun.set()
            time.sleep(seconds)
            database.run("COMMIT")

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        begun.wait(seconds)
        yield
        reader.result()


def prove(seed: int, customers: int, seconds: float, workers: int = 4) -> Outcome:
    """The whole change on a cloud of its own; `seconds` is how long each state of it lasts."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory(prefix="clinicloop-schema-change-") as place:
        folder = Path(place)
        options = Options(folder=folder, throwaway=True, seed=seed, ports={"host": free_port()})
        with running(options) as cloud:
            stage = Stage(cloud)
            release = Release(Random(f"release {seed}"))
            stage.portal = Balanced(cloud.env, cloud.url, release=release)
            a = Host(int(cloud.url.rpartition(":")[2]), folder / "a.log", dict(cloud.env))
            b = second(dict(cloud.env), folder / "b.log")
            _take_over(cloud, a)
            try:
                release.to((a, Code.TODAY))
                traffic = Traffic(stage, seed)
                traffic.open(customers)
                change = Change(cloud, a, b, release, seconds, outcome)
                with watching(cloud.admin_url) as outcome.waits, calling(traffic, workers):
                    change.play()
                outcome.sent, outcome.served = traffic.ledger, release.served
                outcome.wrong = [*traffic.missing(), *_wrong(stage)]
            finally:
                a.stop()
                b.stop()
                stage.close()
    return outcome


def _take_over(cloud: RunningCloud, host: Host) -> None:
    """Let `host` serve in the place of the cloud's own host, with what that saw."""
    own = cloud.cloud.host
    assert own is not None
    host.environment = cloud.cloud._host_environment()
    cloud.run(own.stop())
    host.start(Code.TODAY)


def _wrong(stage: Stage) -> Iterator[str]:
    """What is not as the change wants it."""
    columns = stage.rows(
        "SELECT attname AS name, attnotnull AS given FROM pg_attribute WHERE NOT attisdropped"
        " AND attrelid = 'customers.customers'::regclass AND attname IN ('uid', 'account')"
    )
    if columns != [{"name": "account", "given": True}]:
        yield f"columns: {columns}"
    valid = "SELECT indisvalid AND indisunique AS valid FROM pg_index WHERE indexrelid ="
    index = stage.rows(f"{valid} to_regclass('customers.uq_customers_clinic_id_account')")
    if index != [{"valid": True}]:
        yield f"index: {index}"
    parked = stage.rows("SELECT function, handler, reason FROM platform.dead_letters")
    yield from (f"parked: {letter}" for letter in parked)
