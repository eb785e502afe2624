"""The page lists every difference between Google's emulators and Google's documentation."""

from pathlib import Path

from tests.emulators.conformance.differences import FOLDER, PAGE, differences, written


def test_the_page_lists_every_difference() -> None:
    page = PAGE.read_text()
    assert page == written(page), "run python -m tests.emulators.conformance.differences"


def test_every_marker_is_found() -> None:
    sources = [
        file.read_text() for file in FOLDER.glob("test_*.py") if file.name != Path(__file__).name
    ]
    said = {each.instead for each in differences()}
    assert sum(text.count("mark.differs(") for text in sources) <= len(differences())
    assert len(said) > 1
