"""The Listen and Write streams as their protos describe them, response by response."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud.firestore_v1.types import TargetChange

from tests.emulators.conformance.conftest import Target
from tests.emulators.firestore_client import Raw, Stream, client_of

KIND = TargetChange.TargetChangeType
again = pytest.mark.differs("sends listeners the whole result again instead of what changed")


@pytest.fixture
def raw(firestore_target: Target) -> Iterator[Raw]:
    with client_of(firestore_target.address) as client:
        yield Raw(client)


def number(n: int) -> dict[str, Any]:
    return {"n": {"integer_value": n}}


class Listener:
    """A Listen stream; what it hears is told in short: ("CURRENT", 1), ("c/d", [1], [])."""

    def __init__(self, raw: Raw) -> None:
        self._raw = raw
        self.stream: Stream = raw.stream("listen")
        self.token = b""
        self.read_time: Any = None

    def add(self, **target: Any) -> None:
        self.stream.send(database=self._raw.database, add_target=target)

    def query(self, target_id: int, collection: str = "c", **more: Any) -> None:
        query = {"from_": [{"collection_id": collection}], **more.pop("query", {})}
        target = {"query": {"parent": self._raw.root, "structured_query": query}}
        self.add(**target, target_id=target_id, **more)

    def documents(self, target_id: int, *paths: str, **more: Any) -> None:
        names = [self._raw.name(path) for path in paths]
        self.add(documents={"documents": names}, target_id=target_id, **more)

    def remove(self, target_id: int) -> None:
        self.stream.send(database=self._raw.database, remove_target=target_id)

    def next(self) -> tuple[Any, ...]:
        response = self.stream.next()
        if "target_change" in response:
            change = response.target_change
            self.token = change.resume_token or self.token
            self.read_time = change.read_time or self.read_time
            return (change.target_change_type.name, *change.target_ids)
        if "filter" in response:
            return ("FILTER", response.filter.target_id, response.filter.count)
        if "document_change" in response:
            change = response.document_change
            name, ids = change.document.name, list(change.target_ids)
        else:
            change = response.document_delete or response.document_remove
            name, ids = change.document, []
        return (name.removeprefix(f"{self._raw.root}/"), ids, list(change.removed_target_ids))

    def snapshot(self) -> list[tuple[Any, ...]]:
        """Everything up to the next consistent snapshot of the whole stream."""
        heard = [self.next()]
        while heard[-1] != ("NO_CHANGE",):
            heard.append(self.next())
        return heard[:-1]


@pytest.fixture
def listener(raw: Raw) -> Iterator[Listener]:
    listener = Listener(raw)
    yield listener
    listener.stream.close()


@pytest.fixture
def another(raw: Raw) -> Iterator[Listener]:
    listener = Listener(raw)
    yield listener
    listener.stream.close()


def test_query_target_is_added_shown_and_current(raw: Raw, listener: Listener) -> None:
    raw.set("c/a", number(1))
    raw.set("c/b", number(2))
    listener.query(7)
    assert listener.snapshot() == [
        ("ADD", 7),
        ("c/a", [7], []),
        ("c/b", [7], []),
        ("CURRENT", 7),
    ]
    assert listener.token


def test_documents_target_tells_of_missing_ones(raw: Raw, listener: Listener) -> None:
    raw.set("c/a", number(1))
    listener.documents(3, "c/a", "c/none")
    heard = listener.snapshot()
    assert heard[0] == ("ADD", 3)
    assert ("c/a", [3], []) in heard
    assert ("c/none", [], [3]) in heard
    assert heard[-1] == ("CURRENT", 3)


@again
def test_change_is_sent_alone(raw: Raw, listener: Listener) -> None:
    raw.set("c/a", number(1))
    listener.query(1)
    listener.snapshot()
    raw.set("c/b", number(2))
    assert listener.snapshot() == [("c/b", [1], [])]


@again
def test_document_that_matches_no_more_is_taken_from_the_target(
    raw: Raw, listener: Listener
) -> None:
    raw.set("c/a", number(1))
    above = {"field": {"field_path": "n"}, "op": "GREATER_THAN", "value": {"integer_value": 0}}
    listener.query(1, query={"where": {"field_filter": above}})
    listener.snapshot()
    raw.set("c/a", number(0))
    assert listener.snapshot() == [("c/a", [], [1])]


@again
def test_deleted_document_is_taken_from_every_target(raw: Raw, listener: Listener) -> None:
    raw.set("c/a", number(1))
    listener.query(1)
    listener.snapshot()
    listener.documents(2, "c/a")
    listener.snapshot()
    raw.commit({"delete": raw.name("c/a")})
    removed = {target for _, _, targets in listener.snapshot() for target in targets}
    assert removed == {1, 2}


@again
def test_resumed_target_is_sent_what_changed(
    raw: Raw, listener: Listener, another: Listener
) -> None:
    for name in ("same", "changed", "deleted"):
        raw.set(f"c/{name}", number(1))
    listener.query(1)
    listener.snapshot()
    raw.set("c/changed", number(2))
    raw.commit({"delete": raw.name("c/deleted")})
    another.query(1, resume_token=listener.token)
    assert another.snapshot() == [
        ("ADD", 1),
        ("c/changed", [1], []),
        ("c/deleted", [], [1]),
        ("CURRENT", 1),
    ]


@again
def test_target_resumes_from_a_read_time(raw: Raw, listener: Listener, another: Listener) -> None:
    raw.set("c/a", number(1))
    listener.query(1)
    listener.snapshot()
    raw.set("c/b", number(2))
    another.query(1, read_time=listener.read_time)
    assert another.snapshot() == [("ADD", 1), ("c/b", [1], []), ("CURRENT", 1)]


def test_unknown_resume_token_starts_anew(raw: Raw, listener: Listener) -> None:
    raw.set("c/a", number(1))
    listener.query(1, resume_token=b"from elsewhere")
    assert listener.snapshot() == [("ADD", 1), ("RESET", 1), ("c/a", [1], []), ("CURRENT", 1)]


@pytest.mark.differs("sends no existence filters, but the whole result again")
def test_client_that_counts_right_is_told_so(
    raw: Raw, listener: Listener, another: Listener
) -> None:
    raw.set("c/a", number(1))
    listener.query(1)
    listener.snapshot()
    raw.set("c/b", number(1))
    another.query(1, resume_token=listener.token, expected_count=1)
    assert another.snapshot() == [
        ("ADD", 1),
        ("c/b", [1], []),
        ("FILTER", 1, 2),
        ("CURRENT", 1),
    ]


def test_client_that_counts_wrong_starts_anew(
    raw: Raw, listener: Listener, another: Listener
) -> None:
    raw.set("c/a", number(1))
    listener.query(1)
    listener.snapshot()
    another.query(1, resume_token=listener.token, expected_count=5)
    heard = another.snapshot()
    assert heard[:3] == [("ADD", 1), ("RESET", 1), ("c/a", [1], [])]


@pytest.mark.differs("keeps a target that was asked for once")
def test_target_asked_for_once_is_removed_when_current(raw: Raw, listener: Listener) -> None:
    raw.set("c/a", number(1))
    listener.query(1, once=True)
    assert listener.snapshot() == [("ADD", 1), ("c/a", [1], []), ("CURRENT", 1)]
    assert listener.next() == ("REMOVE", 1)


def test_removed_target_hears_nothing_more(raw: Raw, listener: Listener) -> None:
    listener.query(1)
    listener.snapshot()
    listener.remove(1)
    assert listener.next() == ("REMOVE", 1)
    raw.set("c/a", number(1))
    listener.documents(2, "c/a")
    assert listener.snapshot() == [("ADD", 2), ("c/a", [2], []), ("CURRENT", 2)]


def test_removed_number_can_be_used_again(raw: Raw, listener: Listener) -> None:
    raw.set("d/a", number(1))
    listener.query(1)
    listener.snapshot()
    listener.remove(1)
    assert listener.next() == ("REMOVE", 1)
    listener.query(1, "d")
    assert listener.snapshot() == [("ADD", 1), ("d/a", [1], []), ("CURRENT", 1)]


def test_target_without_number_is_given_one(listener: Listener) -> None:
    listener.query(0)
    kind, number_given = listener.next()
    assert kind == "ADD"
    assert number_given > 0
    assert listener.next() == ("CURRENT", number_given)


def test_impossible_query_is_removed_with_its_cause(raw: Raw, listener: Listener) -> None:
    listener.query(1, "__c__")
    while (change := listener.stream.next().target_change).target_change_type == KIND.ADD:
        pass
    assert change.target_change_type == KIND.REMOVE
    assert change.cause.code == 3
    raw.set("c/a", number(1))
    listener.query(2)
    assert listener.snapshot() == [("ADD", 2), ("c/a", [2], []), ("CURRENT", 2)]


def test_impossible_documents_are_removed_with_their_cause(listener: Listener) -> None:
    listener.add(documents={"documents": ["elsewhere"]}, target_id=1)
    while (change := listener.stream.next().target_change).target_change_type == KIND.ADD:
        pass
    assert (change.target_change_type, change.cause.code) == (KIND.REMOVE, 3)


@pytest.mark.differs("answers UNKNOWN where a target number is in use")
def test_number_in_use_is_refused(listener: Listener) -> None:
    listener.query(1)
    listener.snapshot()
    listener.query(1, "d")
    with pytest.raises(exceptions.InvalidArgument):
        listener.snapshot()


@pytest.mark.differs("answers UNKNOWN to a negative target number")
def test_negative_number_is_refused(listener: Listener) -> None:
    listener.query(-1)
    with pytest.raises(exceptions.InvalidArgument):
        listener.snapshot()


@pytest.mark.differs("answers UNKNOWN to a Listen request without target")
def test_request_without_target_is_refused(raw: Raw, listener: Listener) -> None:
    listener.stream.send(database=raw.database)
    with pytest.raises(exceptions.InvalidArgument):
        listener.snapshot()


@pytest.mark.differs("listens in any database, whatever its name")
def test_listening_needs_a_database(listener: Listener) -> None:
    listener.stream.send(database="elsewhere", remove_target=1)
    with pytest.raises(exceptions.InvalidArgument):
        listener.next()


@pytest.fixture
def writing(raw: Raw) -> Iterator[Stream]:
    stream = raw.stream("write")
    yield stream
    stream.close()


def opened(raw: Raw, writing: Stream) -> bytes:
    writing.send(database=raw.database)
    response = writing.next()
    assert response.stream_id
    token: bytes = response.stream_token
    return token


def update(raw: Raw, path: str, **more: Any) -> dict[str, Any]:
    return {"update": {"name": raw.name(path), "fields": number(1)}, **more}


def test_write_stream_commits_in_order(raw: Raw, writing: Stream) -> None:
    token = opened(raw, writing)
    writing.send(stream_token=token, writes=[update(raw, "c/a"), update(raw, "c/b")])
    first = writing.next()
    writing.send(stream_token=first.stream_token, writes=[{"delete": raw.name("c/a")}])
    second = writing.next()
    assert [len(response.write_results) for response in (first, second)] == [2, 1]
    assert first.commit_time < second.commit_time
    assert first.stream_token != second.stream_token
    found = raw.query({"from_": [{"collection_id": "c"}]})
    assert [answer.document.name for answer in found] == [raw.name("c/b")]


def test_refused_write_ends_the_stream(raw: Raw, writing: Stream) -> None:
    token = opened(raw, writing)
    precondition = {"current_document": {"exists": True}}
    writing.send(stream_token=token, writes=[update(raw, "c/a", **precondition)])
    with pytest.raises(exceptions.NotFound):
        writing.next()


def test_impossible_write_ends_the_stream(raw: Raw, writing: Stream) -> None:
    token = opened(raw, writing)
    writing.send(stream_token=token, writes=[update(raw, "__c__/a")])
    with pytest.raises(exceptions.InvalidArgument):
        writing.next()


def test_empty_request_is_the_last(raw: Raw, writing: Stream) -> None:
    token = opened(raw, writing)
    writing.send(stream_token=token)
    assert not writing.next().write_results
    with pytest.raises(StopIteration):
        writing.next()


@pytest.mark.parametrize("request_", [{"database": ""}, {"stream_id": "unknown"}])
def test_impossible_opening_is_refused(raw: Raw, writing: Stream, request_: dict[str, Any]) -> None:
    writing.send(**{"database": raw.database, **request_})
    with pytest.raises(exceptions.InvalidArgument):
        writing.next()


def test_opening_holds_no_writes(raw: Raw, writing: Stream) -> None:
    writing.send(database=raw.database, writes=[update(raw, "c/a")])
    with pytest.raises(exceptions.InvalidArgument):
        writing.next()
