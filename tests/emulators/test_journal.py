"""The journal: what is durable when, and what a batch does."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from emulators.journal import Journal


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path, "acme")
    yield made
    made.close()


def kept(folder: Path) -> list[tuple[str, bytes]]:
    """What another process would find."""
    other = Journal(folder, "acme")
    try:
        return other.items()
    finally:
        other.close()


def test_batch_is_durable_when_it_ends(journal: Journal, tmp_path: Path) -> None:
    with journal.batch():
        journal.put("a", b"1")
        assert kept(tmp_path) == []
        journal.put("b", b"2")
    assert kept(tmp_path) == [("a", b"1"), ("b", b"2")]


def test_batch_that_raises_writes_nothing(journal: Journal, tmp_path: Path) -> None:
    def fail_halfway() -> None:
        with journal.batch():
            journal.put("b", b"2")
            journal.delete("a")
            raise ZeroDivisionError

    journal.put("a", b"1")
    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert kept(tmp_path) == [("a", b"1")]
    journal.put("c", b"3")
    assert kept(tmp_path) == [("a", b"1"), ("c", b"3")]


def test_last_write_of_a_key_counts_in_a_batch(journal: Journal, tmp_path: Path) -> None:
    journal.put("deleted", b"0")
    with journal.batch():
        journal.put("deleted", b"1")
        journal.delete("deleted")
        journal.delete("put")
        journal.put("put", b"1")
        journal.put("put", b"2")
    assert kept(tmp_path) == [("put", b"2")]


def test_batch_within_a_batch_is_part_of_it(journal: Journal, tmp_path: Path) -> None:
    def fail_after_the_inner_one() -> None:
        with journal.batch():
            with journal.batch():
                journal.put("a", b"1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_the_inner_one()
    assert kept(tmp_path) == []


def test_journal_without_a_folder_keeps_nothing() -> None:
    journal = Journal(None, "acme")
    with journal.batch():
        journal.put("a", b"1")
    assert journal.items() == []
    assert not journal.lasting


def test_a_value_to_be_made_is_made_at_once(journal: Journal, tmp_path: Path) -> None:
    content = bytearray(b"1")
    with journal.batch():
        journal.put("a", lambda: bytes(content))
        content[0] += 1
    assert kept(tmp_path) == [("a", b"1")]


def test_a_value_is_not_made_where_nothing_is_kept() -> None:
    made: list[bytes] = []

    def make() -> bytes:
        made.append(b"1")
        return made[0]

    Journal(None, "acme").put("a", make)
    assert made == []
