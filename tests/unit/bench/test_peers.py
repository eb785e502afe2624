"""Peers are pinned like ours, and the two differ in code, not in releases."""

import re
from pathlib import Path

import pytest

from bench import peers
from tests.architecture.sources import ROOT

_PIN = re.compile(r"^([a-z0-9._-]+)(?:\[[a-z0-9,-]+\])?==([^\s;]+)", re.MULTILINE)


def pins(name: str) -> dict[str, str]:
    return dict(_PIN.findall((ROOT / name).read_text()))


def test_what_both_sides_use_has_one_version() -> None:
    ours, theirs = pins("requirements-dev.lock"), pins("bench/peers/requirements.lock")
    both = ours.keys() & theirs.keys()
    assert {"flask", "pg8000", "gunicorn", "pydantic", "sqlalchemy"} <= both
    assert {name: theirs[name] for name in both} == {name: ours[name] for name in both}


def test_every_pin_has_hashes_and_no_index_is_named() -> None:
    text = peers.LOCK.read_text().replace("\\\n", " ")
    assert all("--hash=sha256:" in line for line in text.splitlines() if line.strip())
    assert re.search(r"https?://|--(extra-)?index|--find-links|@ ", text) is None


def test_a_peer_that_only_peers_need_is_not_installed_with_ours() -> None:
    assert "pgqueuer" in pins("bench/peers/requirements.lock")
    assert "pgqueuer" not in pins("requirements-dev.lock")


def test_where_peers_cannot_be_installed_they_are_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(peers, "ENVIRONMENT", tmp_path / "file" / "venv")
    (tmp_path / "file").write_text("no folder can be made below this")
    peers.present.cache_clear()
    assert peers.present() is False
    peers.present.cache_clear()
    assert "could not be installed" in capsys.readouterr().err
