"""A verdict says what was lost and doubled; a point that was not reached is not proven."""

from collections import Counter
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from tests.reliability.crash import promises
from tests.reliability.crash.proof import Verdict
from tests.reliability.crash.report import show, show_seed

POINT, OTHER = "vendor.call:before", "vendor.call:after"
NOTHING: promises.Things = {promises.ONCE: Counter()}
GOOD = Verdict(
    seed=7,
    armed=(POINT, OTHER),
    killed=(OTHER, POINT),
    reached=Counter({POINT: 2, OTHER: 1}),
    compared={promises.ONCE: Counter({"value 3900 EUR": 2})},
    lost=NOTHING,
    doubled=NOTHING,
    seconds=1,
)
MISSING: promises.Things = {promises.ONCE: Counter({"value 3900 EUR": 1})}


def told(verdict: Verdict) -> str:
    """What is printed of a seed and in the end."""
    written = StringIO()
    console = Console(file=written, width=200)
    show_seed(verdict, console)
    show([verdict], console)
    return written.getvalue()


def test_a_seed_that_kept_all_says_so() -> None:
    assert GOOD.kept
    assert "1 of 1 seeds kept every promise" in told(GOOD)
    assert "--seed" not in told(GOOD)


@pytest.mark.parametrize(
    ("word", "bad"),
    [("lost", replace(GOOD, lost=MISSING)), ("doubled", replace(GOOD, doubled=MISSING))],
    ids=["lost", "doubled"],
)
def test_a_difference_fails_and_names_the_command_that_shows_it_again(
    word: str, bad: Verdict
) -> None:
    assert not bad.kept
    assert f"{word} 1: value 3900 EUR" in told(bad)
    assert f"tests.reliability.crash --seed 7 --points {POINT},{OTHER}" in told(bad)


def test_a_point_that_killed_nothing_is_no_success() -> None:
    spared = replace(GOOD, killed=(OTHER,))
    assert not spared.kept
    assert f"nothing was killed at: {POINT}" in told(spared)


def test_what_is_in_one_life_alone_is_lost_or_doubled() -> None:
    calm = {"a": Counter({"mail": 2, "text": 1})}
    troubled = {"a": Counter({"mail": 1, "text": 2})}
    assert promises.lost(calm, troubled) == {"a": Counter({"mail": 1})}
    assert promises.doubled(calm, troubled) == {"a": Counter({"text": 1})}


def test_what_must_not_be_in_any_life_counts_although_it_is_in_both() -> None:
    both = {"a": Counter({"amiss: unsent": 1, "twice: mail": 1})}
    assert promises.lost(both, both) == {"a": Counter({"amiss: unsent": 2})}
    assert promises.doubled(both, both) == {"a": Counter({"twice: mail": 2})}
