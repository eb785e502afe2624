"""The command `clinicloop`, run as a person runs it."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import typer

from emulators.cli import app
from emulators.parts import CREDENTIALS
from emulators.ports import free_port
from emulators.wiring import ROOT

START_WITHIN = 60


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "emulators.cli", *arguments]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "120"}


def variables(file: Path) -> dict[str, str]:
    """What a shell finds in an env file."""
    return dict(line.split("=", 1) for line in file.read_text().splitlines())


def run(folder: Path, *arguments: str, **known: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; beside `local.env` it knows the variables in there."""
    if (folder / "local.env").exists():
        known = variables(folder / "local.env") | known
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment() | known,
        capture_output=True,
        text=True,
        check=False,
        timeout=START_WITHIN,
    )


def start(folder: Path, *arguments: str, **known: str) -> tuple[subprocess.Popen[str], str]:
    """Start a command that goes on until told to stop; answers it and its first line."""
    process = subprocess.Popen(
        command(*arguments),
        cwd=folder,
        env=environment() | known,
        stdout=subprocess.PIPE,
        text=True,
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
        assert (room / ".clinicloop" / "cloud.json").stat().st_mode & 0o077 == 0
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
    assert (here / "local.env").stat().st_mode & 0o077 == 0


def test_time_moves_the_running_cloud(here: Path) -> None:
    moved = run(here, "time", "+6mo")
    assert moved.returncode == 0
    assert " -> " in moved.stdout


def test_a_time_that_makes_no_sense_ends_with_an_error(here: Path) -> None:
    failed = run(here, "time", "+6q")
    assert failed.returncode == 1
    assert "+6mo" in failed.stderr


def test_faults_are_put_in_force_and_cleared(here: Path) -> None:
    put = run(here, "fault", "twilio", "error", "10m", "30%")
    assert "twilio: error for 30% of calls until" in put.stdout
    assert run(here, "fault").stdout == put.stdout
    assert run(here, "fault", "clear", "twilio").returncode == 0
    assert run(here, "fault").stdout == "no faults\n"


def test_the_first_duration_of_a_delay_is_how_late(here: Path) -> None:
    put = run(here, "fault", "twilio-webhooks", "delay", "5m", "1h")
    assert "twilio-webhooks: delay by 300 s for 100% of calls until" in put.stdout
    assert run(here, "fault", "clear").returncode == 0


@pytest.mark.parametrize(
    ("fault", "offered"),
    [(("twilio", "sleepy"), "fail-after-success"), (("spanner", "down"), "twilio-webhooks")],
)
def test_an_unknown_fault_ends_with_those_that_there_are(
    here: Path, fault: tuple[str, ...], offered: str
) -> None:
    failed = run(here, "fault", *fault)
    assert failed.returncode == 1
    assert offered in failed.stderr
    assert run(here, "fault", "clear", "spanner").returncode == 1


def test_state_shows_what_there_is(here: Path) -> None:
    shown = run(here, "state")
    assert shown.returncode == 0
    assert "dead letters" in shown.stdout
    assert "skipped, nothing to see" in shown.stdout


def test_without_a_cloud_a_command_says_how_to_start_one(tmp_path: Path) -> None:
    failed = run(tmp_path, "time", "+1h")
    assert failed.returncode == 1
    assert "clinicloop up" in failed.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--only", "spanner"), "unknown: spanner; there is postgres, pubsub,"),
        (("--port", "spanner=1"), "spanner=1 is not PART=PORT"),
        (("--port", "pubsub"), "pubsub is not PART=PORT"),
    ],
)
def test_what_is_asked_wrongly_is_said_with_status_2(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    failed = run(tmp_path, "cloud", "--env", "x.env", *arguments)
    assert failed.returncode == 2
    assert said in failed.stderr
    assert not (tmp_path / "x.env").exists()


def test_a_port_that_is_taken_is_named(here: Path) -> None:
    taken = variables(here / "local.env")["TWILIO_URL"].rpartition(":")[2]
    failed = run(here, "cloud", "--only", "fcm", "--env", "x.env", "--port", f"fcm={taken}")
    assert failed.returncode == 1
    assert f"port {taken}, wanted for fcm" in failed.stderr


def test_a_file_of_somebody_else_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "x.env").write_text("SECRET=mine\n")
    failed = run(tmp_path, "cloud", "--only", "twilio", "--env", "x.env")
    assert failed.returncode == 2
    assert (tmp_path / "x.env").read_text() == "SECRET=mine\n"


def test_the_file_of_a_cloud_that_runs_is_left_to_it(here: Path) -> None:
    written = (here / "local.env").read_text()
    failed = run(here, "cloud", "--only", "fcm", "--env", "local.env")
    assert failed.returncode == 2
    assert "is of the local cloud that runs at http://127.0.0.1:" in failed.stderr
    assert (here / "local.env").read_text() == written


def test_the_file_of_a_cloud_that_was_killed_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "x.env").write_text(f"CLINICLOOP_CLOUD=http://127.0.0.1:{free_port()}\n")
    process, _ = start(tmp_path, "cloud", "--only", "fcm", "--env", "x.env")
    try:
        assert "FCM_URL" in variables(tmp_path / "x.env")
    finally:
        stop(process)


def test_an_address_that_is_no_console_is_said(here: Path) -> None:
    engine = variables(here / "local.env")["TWILIO_URL"]
    failed = run(here, "fault", "--cloud", engine)
    assert failed.returncode == 1
    assert "is no local cloud's console" in failed.stderr


@pytest.mark.parametrize("share", ["120%", "0%", "many%"])
def test_what_is_no_share_is_said(here: Path, share: str) -> None:
    failed = run(here, "fault", "twilio", "down", share)
    assert failed.returncode == 2
    assert f"{share} is no part of the calls" in failed.stderr


def test_clouds_side_by_side_know_nothing_of_one_another(here: Path) -> None:
    process, _ = start(here, "cloud", "--only", "twilio,fcm", "--env", "second.env")
    try:
        first, second = (variables(here / name) for name in ("local.env", "second.env"))
        assert set(first.values()) & set(second.values()) <= set(CREDENTIALS.values()) | {
            "clinicloop-local",
            "+15005550006",
        }
        run(here, "fault", "twilio", "down", "--cloud", second["CLINICLOOP_CLOUD"])
        assert run(here, "fault").stdout == "no faults\n"
    finally:
        assert stop(process) == 0
    assert not (here / "second.env").exists()
    assert (here / "local.env").exists()


def test_in_memory_nothing_is_left_behind(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process, _ = start(
        tmp_path, "cloud", "--only", "twilio,postgres", "--env", "x.env", TMPDIR=str(temporary)
    )
    [folder] = temporary.iterdir()
    pointer = folder / "postgres" / "location"
    elsewhere = Path(pointer.read_text()) if pointer.exists() else folder
    assert stop(process) == 0
    assert [each.name for each in tmp_path.iterdir()] == ["temporary"]
    assert list(temporary.iterdir()) == []
    assert not elsewhere.exists()


def test_a_cloud_told_to_stop_before_it_starts_ends_well(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        command("cloud", "--env", "x.env"),
        cwd=tmp_path,
        env=environment() | {"TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + START_WITHIN
    while not list(temporary.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert stop(process) == 0
    assert [each.name for each in tmp_path.iterdir()] == ["temporary"]
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("page", ["README.md", "docs/emulators.md"])
def test_the_commands_of_a_page_are_understood(page: str) -> None:
    text = (ROOT / page).read_text()
    lines = re.findall(r"^(?:[^\s`]*/)?clinicloop ([a-z].*?)(?: &.*)?$", text, re.MULTILINE)
    assert len(lines) > 5
    group = typer.main.get_command(app)
    for line in lines:
        arguments = shlex.split(line, comments=True)
        group.make_context("clinicloop", arguments)
        commands = group.commands  # type: ignore[attr-defined]
        commands[arguments[0]].make_context(arguments[0], arguments[1:])


def test_a_second_cloud_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    process, _ = start(tmp_path, "cloud", "--only", "fcm", "--env", "x.env", "--data", "kept")
    try:
        failed = run(tmp_path, "cloud", "--only", "fcm", "--env", "y.env", "--data", "kept")
        assert failed.returncode == 1
        assert "is running on" in failed.stderr
        assert (tmp_path / "x.env").exists()
    finally:
        stop(process)


def test_ports_are_as_asked(tmp_path: Path) -> None:
    wanted = free_port()
    process, _ = start(
        tmp_path, "cloud", "--only", "fcm", "--env", "x.env", "--port", f"fcm={wanted}"
    )
    try:
        assert variables(tmp_path / "x.env")["FCM_URL"] == f"http://127.0.0.1:{wanted}"
    finally:
        stop(process)


def test_variables_of_another_cloud_change_nothing(tmp_path: Path) -> None:
    process, _ = start(
        tmp_path, "cloud", "--only", "pubsub", "--env", "x.env", PUBSUB_EMULATOR_HOST="stale:1"
    )
    try:
        assert variables(tmp_path / "x.env")["PUBSUB_EMULATOR_HOST"] != "stale:1"
    finally:
        stop(process)


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
