"""A cloud of Tasks and Scheduler that is killed keeps all it has acknowledged."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from google.api_core import exceptions

from emulators.wiring import ROOT
from tests.emulators.conftest import Loop
from tests.emulators.http_receiver import HttpReceiver
from tests.emulators.scheduler_client import SchedulerClient
from tests.emulators.tasks_client import QUEUE, TasksClient

URL = "http://127.0.0.1:9/"
ENOUGH = 150


@dataclass(frozen=True)
class Cloud:
    """A running cloud over a folder."""

    tasks: TasksClient
    scheduler: SchedulerClient
    process: subprocess.Popen[str]


@contextmanager
def cloud(folder: Path) -> Iterator[Cloud]:
    """A cloud for the length of the block, killed at its end."""
    env = folder / "local.env"
    command = [sys.executable, "-m", "emulators.cli", "cloud", "--only", "tasks,scheduler"]
    process = subprocess.Popen(
        [*command, "--data", str(folder / "data"), "--env", str(env)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("ready")
            values = dict(line.split("=", 1) for line in env.read_text().splitlines())
            ports = [
                int(values[f"CLOUD_{name}_EMULATOR_HOST"].rpartition(":")[2])
                for name in ("TASKS", "SCHEDULER")
            ]
            tasks, scheduler = TasksClient(ports[0]), SchedulerClient(ports[1])
            yield Cloud(tasks, scheduler, process)
            tasks.channel.close()
            scheduler.channel.close()
        finally:
            process.kill()
    env.unlink(missing_ok=True)


def test_tasks_and_jobs_survive_a_kill_amid_their_making(tmp_path: Path) -> None:
    later = datetime.now(UTC) + timedelta(hours=5)
    tasks: list[str] = []
    jobs: list[str] = []
    enough = threading.Event()
    with cloud(tmp_path) as first:
        first.tasks.create_queue()

        def make() -> None:
            try:
                while True:
                    name = f"t{len(tasks)}"
                    first.tasks.create_task(URL, name=name, at=later)
                    tasks.append(name)
                    if len(tasks) % 10 == 0:
                        jobs.append(first.scheduler.create_job(name, "0 4 1 1 *", URL))
                    if len(tasks) >= ENOUGH:
                        enough.set()
            except (exceptions.GoogleAPICallError, ValueError):
                return  # the cloud is gone

        maker = threading.Thread(target=make, daemon=True)
        maker.start()
        assert enough.wait(60)
        first.process.kill()
        maker.join(30)
        assert not maker.is_alive()
    with cloud(tmp_path) as second:
        assert set(tasks) - set(second.tasks.pending()) == set()
        kept = {second.scheduler.api.get_job(name=name).name for name in jobs}
        assert kept == set(jobs)


@pytest.fixture
def receiver(
    loop: Loop, start_engine: Callable[[type[HttpReceiver]], tuple[HttpReceiver, int]]
) -> HttpReceiver:
    return start_engine(HttpReceiver)[0]


def test_names_and_policies_survive_a_kill(tmp_path: Path, receiver: HttpReceiver) -> None:
    with cloud(tmp_path) as first:
        first.tasks.create_queue(retry_config={"max_attempts": 7})
        first.tasks.create_task(receiver.url, name="executed")
        first.tasks.create_task(URL, name="deleted", at=datetime.now(UTC) + timedelta(hours=5))
        first.tasks.api.delete_task(name=f"{QUEUE}/tasks/deleted")
        policy = {"bindings": [{"role": "roles/viewer", "members": ["user:a@example.com"]}]}
        first.tasks.api.set_iam_policy({"resource": QUEUE, "policy": policy})
        _wait_until_gone(first.tasks, "executed")
    with cloud(tmp_path) as second:
        assert second.tasks.api.get_queue(name=QUEUE).retry_config.max_attempts == 7
        for name in ("executed", "deleted"):
            with pytest.raises(exceptions.AlreadyExists):
                second.tasks.create_task(receiver.url, name=name)
        bindings = second.tasks.api.get_iam_policy({"resource": QUEUE}).bindings
        assert [binding.role for binding in bindings] == ["roles/viewer"]
        assert len(receiver.requests) == 1


def _wait_until_gone(client: TasksClient, name: str) -> None:
    pause = threading.Event()
    for _ in range(200):
        if name not in client.pending():
            return
        pause.wait(0.05)
    pytest.fail(f"task {name} was not executed in time")
