"""The command `clinicloop`, run as a person runs it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from emulators.wiring import ROOT

START_WITHIN = 60


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "emulators.cli", *arguments]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "120"}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=START_WITHIN,
    )


def start(folder: Path, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    """Start a command that goes on until told to stop; answers it and its first line."""
    process = subprocess.Popen(
        command(*arguments), cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline()


def stop(process: subprocess.Popen[str], by: signal.Signals = signal.SIGTERM) -> int:
    process.send_signal(by)
    code = process.wait(30)
    assert process.stdout is not None
    process.stdout.close()
    return code


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which a cloud of one engine runs."""
    folder = tmp_path_factory.mktemp("cli")
    process, _ = start(folder, "cloud", "--only", "twilio", "--env", "local.env")
    yield folder
    assert stop(process) == 0


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Path]:
    """A folder for a cloud with a database, whose data may lie elsewhere."""
    yield tmp_path
    for pointer in tmp_path.rglob("postgres/location"):
        shutil.rmtree(pointer.read_text())


def test_up_prints_one_address_that_answers(room: Path) -> None:
    process, line = start(room, "up", "--port", "0")
    try:
        address = line.rpartition(" ")[2].strip()
        assert httpx.get(f"{address}/api/state").status_code == 200
    finally:
        assert stop(process, signal.SIGINT) == 0
    assert not (room / ".clinicloop" / "cloud.json").exists()


def test_the_env_file_names_what_runs_in_shell_form(here: Path) -> None:
    shown = subprocess.run(
        ["/bin/sh", "-c", ". ./local.env; echo $TWILIO_URL"],
        cwd=here,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert httpx.get(f"{shown}/2010-04-01/Accounts/none/Messages.json").status_code == 401
    assert "PUBSUB_EMULATOR_HOST" not in (here / "local.env").read_text()


def test_files_with_credentials_are_for_their_owner_only(here: Path) -> None:
    for file in (here / "local.env", here / ".clinicloop" / "cloud.json"):
        assert file.stat().st_mode & 0o077 == 0


def test_time_moves_the_running_cloud(here: Path) -> None:
    moved = run(here, "time", "+6mo")
    assert moved.returncode == 0
    assert " -> " in moved.stdout


def test_a_time_that_makes_no_sense_ends_with_an_error(here: Path) -> None:
    failed = run(here, "time", "+6q")
    assert failed.returncode == 1
    assert "+6mo" in failed.stderr


def test_faults_are_put_in_force_and_cleared(here: Path) -> None:
    put = run(here, "fault", "twilio", "slow", "10m", "30%")
    assert "twilio: slow for 30% of calls until" in put.stdout
    assert run(here, "fault", "clear").returncode == 0
    assert json.loads(run(here, "state", "--json").stdout)["faults"] == []


def test_an_unknown_fault_ends_with_an_error(here: Path) -> None:
    failed = run(here, "fault", "twilio", "sleepy")
    assert failed.returncode == 1
    assert "kind" in failed.stderr


def test_state_shows_what_there_is(here: Path) -> None:
    shown = run(here, "state")
    assert shown.returncode == 0
    assert "dead letters" in shown.stdout


def test_without_a_cloud_a_command_says_how_to_start_one(tmp_path: Path) -> None:
    failed = run(tmp_path, "time", "+1h")
    assert failed.returncode == 1
    assert "clinicloop up" in failed.stderr


def test_an_unknown_part_ends_with_an_error(tmp_path: Path) -> None:
    failed = run(tmp_path, "cloud", "--only", "spanner", "--env", "x.env")
    assert failed.returncode == 1
    assert "unknown: spanner" in failed.stderr
    assert not (tmp_path / "x.env").exists()


def test_a_second_cloud_on_the_same_folder_is_refused(here: Path) -> None:
    failed = run(here, "cloud", "--only", "twilio", "--env", "other.env")
    assert failed.returncode == 1
    assert "is running on" in failed.stderr
    assert (here / ".clinicloop" / "cloud.json").exists()


def test_a_cloud_told_to_stop_while_it_starts_leaves_nothing_running(room: Path) -> None:
    process = subprocess.Popen(
        command("up", "--port", "0"),
        cwd=room,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + START_WITHIN
    while not (room / ".clinicloop" / "data" / "lock").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    stop(process)
    assert not (room / ".clinicloop" / "cloud.json").exists()
    log = room / ".clinicloop" / "data" / "postgres" / "postgresql.log"
    assert not log.exists() or "database system is shut down" in log.read_text()


def test_the_command_line_loads_nothing_heavy() -> None:
    heavy = "sorted({'grpc', 'aiohttp', 'pydantic', 'sqlalchemy'} & set(sys.modules))"
    shown = subprocess.run(
        [sys.executable, "-c", f"import sys, emulators.cli; print({heavy})"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.strip() == "[]"
