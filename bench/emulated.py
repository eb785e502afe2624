"""Our engines and Google's official emulators, each in a process of its own."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.database import PROJECT
from emulators.parts import PARTS
from tests.emulators.official import NotInstalled, official

VARIABLES = {"pubsub": "PUBSUB_EMULATOR_HOST", "firestore": "FIRESTORE_EMULATOR_HOST"}
WHOLE_CLOUD = ("--only", ",".join(PARTS))
_READY_SECONDS = 60
_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Running:
    """A started local cloud: the variables it wrote, its process, and the seconds it took."""

    variables: dict[str, str]
    pid: int
    folder: Path
    ready_seconds: float

    def processes(self) -> list[psutil.Process]:
        """All processes of it; PostgreSQL is no child but has the folder in its command."""
        roots = [psutil.Process(self.pid)]
        for each in psutil.process_iter(["cmdline"]):
            if any(str(self.folder) in word for word in each.info["cmdline"] or ()):
                roots.append(each)
        found = {
            each.pid: each for root in roots for each in [root, *root.children(recursive=True)]
        }
        return list(found.values())

    def cpu_seconds(self) -> float:
        """What all its processes have taken until now, with the ended children of the first."""
        times = [each.cpu_times() for each in self.processes()]
        ended = psutil.Process(self.pid).cpu_times()
        return sum(each.user + each.system for each in times) + (
            ended.children_user + ended.children_system
        )


@contextmanager
def local_cloud(*options: str) -> Iterator[Running]:
    """`clinicloop cloud` with `options` in an empty folder, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="clinicloop-bench-") as folder:
        env_file = Path(folder) / "env"
        command = [sys.executable, "-m", "emulators.cli", "cloud", *options, "--env", str(env_file)]
        begun = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(_ROOT)},
        )
        try:
            _await(env_file, process)
            seconds = time.perf_counter() - begun
            yield Running(_variables(env_file), process.pid, Path(folder), seconds)
        finally:
            process.terminate()
            process.wait(30)


def _await(env_file: Path, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not env_file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise TimeoutError("the local cloud did not become ready")
        time.sleep(0.01)


def _variables(env_file: Path) -> dict[str, str]:
    pairs = (line.partition("=")[::2] for line in env_file.read_text().splitlines())
    return {name: value.strip("'") for name, value in pairs}


@contextmanager
def local_engine(engine: str) -> Iterator[str]:
    """The address of one of our engines."""
    with local_cloud("--only", engine) as cloud:
        yield cloud.variables[VARIABLES[engine]]


@contextmanager
def official_engine(engine: str) -> Iterator[str | None]:
    """The address of Google's official emulator; None where that is not installed."""
    with tempfile.TemporaryDirectory(prefix="clinicloop-bench-") as folder, ExitStack() as started:
        try:
            address = started.enter_context(official(engine, Path(folder)))
        except NotInstalled:
            address = None
        yield address


@contextmanager
def reached_at(engine: str, address: str) -> Iterator[None]:
    """Google's clients made inside the block talk to the emulator at `address`."""
    variable = VARIABLES[engine]
    before = os.environ.get(variable)
    os.environ[variable] = address
    try:
        yield
    finally:
        os.environ.pop(variable)
        if before is not None:
            os.environ[variable] = before


def topic(address: str, name: str) -> None:
    """Create a topic of the benchmarks' project in the Pub/Sub at `address`."""
    from google.cloud.pubsub_v1 import PublisherClient

    with reached_at("pubsub", address):
        PublisherClient().create_topic(name=f"projects/{PROJECT}/topics/{name}")
