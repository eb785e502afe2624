"""The rules by which two things are compared."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import kit
from bench.kit import Result, compare, interleaved, measure


def script(values: list[float], told: list[str], name: str) -> Callable[[], float]:
    """Something that measures these, one after the other, and notes its turns."""
    left = iter(values)

    def turn() -> float:
        told.append(name)
        return next(left)

    return turn


def compared(ours: list[float], theirs: list[float] | None, **more: Any) -> Result:
    turns: list[str] = []
    peer = script(theirs, turns, "peer") if theirs else None
    settings: dict[str, Any] = {"unit": "events/s", "limit": 0.8, "at_least": True} | more
    rounds = len(ours) - 1
    return compare(
        "race", ("ours", script(ours, turns, "ours")), ("theirs", peer), rounds=rounds, **settings
    )


def test_a_ratio_is_taken_within_a_round_and_the_median_is_judged() -> None:
    found = compared([9, 10, 40, 30], [9, 10, 20, 60])
    assert (found.ratios, found.judged) == ([1.0, 2.0, 0.5], 1.0)


def test_the_first_round_warms_up_and_does_not_count() -> None:
    found = compared([1, 10, 10], [1000, 10, 10])
    assert (found.our_values, found.ratios) == ([10, 10], [1.0, 1.0])


def test_the_order_is_turned_round_every_round() -> None:
    turns: list[str] = []
    interleaved([script([0.0] * 4, turns, name) for name in "abc"], rounds=3)
    assert "".join(turns) == "cba" + "abc" + "cba" + "abc"


def test_what_a_measure_found_stays_in_its_own_list() -> None:
    turns: list[str] = []
    assert interleaved([script([0, 1, 2], turns, "a"), script([0, 5, 6], turns, "b")], 2) == [
        [1, 2],
        [5, 6],
    ]


def test_an_absent_peer_leaves_our_values_and_no_verdict() -> None:
    found = compared([1, 10, 12], None)
    assert (found.our_values, found.absent, found.met) == ([10, 12], True, None)
    assert "NOT JUDGED, theirs is absent" in found.line()


@pytest.mark.parametrize(
    ("at_least", "limit", "met"),
    [(True, 1.0, True), (True, 1.1, False), (False, 1.0, True), (False, 0.9, False)],
)
def test_the_median_meets_a_limit_it_reaches(at_least: bool, limit: float, met: bool) -> None:
    assert compared([1, 10], [1, 10], at_least=at_least, limit=limit).met is met


def test_a_limit_of_nought_is_a_limit() -> None:
    lost = measure("losses", ("lost", lambda: 3.0), unit="", limit=0, at_least=False, rounds=1)
    assert lost.met is False
    assert "wanted <= 0: MISSED" in lost.line()


def test_rounds_that_kept_the_limit_are_counted_each_for_itself() -> None:
    found = compared([1, 10, 10, 5], [1, 10, 10, 10])
    assert (found.met, found.kept) == (True, 2)
    assert "met, by 2 of 3 rounds" in found.line()


def test_one_disturbed_round_moves_the_extremes_and_not_the_middle_half() -> None:
    calm, disturbed = [10.0] * 9, [10.0] * 8 + [900.0]
    assert kit.quartiles(calm) == kit.quartiles(disturbed) == (10.0, 10.0)


def test_without_a_peer_every_round_counts() -> None:
    turns: list[str] = []
    found = measure(
        "one", ("ours", script([1, 2, 9], turns, "a")), unit="s", limit=2, at_least=False, rounds=3
    )
    assert (found.our_values, found.judged, found.met) == ([1, 2, 9], 2, True)


def test_notes_may_be_added_until_the_result_is_told() -> None:
    notes: dict[str, Any] = {}
    found = compared([1, 10], [1, 10], notes=notes)
    notes["seen"] = "later"
    assert "seen: later" in found.line()


def test_a_measurement_that_did_something_else_is_refused() -> None:
    with pytest.raises(AssertionError, match="effects: 2 instead of 3"):
        kit.expect("effects", 2, 3)


def test_a_table_stands_in_columns_with_numbers_to_the_right() -> None:
    rows: list[kit.Row] = [
        {"layer": "a", "CPU us": 1234.5, "share %": 5.0},
        {"layer": "long one", "CPU us": 2.0, "share %": ""},
    ]
    assert kit.aligned(rows) == [
        "layer      CPU us  share %",
        "a         1,234.5      5.0",
        "long one      2.0",
    ]


def test_a_result_is_kept_with_its_verdict_its_surroundings_and_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit, "RESULTS", tmp_path / "results")
    kit.keep(compared([1, 10, 20], [1, 10, 10]), {"revision": "abc", "load_before": 0.5})
    kept = json.loads((tmp_path / "results" / "race.json").read_text())
    assert kept["ratios"] == [1.0, 2.0]
    assert (kept["judged"], kept["met"], kept["rounds_kept"]) == (1.5, True, 2)
    assert kept["on"] == {"revision": "abc", "load_before": 0.5}
    assert (tmp_path / "results" / "race.svg").read_text().startswith("<svg")
