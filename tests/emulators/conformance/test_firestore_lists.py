"""Calls about many documents at once: lists, batches, partitions, and the plain document calls."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core import exceptions

from tests.emulators.conformance.conftest import Target
from tests.emulators.firestore_client import Client, Raw, client_of

OK, INVALID, ALREADY_EXISTS = 0, 3, 6


@pytest.fixture
def db(firestore_target: Target) -> Iterator[Client]:
    with client_of(firestore_target.address) as client:
        yield client


@pytest.fixture
def raw(db: Client) -> Raw:
    return Raw(db)


def number(n: int) -> dict[str, Any]:
    return {"n": {"integer_value": n}}


@pytest.fixture
def five(raw: Raw) -> Raw:
    """Five documents `c/0` to `c/4`, their `n` falling from 4 to 0."""
    for n in range(5):
        raw.set(f"c/{n}", number(4 - n))
    return raw


def short(documents: Any) -> list[str]:
    """Paths below the root."""
    return [document.name.partition("/documents/")[2] for document in documents]


def listed(raw: Raw, **request: Any) -> list[str]:
    request = {"parent": raw.root, "collection_id": "c", **request}
    return short(raw.call("list_documents", **request))


def pages(raw: Raw, **request: Any) -> list[int]:
    request = {"parent": raw.root, "collection_id": "c", **request}
    sizes = [len(page.documents) for page in raw.call("list_documents", **request).pages]
    return sizes if sizes[-1] else sizes[:-1]  # the last page may be empty


def test_documents_are_listed_by_name(five: Raw) -> None:
    assert listed(five) == ["c/0", "c/1", "c/2", "c/3", "c/4"]


@pytest.mark.parametrize("order", ["n", "n asc", "n, __name__"])
def test_documents_are_listed_in_order(five: Raw, order: str) -> None:
    assert listed(five, order_by=order) == ["c/4", "c/3", "c/2", "c/1", "c/0"]
    assert listed(five, order_by="n desc") == ["c/0", "c/1", "c/2", "c/3", "c/4"]


@pytest.mark.parametrize("order", ["n up", ",", "a..b", "n,n"])
def test_impossible_order_is_refused(five: Raw, order: str) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        listed(five, order_by=order)


def test_pages_hold_no_more_than_asked_for(five: Raw) -> None:
    assert pages(five, page_size=2) == [2, 2, 1]
    assert listed(five, page_size=2) == ["c/0", "c/1", "c/2", "c/3", "c/4"]


@pytest.mark.differs("answers UNKNOWN when asked for the second page of an ordered list")
@pytest.mark.parametrize("order", ["n", "n desc"])
def test_ordered_list_comes_in_pages(five: Raw, order: str) -> None:
    assert pages(five, page_size=2, order_by=order) == [2, 2, 1]
    assert listed(five, page_size=2, order_by=order) == listed(five, order_by=order)


@pytest.mark.parametrize("request_", [{"page_size": -1}, {"page_token": "zzz"}])
def test_impossible_page_is_refused(five: Raw, request_: dict[str, Any]) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        listed(five, **request_)


def test_list_sends_masked_fields_alone(raw: Raw) -> None:
    raw.set("c/d", {**number(1), "other": {"boolean_value": True}})
    (document,) = raw.call(
        "list_documents", parent=raw.root, collection_id="c", mask={"field_paths": ["n", "none"]}
    )
    assert set(document.fields) == {"n"}


def test_list_without_collection_has_those_of_all_collections_there(five: Raw) -> None:
    five.set("a/1", number(1))
    five.set("a/1/deeper/2", number(1))
    assert listed(five, collection_id="")[:2] == ["a/1", "c/0"]
    assert "a/1/deeper/2" not in listed(five, collection_id="")


def test_list_below_a_document_has_its_collection(raw: Raw) -> None:
    raw.set("c/d/sub/x", number(1))
    assert listed(raw, parent=raw.name("c/d"), collection_id="sub") == ["c/d/sub/x"]
    assert listed(raw) == []


def test_missing_documents_are_shown_with_their_name_alone(raw: Raw) -> None:
    raw.set("c/there", number(1))
    raw.set("c/gone/sub/x", number(1))
    request = {"parent": raw.root, "collection_id": "c", "show_missing": True}
    gone, there = raw.call("list_documents", **request, mask={"field_paths": ["n"]})
    assert short([gone, there]) == ["c/gone", "c/there"]
    assert "create_time" not in gone
    assert "create_time" in there
    assert pages(raw, show_missing=True, page_size=1) == [1, 1]


@pytest.mark.parametrize("request_", [{"order_by": "n"}, {"collection_id": ""}])
def test_missing_documents_are_shown_by_name_in_one_collection(
    five: Raw, request_: dict[str, Any]
) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        listed(five, show_missing=True, **request_)


def test_list_in_a_transaction_is_of_its_snapshot(raw: Raw) -> None:
    raw.set("c/a/sub/x", number(1))
    begun = raw.call("begin_transaction", options={"read_only": {}}).transaction
    assert listed(raw, show_missing=True, transaction=begun) == ["c/a"]
    raw.set("c/b", number(1))
    assert listed(raw, show_missing=True, transaction=begun) == ["c/a"]
    assert listed(raw, show_missing=True) == ["c/a", "c/b"]


@pytest.mark.parametrize("parent", ["", "elsewhere", "projects/p/databases/d/documents/c"])
def test_list_needs_a_root_or_a_document(raw: Raw, parent: str) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        listed(raw, parent=parent)


def test_collection_ids_come_in_pages(raw: Raw) -> None:
    for collection in "dbca":
        raw.set(f"{collection}/1/sub-{collection}/2", number(1))
    response = raw.call("list_collection_ids", parent=raw.root, page_size=3)
    assert [list(page.collection_ids) for page in response.pages] == [["a", "b", "c"], ["d"]]
    assert list(raw.call("list_collection_ids", parent=raw.name("a/1"))) == ["sub-a"]
    assert list(raw.call("list_collection_ids", parent=raw.name("a/2"))) == []


def test_collection_ids_come_in_pages_of_a_positive_size(raw: Raw) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        list(raw.call("list_collection_ids", parent=raw.root, page_size=-1))


def got(raw: Raw, **request: Any) -> list[str]:
    """What BatchGetDocuments answers: paths, missing ones with a question mark."""
    answers = raw.call("batch_get_documents", **request)
    prefix = f"{raw.root}/"
    return [
        answer.found.name.removeprefix(prefix) or f"{answer.missing.removeprefix(prefix)}?"
        for answer in answers
        if answer.found.name or answer.missing
    ]


def test_batch_get_answers_each_document_once(five: Raw) -> None:
    names = [five.name(path) for path in ("c/3", "c/none", "c/1", "c/3")]
    assert sorted(got(five, documents=names)) == ["c/1", "c/3", "c/none?"]
    assert got(five, documents=[]) == []


def test_batch_get_begins_a_transaction(five: Raw) -> None:
    begun, *found = five.call(
        "batch_get_documents",
        documents=[five.name("c/1"), five.name("c/2")],
        new_transaction={"read_write": {}},
    )
    assert begun.transaction
    assert not begun.found.name
    assert all(answer.found.name and not answer.transaction for answer in found)
    five.commit({"delete": five.name("c/1")}, transaction=begun.transaction)
    assert got(five, documents=[five.name("c/1")]) == ["c/1?"]


def test_batch_get_sends_masked_fields_alone(raw: Raw) -> None:
    raw.set("c/d", {**number(1), "other": {"boolean_value": True}})
    (answer,) = raw.call(
        "batch_get_documents", documents=[raw.name("c/d")], mask={"field_paths": ["other"]}
    )
    assert set(answer.found.fields) == {"other"}


@pytest.mark.differs("reads documents of another database than the one it was asked about")
def test_batch_get_keeps_to_its_database(raw: Raw) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        got(raw, documents=["projects/other/databases/(default)/documents/c/d"])


def test_batch_write_answers_each_write_on_its_own(five: Raw) -> None:
    response = five.call(
        "batch_write",
        writes=[
            {"update": {"name": five.name("c/1")}, "current_document": {"exists": False}},
            {"update": {"name": five.name("c/new"), "fields": number(1)}},
            {"delete": five.name("c/none")},
        ],
    )
    assert [status.code for status in response.status] == [ALREADY_EXISTS, OK, OK]
    assert "update_time" in response.write_results[1]
    assert "update_time" not in response.write_results[0]
    assert got(five, documents=[five.name("c/new")]) == ["c/new"]


def test_batch_write_takes_a_document_once(five: Raw) -> None:
    writes = [{"delete": five.name("c/1")}, {"delete": five.name("c/1")}]
    with pytest.raises(exceptions.InvalidArgument):
        five.call("batch_write", writes=writes)
    assert got(five, documents=[five.name("c/1")]) == ["c/1"]


def test_batch_write_with_an_impossible_write_writes_nothing(five: Raw) -> None:
    writes = [{"delete": five.name("c/1")}, {"delete": five.name("c")}]
    with pytest.raises(exceptions.InvalidArgument):
        five.call("batch_write", writes=writes)
    assert got(five, documents=[five.name("c/1")]) == ["c/1"]


@pytest.fixture
def group(raw: Raw) -> Raw:
    for n in range(20):
        raw.set(f"clinics/c{n % 3}/rooms/r{n:02}", number(n))
    return raw


ROOMS = {"from_": [{"collection_id": "rooms", "all_descendants": True}]}
BY_NAME = {"order_by": [{"field": {"field_path": "__name__"}}]}


@pytest.mark.differs("has no PartitionQuery")
def test_partitions_come_in_pages(group: Raw) -> None:
    request = {"parent": group.root, "structured_query": {**ROOMS, **BY_NAME}}
    whole = list(group.call("partition_query", partition_count=6, **request))
    response = group.call("partition_query", partition_count=6, page_size=4, **request)
    assert len(next(response.pages).partitions) == 4
    assert list(group.call("partition_query", partition_count=6, page_size=4, **request)) == whole
    assert 0 < len(whole) <= 6


@pytest.mark.differs("has no PartitionQuery")
@pytest.mark.parametrize(
    "query",
    [
        {"from_": [{"collection_id": "rooms"}]},
        {**ROOMS, "limit": 3},
        {**ROOMS, "offset": 3},
        {**ROOMS, "order_by": [{"field": {"field_path": "n"}}]},
        {**ROOMS, "where": {"unary_filter": {"field": {"field_path": "n"}, "op": "IS_NULL"}}},
    ],
    ids=["one collection", "limit", "offset", "order", "filter"],
)
def test_more_than_a_group_is_not_partitioned(group: Raw, query: dict[str, Any]) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        list(
            group.call(
                "partition_query", parent=group.root, structured_query=query, partition_count=2
            )
        )


@pytest.mark.differs("has no PartitionQuery")
def test_partitions_are_of_a_positive_number(group: Raw) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        list(
            group.call(
                "partition_query", parent=group.root, structured_query=ROOMS, partition_count=0
            )
        )


def create(raw: Raw, **request: Any) -> Any:
    return raw.call("create_document", **{"parent": raw.root, "collection_id": "c", **request})


def test_created_document_is_answered_with_its_times(raw: Raw) -> None:
    document = create(raw, document_id="d", document={"fields": number(1)})
    assert document.name == raw.name("c/d")
    assert document.create_time == document.update_time
    masked = create(raw, document={"fields": number(1)}, mask={"field_paths": ["none"]})
    assert not masked.fields


def test_document_is_created_once(five: Raw) -> None:
    with pytest.raises(exceptions.AlreadyExists):
        create(five, document_id="1")


@pytest.mark.parametrize(
    "request_",
    [
        {"collection_id": ""},
        {"collection_id": "a/b"},
        {"collection_id": "__c__"},
        {"document_id": "a/b"},
        {"document_id": "."},
        {"document_id": "__d__"},
        {"document": {"name": "projects/p/databases/d/documents/c/d"}},
        {"parent": "elsewhere"},
    ],
)
def test_impossible_creation_is_refused(raw: Raw, request_: dict[str, Any]) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        create(raw, **request_)


def test_update_with_a_precondition_obeys_it(five: Raw) -> None:
    document = {"name": five.name("c/none"), "fields": number(1)}
    with pytest.raises(exceptions.NotFound):
        five.call("update_document", document=document, current_document={"exists": True})
    updated = five.call("update_document", document=document)
    assert updated.create_time == updated.update_time
    with pytest.raises(exceptions.FailedPrecondition):
        five.call(
            "delete_document",
            name=document["name"],
            current_document={"update_time": {"seconds": 1}},
        )


def test_document_is_read_at_an_earlier_time(five: Raw) -> None:
    (before,) = five.call("batch_get_documents", documents=[five.name("c/1")])
    five.set("c/1", number(9))
    found = five.call("get_document", name=five.name("c/1"), read_time=before.found.update_time)
    assert found.fields["n"].integer_value == 3


@pytest.mark.differs("reads as of any time in the past")
def test_time_of_more_than_an_hour_ago_is_refused(five: Raw) -> None:
    (now,) = five.call("batch_get_documents", documents=[five.name("c/1")])
    long_ago = {"seconds": int(now.read_time.timestamp()) - 2 * 3600}
    with pytest.raises(exceptions.FailedPrecondition):
        five.call("get_document", name=five.name("c/1"), read_time=long_ago)


def test_time_to_come_is_refused(five: Raw) -> None:
    (now,) = five.call("batch_get_documents", documents=[five.name("c/1")])
    later = {"seconds": int(now.read_time.timestamp()) + 3600}
    with pytest.raises(exceptions.InvalidArgument):
        five.call("get_document", name=five.name("c/1"), read_time=later)


def test_databases_of_one_project_do_not_meet(firestore_target: Target, db: Client) -> None:
    db.document("c/d").set({"n": 1})
    with client_of(firestore_target.address, project=db.project, database="other") as other:
        assert not other.document("c/d").get().exists
        other.document("c/d").set({"n": 2})
        assert [snapshot.get("n") for snapshot in other.collection("c").stream()] == [2]
    assert db.document("c/d").get().get("n") == 1
