"""Child processes of the local cloud: they end when the cloud ends, however it ends."""

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

# Runs before the program proper: drops root, asks the kernel for `end` should the parent die
# (a change of user resets that wish, so it comes second), and becomes the program.
_PRELUDE = """
import ctypes, os, sys
end, parent, user, group = map(int, sys.argv[1:5])
if user >= 0:
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, end, 0, 0, 0)
if os.getppid() != parent:
    sys.exit("the parent is gone")
os.execv(sys.argv[5], sys.argv[5:])
"""

# The kernel counts the thread that forked as the parent, so one thread that lives as long as the
# process starts all children.
_starter = ThreadPoolExecutor(1, thread_name_prefix="starter")


def unprivileged() -> tuple[int, int] | None:
    """The (user, group) that root must become for programs that refuse root; None for others."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def prepared(
    command: Sequence[str | Path],
    end: signal.Signals = signal.SIGTERM,
    user: tuple[int, int] | None = None,
) -> list[str]:
    """`command` (an absolute program path first) so that it runs as `user`, when given.

    It gets the signal `end` when the thread that starts it dies.
    """
    prelude = [sys.executable, "-I", "-S", "-c", _PRELUDE, str(int(end)), str(os.getpid())]
    return [*prelude, *(str(part) for part in user or (-1, -1)), *map(str, command)]


def reachable(path: Path, user: tuple[int, int]) -> bool:
    """Whether `user` may enter or run `path`, every parent folder considered."""
    check = prepared(["/usr/bin/test", "-x", path], user=user)
    return subprocess.run(check, check=False, cwd="/").returncode == 0


def spawn(
    command: Sequence[str | Path],
    output: IO[bytes],
    *,
    environment: Mapping[str, str],
    folder: Path = Path("/"),
    end: signal.Signals = signal.SIGTERM,
    user: tuple[int, int] | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` (an absolute program path first) in `folder`, as `user` when given.

    It leads a session of its own and gets the signal `end` when this process dies. Both output
    streams go to `output`.
    """
    return _starter.submit(
        subprocess.Popen,
        prepared(command, end, user),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env=dict(environment),
        start_new_session=True,
    ).result()


def end(process: subprocess.Popen[bytes], by: signal.Signals, patience: float = 20) -> None:
    """Ask `process` to end; SIGKILL after `patience` seconds. Fine when it has ended already."""
    if process.poll() is None:
        process.send_signal(by)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
