"""What every proof's command refuses, which seeds it plays, and how it names the one to repeat."""

import importlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.reliability.command import (
    add_load,
    add_seeds,
    parser,
    positive,
    replay,
    seeds,
    some_of,
    told,
)

PROOFS = sorted(page.parent.name for page in Path(__file__).parent.glob("*/__main__.py"))


@pytest.mark.parametrize("proof", PROOFS)
def test_every_proof_has_one_way_to_say_a_seed(
    proof: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main = importlib.import_module(f"tests.reliability.{proof}.__main__").main
    monkeypatch.setattr(sys, "argv", [proof, "--help"])
    with pytest.raises(SystemExit):
        main()
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: python -m tests.reliability.{proof} ")
    assert "--seed SEED" in shown


@pytest.mark.parametrize("number", ["0", "-1", "x", ""])
def test_no_number_that_proves_nothing_is_taken(
    number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = parser("crash", "")
    options.add_argument("--kills", type=positive)
    with pytest.raises(SystemExit):
        options.parse_args([f"--kills={number}"])
    assert "--kills: must be a whole number from 1 on" in capsys.readouterr().err


def test_a_name_that_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    options = parser("outages", "")
    options.add_argument("--targets", type=some_of(["pubsub", "tasks"]))
    assert options.parse_args(["--targets", "tasks,pubsub"]).targets == ("tasks", "pubsub")
    with pytest.raises(SystemExit):
        options.parse_args(["--targets", "tasks,mars"])
    assert "no mars; there is pubsub, tasks" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "played"),
    [("", [1, 2]), ("--seeds 3 --first 9", [9, 10, 11]), ("--seeds 3 --seed 0", [0])],
)
def test_the_seeds_that_were_asked_for_are_played(asked: str, played: list[int]) -> None:
    options = parser("freeze", "")
    add_seeds(options, 2)
    assert list(seeds(options.parse_args(asked.split()))) == played


def test_a_replay_is_a_command_for_the_shell() -> None:
    command = ".venv/bin/python -m tests.reliability.crash --seed 7"
    assert replay("crash", 7) == command
    assert replay("crash", 7, "--points a,b") == f"{command} --points a,b"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_is_interrupted_closes_what_was_open_and_says_so(
    sent: signal.Signals, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    code = f"""
import tempfile, time
from tests.reliability.command import run
def main():
    with tempfile.TemporaryDirectory(dir={str(tmp_path)!r}):
        open({str(place)!r}, "w").close()
        time.sleep(30)
run(main)
"""
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) as played:
        while not place.exists():
            assert played.poll() is None
            time.sleep(0.01)
        played.send_signal(sent)
        _, told = played.communicate(timeout=20)
    assert (played.returncode, told) == (130, b"interrupted: nothing is proven\n")
    assert list(tmp_path.iterdir()) == [place]


class _Broken:
    kept = False

    def lines(self) -> list[str]:
        return ["writes 3, 1 missing"]


def test_a_broken_proof_under_load_fails_and_says_how_to_play_it_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = parser("database_kill", "")
    add_load(options)
    assert told("database_kill", _Broken(), options.parse_args(["--seed", "9"]), "--kills 2") == 1
    said, again = capsys.readouterr().out.splitlines()
    assert said == "writes 3, 1 missing"
    assert again.endswith("database_kill --seed 9 --customers 40 --workers 4 --kills 2")
