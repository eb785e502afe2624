"""The PostgreSQL launcher."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from pg8000.exceptions import DatabaseError  # type: ignore[import-untyped, unused-ignore]
from pg8000.native import Connection  # type: ignore[import-untyped, unused-ignore]

from emulators import processes
from emulators.postgres import Postgres, PostgresError

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has a user to drop to")


def ask(postgres: Postgres, sql: str, password: str | None = None) -> list[list[Any]]:
    """Run one statement as the superuser."""
    url = urlsplit(postgres.url)
    with Connection(
        url.username,
        host=url.hostname,
        port=url.port,
        database=url.path.lstrip("/"),
        password=password or url.password,
    ) as connection:
        rows: list[list[Any]] = connection.run(sql)
        return rows


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    postgres = Postgres(tmp_path_factory.mktemp("postgres"), durable=False)
    postgres.start()
    yield postgres
    postgres.destroy()


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[Postgres]:
    postgres = Postgres(tmp_path / "postgres")
    yield postgres
    postgres.destroy()


def test_it_is_postgres_18_in_utf8_and_utc(running: Postgres) -> None:
    settings = ("server_version_num", "server_encoding", "timezone", "max_connections")
    shown = ask(running, "SELECT " + ", ".join(f"current_setting('{s}')" for s in settings))
    assert shown[0][0].startswith("18")
    assert shown[0][1:] == ["UTF8", "UTC", "200"]


def test_letters_outside_ascii_have_an_upper_case(running: Postgres) -> None:
    assert ask(running, "SELECT upper('äé')") == [["ÄÉ"]]


def test_it_listens_on_loopback_alone(running: Postgres) -> None:
    assert running.pid is not None
    listening = psutil.Process(running.pid).net_connections("inet")
    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}


def test_a_wrong_password_is_refused(running: Postgres) -> None:
    with pytest.raises(DatabaseError, match="28P01"):
        ask(running, "SELECT 1", password="wrong")


def test_starting_twice_changes_nothing(running: Postgres) -> None:
    before = running.pid
    running.start()
    assert running.pid == before


def test_two_clusters_run_at_once(running: Postgres, durable: Postgres) -> None:
    durable.start()
    assert durable.port != running.port
    ask(durable, "CREATE TABLE here (id int)")
    assert ask(running, "SELECT to_regclass('here')") == [[None]]


def test_committed_rows_outlast_a_kill(durable: Postgres) -> None:
    durable.start()
    port = durable.port
    ask(durable, "CREATE TABLE kept AS SELECT 7 AS value")
    durable.kill()
    assert not durable.running
    durable.start()
    assert durable.port == port
    assert ask(durable, "SELECT value FROM kept") == [[7]]


def test_a_pid_file_left_behind_does_not_hinder_the_start(durable: Postgres) -> None:
    durable.start()
    durable.stop()
    data = Path(_location(durable) or durable.folder) / "data"
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n")
    durable.start()
    assert ask(durable, "SELECT 1") == [[1]]


def _location(postgres: Postgres) -> str:
    pointer = postgres.folder / "location"
    return pointer.read_text() if pointer.exists() else ""


def test_a_folder_in_use_is_refused(running: Postgres) -> None:
    with pytest.raises(PostgresError, match="already serves"):
        Postgres(running.folder).start()


def test_it_ends_when_the_process_that_started_it_is_killed(durable: Postgres) -> None:
    program = (
        "import sys, pathlib, time; from emulators.postgres import Postgres;"
        "postgres = Postgres(pathlib.Path(sys.argv[1])); postgres.start();"
        "print(postgres.pid, flush=True); time.sleep(60)"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", program, str(durable.folder)], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    postmaster = psutil.Process(int(starter.stdout.readline()))
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    deadline = time.monotonic() + 20
    while postmaster.is_running() and postmaster.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    durable.start()
    assert durable.running


def test_the_password_is_for_its_owner_only(running: Postgres) -> None:
    assert (running.folder / "password").stat().st_mode & 0o077 == 0


def test_destroy_leaves_nothing(tmp_path: Path) -> None:
    postgres = Postgres(tmp_path / "postgres", durable=False)
    postgres.start()
    home = _location(postgres)
    postgres.destroy()
    assert not postgres.folder.exists()
    assert not home or not Path(home).exists()


@as_root
def test_root_runs_it_as_an_unprivileged_user(running: Postgres) -> None:
    assert psutil.Process(running.pid).uids().real == processes.unprivileged()[0]  # type: ignore[index]


@as_root
def test_data_lie_elsewhere_when_the_unprivileged_user_cannot_enter_the_folder() -> None:
    with tempfile.TemporaryDirectory() as closed:
        mode = Path(closed).stat().st_mode
        postgres = Postgres(Path(closed) / "postgres", durable=False)
        postgres.start()
        try:
            home = Path((postgres.folder / "location").read_text())
            assert (home / "data" / "PG_VERSION").exists()
            assert Path(closed).stat().st_mode == mode
        finally:
            postgres.destroy()
        assert not home.exists()


@as_root
def test_data_stay_in_a_folder_that_the_unprivileged_user_can_enter() -> None:
    with tempfile.TemporaryDirectory() as opened:
        Path(opened).chmod(0o711)
        postgres = Postgres(Path(opened) / "postgres", durable=False)
        postgres.start()
        try:
            assert (postgres.folder / "data" / "PG_VERSION").exists()
            assert not (postgres.folder / "location").exists()
        finally:
            postgres.destroy()


def test_a_failed_start_says_why(tmp_path: Path) -> None:
    postgres = Postgres(tmp_path / "postgres", port=1 << 16)
    try:
        with pytest.raises(PostgresError, match="65536 is outside the valid range"):
            postgres.start()
    finally:
        postgres.destroy()
