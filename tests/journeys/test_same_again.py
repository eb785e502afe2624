"""The same seed and the same journey give the same facts per subject, in the same order."""

from collections import Counter, defaultdict
from pathlib import Path

from tests.journeys.street import Street, street


def lives(street: Street) -> Counter[tuple[tuple[str, str], ...]]:
    """What was told of each subject, in order and with its virtual time; ids are left out."""
    told: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for event in street.stage.told:
        told[event["subject"]].append((event["type"], event["created_at"].isoformat()))
    return Counter(tuple(life) for life in told.values())


def play(folder: Path) -> Counter[tuple[tuple[str, str], ...]]:
    with street(folder) as home:
        home.live(lambda: None)
        return lives(home)


def test_the_same_journey_tells_the_same_of_every_subject(tmp_path: Path) -> None:
    first, again = play(tmp_path / "first"), play(tmp_path / "again")
    assert (first - again, again - first) == (Counter(), Counter())
    assert sum(map(len, first.elements())) > 100
