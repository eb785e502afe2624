"""The local Pub/Sub in a process of its own, with one topic."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_READY_SECONDS = 30


@contextmanager
def pubsub_topic(topic: str) -> Iterator[None]:
    """Start `clinicloop cloud --only pubsub`; PUBSUB_EMULATOR_HOST points at it in the block."""
    with tempfile.TemporaryDirectory(prefix="clinicloop-bench-") as folder:
        env_file = Path(folder) / "env"
        command = [sys.executable, "-m", "emulators.cli", "cloud", "--only", "pubsub"]
        process = subprocess.Popen(
            [*command, "--env", str(env_file), "--data", f"{folder}/data"],
            stdout=subprocess.DEVNULL,
        )
        try:
            os.environ["PUBSUB_EMULATOR_HOST"] = _address(env_file)
            _create(topic)
            yield
        finally:
            process.terminate()
            process.wait(20)
            os.environ.pop("PUBSUB_EMULATOR_HOST", None)


def _address(env_file: Path) -> str:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if env_file.exists():
            for line in env_file.read_text().splitlines():
                name, _, value = line.removeprefix("export ").partition("=")
                if name == "PUBSUB_EMULATOR_HOST":
                    return value.strip("'\"")
        time.sleep(0.05)
    raise TimeoutError("the local Pub/Sub did not start")


def _create(topic: str) -> None:
    from google.cloud.pubsub_v1 import PublisherClient

    client = PublisherClient()
    client.create_topic(name=f"projects/{os.environ['GOOGLE_CLOUD_PROJECT']}/topics/{topic}")
