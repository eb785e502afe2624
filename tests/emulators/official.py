"""Google's own emulators as a reference, on machines that happen to have them.

Pub/Sub's and Firestore's need Java and gcloud's components, Identity Platform's the Firebase CLI.
"""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGTERM

import httpx

_READY_SECONDS = 60
_JARS = {
    "pubsub": ("pubsub-emulator/lib/cloud-pubsub-emulator-*.jar", ["-jar"], []),
    "firestore": (
        "cloud-firestore-emulator/cloud-firestore-emulator.jar",
        ["-Duser.language=en", "-cp"],
        ["com.google.cloud.datastore.emulator.firestore.CloudFirestore"],
    ),
}


class NotInstalled(Exception):
    """The emulator, or what it runs on, is not on this machine; the message says which."""


def jar(engine: str) -> Path:
    """Where the official emulator of `engine` is; raises `NotInstalled`."""
    for platform in _platforms():
        for found in sorted(platform.glob(_JARS[engine][0])):
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

    Raises `NotInstalled`, and `TimeoutError` when it does not answer within a minute.
    """
    port = _free_port()
    program = _firebase(folder, port) if engine == "identity" else _java(engine, port)
    with (folder / f"official-{engine}.log").open("wb") as log:
        process = subprocess.Popen(
            program, stdout=log, stderr=log, cwd=folder, env=os.environ, start_new_session=True
        )
    try:
        _wait_for(port, process)
        yield f"127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, SIGTERM)
        process.wait(20)


def _java(engine: str, port: int) -> list[str]:
    java = shutil.which("java")
    if java is None:
        raise NotInstalled("Java is not installed")
    _, before, after = _JARS[engine]
    return [java, *before, str(jar(engine)), *after, "--host=127.0.0.1", f"--port={port}"]


def _firebase(folder: Path, port: int) -> list[str]:
    firebase = shutil.which("firebase")
    if firebase is None:
        raise NotInstalled("the Firebase CLI is not installed")
    parts: dict[str, dict[str, int | bool]] = {"auth": {"port": port}, "ui": {"enabled": False}}
    parts |= {name: {"port": _free_port()} for name in ("hub", "logging")}
    (folder / "firebase.json").write_text(json.dumps({"emulators": parts}))
    return [firebase, "emulators:start", "--only", "auth", "--project", "clinicloop-local"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(f"http://127.0.0.1:{port}/")
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"the official emulator did not answer on {port}")
