"""Documents and writes through the official client; conformance, so also for Google's emulator."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import firestore
from google.cloud.firestore_v1.types import (
    CreateDocumentRequest,
    Document,
    GetDocumentRequest,
    UpdateDocumentRequest,
    Value,
)
from google.protobuf.timestamp_pb2 import Timestamp

from tests.emulators.conformance.conftest import Target
from tests.emulators.firestore_client import Client, client_of


@pytest.fixture
def db(firestore_target: Target) -> Iterator[Client]:
    with client_of(firestore_target.address) as client:
        yield client


def read(reference: Any) -> dict[str, Any]:
    data: dict[str, Any] = reference.get().to_dict()
    return data


def hours_after(stamp: Any) -> Timestamp:
    return Timestamp(seconds=int(stamp.timestamp()) + 7200)


def test_set_document_reads_back_with_every_type(db: Client) -> None:
    contract = db.document("contracts/c1")
    data = {
        "nothing": None,
        "flag": True,
        "count": -(1 << 63),
        "ratio": 2.5,
        "text": "späti",
        "raw": b"\x00\xff",
        "at": datetime(2026, 11, 20, 8, 30, 0, 123456, tzinfo=UTC),
        "where": firestore.GeoPoint(52.5, 13.4),
        "list": [1, "two", {"three": [3]}],
        "map": {"inner": {"deep": 1}},
        "odd.name": {"`x`": 1},
    }
    contract.set({**data, "self": contract})
    assert read(contract) == {**data, "self": contract}


def test_missing_document_does_not_exist(db: Client) -> None:
    snapshot = db.document("contracts/none").get()
    assert not snapshot.exists
    assert snapshot.read_time is not None


def test_create_refuses_an_existing_document(db: Client) -> None:
    db.document("contracts/c1").create({"status": "future"})
    with pytest.raises(exceptions.AlreadyExists):
        db.document("contracts/c1").create({"status": "active"})
    assert read(db.document("contracts/c1")) == {"status": "future"}


def test_update_refuses_a_missing_document(db: Client) -> None:
    with pytest.raises(exceptions.NotFound):
        db.document("contracts/c1").update({"status": "active"})


def test_set_replaces_and_merge_keeps_other_fields(db: Client) -> None:
    contract = db.document("contracts/c1")
    contract.set({"a": 1, "m": {"x": 1, "y": 2}})
    contract.set({"m": {"y": 3, "z": 4}}, merge=True)
    assert read(contract) == {"a": 1, "m": {"x": 1, "y": 3, "z": 4}}
    contract.set({"m": {"x": 9, "y": 9}}, merge=["m.x"])
    assert read(contract)["m"] == {"x": 9, "y": 3, "z": 4}
    contract.set({"b": 1})
    assert read(contract) == {"b": 1}


def test_update_reaches_nested_fields_and_deletes_fields(db: Client) -> None:
    contract = db.document("contracts/c1")
    contract.set({"a": 1, "m": {"x": 1, "y.z": 2}})
    contract.update({"m.x": firestore.DELETE_FIELD, "m.`y.z`": 3, "n.o.p": 4})
    assert read(contract) == {"a": 1, "m": {"y.z": 3}, "n": {"o": {"p": 4}}}


def test_times_tell_creation_and_last_change(db: Client) -> None:
    contract = db.document("contracts/c1")
    created = contract.set({"status": "future"})
    changed = contract.update({"status": "active"})
    snapshot = contract.get()
    assert snapshot.create_time == created.update_time
    assert snapshot.update_time == changed.update_time
    assert changed.update_time > created.update_time


def test_write_that_changes_nothing_keeps_the_update_time(db: Client) -> None:
    contract = db.document("contracts/c1")
    first = contract.set({"status": "active"})
    second = contract.set({"status": "active"})
    assert second.update_time == first.update_time


def test_update_with_stale_time_fails(db: Client) -> None:
    contract = db.document("contracts/c1")
    stale = contract.set({"version": 1}).update_time
    fresh = contract.set({"version": 2}).update_time
    with pytest.raises(exceptions.FailedPrecondition):
        contract.update({"version": 3}, db.write_option(last_update_time=stale))
    with pytest.raises(exceptions.InvalidArgument):
        contract.update({"version": 3}, db.write_option(last_update_time=hours_after(fresh)))
    contract.update({"version": 4}, db.write_option(last_update_time=fresh))
    assert read(contract) == {"version": 4}


def test_delete_obeys_its_preconditions(db: Client) -> None:
    contract = db.document("contracts/c1")
    contract.delete()
    with pytest.raises(exceptions.NotFound):
        contract.delete(db.write_option(exists=True))
    time = contract.set({"a": 1}).update_time
    with pytest.raises(exceptions.FailedPrecondition):
        contract.delete(db.write_option(last_update_time=time - timedelta(seconds=1)))
    contract.delete(db.write_option(last_update_time=time))
    assert not contract.get().exists


def test_batch_is_all_or_nothing(db: Client) -> None:
    batch = db.batch()
    batch.set(db.document("contracts/c1"), {"status": "active"})
    batch.update(db.document("contracts/none"), {"status": "active"})
    with pytest.raises(exceptions.NotFound):
        batch.commit()
    assert not db.document("contracts/c1").get().exists


def test_batch_sees_its_own_earlier_writes(db: Client) -> None:
    contract = db.document("contracts/c1")
    batch = db.batch()
    batch.create(contract, {"n": 1})
    batch.update(contract, {"n": firestore.Increment(1)})
    batch.update(contract, {"m": 5})
    results = batch.commit()
    assert read(contract) == {"n": 2, "m": 5}
    assert {result.update_time for result in results} == {contract.get().update_time}


def test_server_timestamp_is_the_same_all_over_a_commit(db: Client) -> None:
    first, second = db.document("contracts/c1"), db.document("contracts/c2")
    batch = db.batch()
    batch.set(first, {"at": firestore.SERVER_TIMESTAMP, "m": {"at": firestore.SERVER_TIMESTAMP}})
    batch.set(second, {"at": firestore.SERVER_TIMESTAMP})
    batch.commit()
    data = read(first)
    assert data["at"] == data["m"]["at"] == read(second)["at"]
    assert abs(data["at"] - first.get().update_time) < timedelta(seconds=1)


@pytest.mark.parametrize(
    ("stored", "transform", "expected"),
    [
        (None, firestore.Increment(5), 5),
        ("text", firestore.Increment(5), 5),
        (3, firestore.Increment(-5), -2),
        (3, firestore.Increment(0.5), 3.5),
        ((1 << 63) - 1, firestore.Increment(1), (1 << 63) - 1),
        (3, firestore.Maximum(4), 4),
        (3, firestore.Maximum(2), 3),
        (3, firestore.Maximum(3.5), 3.5),
        ("text", firestore.Maximum(2), 2),
        (3, firestore.Minimum(2.5), 2.5),
        (3, firestore.Minimum(4), 3),
        ([1, 2], firestore.ArrayUnion([2, 2.0, 3, 3, "x"]), [1, 2, 3, "x"]),
        ("text", firestore.ArrayUnion([1]), [1]),
        ([1, 2, 1, 3], firestore.ArrayRemove([1.0, 9]), [2, 3]),
        (None, firestore.ArrayRemove([1]), []),
    ],
)
def test_transform_gives_the_documented_value(
    db: Client, stored: Any, transform: Any, expected: Any
) -> None:
    document = db.document("numbers/n")
    document.set({} if stored is None else {"value": stored})
    document.update({"value": transform})
    value = read(document)["value"]
    assert (value, type(value)) == (expected, type(expected))


def test_equal_operand_leaves_the_stored_number_type(db: Client) -> None:
    document = db.document("numbers/n")
    document.set({"value": 3})
    document.update({"value": firestore.Maximum(3.0)})
    assert type(read(document)["value"]) is int


def test_get_all_tells_found_from_missing(db: Client) -> None:
    db.document("contracts/c1").set({"a": 1, "b": 2})
    references = [db.document("contracts/c1"), db.document("contracts/none")]
    found = {s.id: s.to_dict() for s in db.get_all(references, field_paths=["b"])}
    assert found == {"c1": {"b": 2}, "none": None}


def test_documents_are_listed_in_pages(db: Client) -> None:
    for number in range(7):
        db.document(f"contracts/c{number}").set({"n": number})
    pages = db.collection("contracts").list_documents(page_size=3)
    assert [reference.id for reference in pages] == [f"c{number}" for number in range(7)]


def test_list_shows_documents_that_have_only_children(db: Client) -> None:
    db.document("clinics/a/rooms/r1").set({"n": 1})
    db.document("clinics/b").set({"n": 1})
    assert [reference.id for reference in db.collection("clinics").list_documents()] == ["a", "b"]
    assert [snapshot.id for snapshot in db.collection("clinics").stream()] == ["b"]


def test_collection_ids_are_listed_below_root_and_document(db: Client) -> None:
    db.document("clinics/a/rooms/r1").set({"n": 1})
    db.document("clinics/a/staff/s1").set({"n": 1})
    db.document("contracts/c1").set({"n": 1})
    assert [collection.id for collection in db.collections()] == ["clinics", "contracts"]
    assert [c.id for c in db.document("clinics/a").collections()] == ["rooms", "staff"]


def test_emptied_collection_is_not_listed(db: Client) -> None:
    db.document("contracts/c1").set({"n": 1})
    db.document("contracts/c1").delete()
    assert list(db.collections()) == []


def test_recursive_delete_takes_what_lies_below(db: Client) -> None:
    for path in ("clinics/a", "clinics/a/rooms/r1", "clinics/b/rooms/r2", "clinicsx/c"):
        db.document(path).set({"n": 1})
    assert db.recursive_delete(db.collection("clinics")) == 3
    assert [collection.id for collection in db.collections()] == ["clinicsx"]


def test_bulk_writer_reports_each_write_on_its_own(db: Client) -> None:
    failed: list[str] = []

    def on_error(failure: Any, writer: Any) -> bool:
        failed.append(failure.operation.reference.id)
        return False

    db.document("contracts/c1").set({"n": 0})
    writer = db.bulk_writer()
    writer.on_write_error(on_error)
    writer.create(db.document("contracts/c1"), {"n": 1})
    writer.create(db.document("contracts/c2"), {"n": 2})
    writer.close()
    assert failed == ["c1"]
    assert read(db.document("contracts/c2")) == {"n": 2}


def test_plain_document_calls_create_update_and_get(db: Client) -> None:
    api = db._firestore_api
    parent = f"{db._database_string}/documents"
    document = Document(fields={"a": Value(integer_value=1), "b": Value(integer_value=2)})
    created = api.create_document(
        CreateDocumentRequest(parent=parent, collection_id="contracts", document=document)
    )
    assert len(created.name.rpartition("/")[2]) == 20
    api.update_document(
        UpdateDocumentRequest(
            document=Document(name=created.name, fields={"a": Value(integer_value=7)}),
            update_mask={"field_paths": ["a"]},
        )
    )
    found = api.get_document(GetDocumentRequest(name=created.name, mask={"field_paths": ["a"]}))
    assert {name: value.integer_value for name, value in found.fields.items()} == {"a": 7}
    api.delete_document(name=created.name)
    with pytest.raises(exceptions.NotFound):
        api.get_document(GetDocumentRequest(name=created.name))


@pytest.mark.parametrize(
    "data",
    [{"nested": [[1]]}, {"__reserved__": 1}, {"big": "x" * (1 << 20)}],
    ids=["array in array", "reserved name", "too large"],
)
def test_document_that_cannot_be_stored_is_refused(db: Client, data: dict[str, Any]) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        db.document("contracts/c1").set(data)
    assert not db.document("contracts/c1").get().exists


def test_reserved_document_id_is_refused(db: Client) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        db.document("contracts/__c1__").set({"n": 1})


def test_databases_of_other_projects_are_apart(db: Client) -> None:
    db.document("contracts/c1").set({"n": 1})
    other = firestore.Client(project=db.project, credentials=db._credentials, database="other")
    other._emulator_host = db._emulator_host
    assert not other.document("contracts/c1").get().exists
    other._firestore_api.transport.close()


def test_read_at_an_earlier_time_sees_the_earlier_state(db: Client) -> None:
    contract = db.document("contracts/c1")
    first = contract.set({"n": 1}).update_time
    contract.set({"n": 2})
    contract.delete()
    assert contract.get(read_time=first).to_dict() == {"n": 1}
    earlier = db.collection("contracts").get(read_time=first)
    assert [snapshot.to_dict() for snapshot in earlier] == [{"n": 1}]
