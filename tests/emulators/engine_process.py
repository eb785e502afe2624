"""One engine in a process of its own, which a test can kill."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

from emulators.agenda import Agenda
from emulators.clock import VirtualClock
from emulators.engine import Engine, Ground
from emulators.faults import Faults
from emulators.journal import Journal
from emulators.tokens import TokenIssuer


@contextmanager
def engine_process(
    kind: type[Any], folder: Path
) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """The port and the process of an engine that keeps its state in `folder`; killed at the end."""
    with subprocess.Popen(
        [sys.executable, "-m", __name__, kind.__module__, kind.__name__, str(folder)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process
        finally:
            process.kill()


async def _run(kind: Callable[[Ground], Engine], folder: Path) -> None:
    clock = VirtualClock(folder / "clock")
    tokens = TokenIssuer(clock, Journal(folder, "tokens"))
    ground = Ground(clock, Agenda(clock), Faults(clock, Random(1)), tokens, Random(1), folder)
    sys.stdout.write(f"{await kind(ground).start()}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    _, module, name, state = sys.argv
    asyncio.run(_run(getattr(import_module(module), name), Path(state)))
