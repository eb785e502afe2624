"""What is installed is pinned by hash and comes from wherever the machine's index is."""

import re
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT

LOCKS = sorted(ROOT.glob("requirements*.lock"))
PIN = re.compile(r"[a-z0-9][a-z0-9._-]*(\[[a-z0-9,-]+\])?==[^\s;]+( ; .+)?")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def requirements(lock: Path) -> list[str]:
    """Each requirement with its hashes on one line."""
    text = lock.read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def test_both_lock_files_are_there() -> None:
    assert [lock.name for lock in LOCKS] == ["requirements-dev.lock", "requirements.lock"]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_everything_is_pinned_with_hashes(lock: Path) -> None:
    loose = []
    for line in requirements(lock):
        pin, *hashes = re.split(r"\s+(?=--hash)", line.strip())
        if not (PIN.fullmatch(pin) and hashes and all(HASH.fullmatch(one) for one in hashes)):
            loose.append(pin)
    assert loose == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_no_lock_file_names_an_index(lock: Path) -> None:
    assert re.search(r"https?://|--(extra-)?index|--find-links|@ ", lock.read_text()) is None


def test_development_and_production_pin_the_same_versions() -> None:
    development, production = (
        {line.split("==")[0]: line.split("==")[1].split()[0] for line in requirements(lock)}
        for lock in LOCKS
    )
    assert production.items() <= development.items()
