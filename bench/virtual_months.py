"""How long six virtual months of the demo take, every fact checked."""

import re
import subprocess
import sys
from collections.abc import Iterator

from bench.kit import Result, measure

ROUNDS = 3
LIMIT_SECONDS = 20
_MONTHS = 6
_TOOK = re.compile(r"of which ([\d.]+) s for (\d+) virtual months")
_FACTS = re.compile(r"\d+ facts, \d+ wrong")


def run() -> Iterator[Result]:
    notes: dict[str, str] = {}

    def played() -> float:
        command = [sys.executable, "-m", "emulators.cli", "demo"]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        took, facts = _TOOK.search(told), _FACTS.search(told)
        if took is None or facts is None:
            raise RuntimeError(f"the demo told neither time nor facts:\n{told[-2000:]}")
        notes["facts"] = facts[0]
        return float(took[1]) * _MONTHS / int(took[2])

    yield measure(
        "virtual_months",
        ("six virtual months in the lives of the demo's contracts", played),
        unit="s",
        limit=LIMIT_SECONDS,
        at_least=False,
        rounds=ROUNDS,
        notes=notes,
    )
