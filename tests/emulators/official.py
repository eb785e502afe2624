"""Google's own emulators as a reference, on machines that happen to have them and Java."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_READY_SECONDS = 60
_PROGRAMS = {
    "pubsub": ("pubsub-emulator/lib/cloud-pubsub-emulator-*.jar", ["-jar"], []),
    "firestore": (
        "cloud-firestore-emulator/cloud-firestore-emulator.jar",
        ["-Duser.language=en", "-cp"],
        ["com.google.cloud.datastore.emulator.firestore.CloudFirestore"],
    ),
}


class NotInstalled(Exception):
    """The emulator or Java is not on this machine; the message says which."""


def jar(engine: str) -> Path:
    """Where the official emulator of `engine` is; raises `NotInstalled`."""
    for platform in _platforms():
        for found in sorted(platform.glob(_PROGRAMS[engine][0])):
            return found
    raise NotInstalled(f"Google's {engine} emulator is not installed")


def _platforms() -> Iterator[Path]:
    """The folders in which the Google Cloud SDK keeps its emulators."""
    if gcloud := shutil.which("gcloud"):
        yield Path(gcloud).resolve().parent.parent / "platform"
    for root in ("/usr/lib", "/opt", Path.home()):
        yield Path(root) / "google-cloud-sdk" / "platform"


@contextmanager
def official(engine: str, folder: Path) -> Iterator[str]:
    """The address of a started official emulator; `folder` gets its log. Stopped afterwards.

    Raises `NotInstalled`, and `TimeoutError` when it does not listen within a minute.
    """
    java = shutil.which("java")
    if java is None:
        raise NotInstalled("Java is not installed")
    _, before, after = _PROGRAMS[engine]
    program = [java, *before, str(jar(engine)), *after]
    port = _free_port()
    with (folder / f"official-{engine}.log").open("wb") as log:
        process = subprocess.Popen(
            [*program, "--host=127.0.0.1", f"--port={port}"],
            stdout=log,
            stderr=log,
            cwd=folder,
            env=os.environ,
        )
    try:
        _wait_for(port, process)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(20)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"the official emulator did not listen on {port}")
