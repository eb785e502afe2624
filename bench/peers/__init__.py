"""What we are compared with, in an environment of its own.

The peers' servers in this folder run by the interpreter that `interpreter` answers, which sees
nothing of ours: neither our libraries nor our modules. Libraries that both use have one version,
so that a figure compares code and not releases.
"""

import hashlib
import subprocess
import sys
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
LOCK = FOLDER / "requirements.lock"
ENVIRONMENT = FOLDER.parent.parent / ".venv-peers"


class Absent(Exception):
    """The peers could not be installed here; the message says why."""


@cache
def present() -> bool:
    """Whether there are peers; if not, the reason is printed and what needs them is not judged."""
    try:
        interpreter()
    except Absent as absent:
        print(absent, file=sys.stderr)
        return False
    return True


def interpreter() -> Path:
    """The peers' Python; made on first use and again when the lock changes. Raises `Absent`."""
    python = ENVIRONMENT / "bin" / "python"
    stamp = ENVIRONMENT / "lock.sha256"
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        subprocess.run([*install, "--require-hashes", "-r", str(LOCK)], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Absent(f"the peers could not be installed: {error}") from error
    stamp.write_text(wanted)
    return python
