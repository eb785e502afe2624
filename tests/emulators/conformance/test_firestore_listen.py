"""Listening through the official client's on_snapshot; conformance tests."""

import queue
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.cloud import firestore
from google.cloud.firestore_v1.base_query import FieldFilter

from tests.emulators.conformance.conftest import Target
from tests.emulators.firestore_client import Client, client_of

Watch = Callable[[Any], Callable[[], Any]]


@pytest.fixture
def db(firestore_target: Target) -> Iterator[Client]:
    with client_of(firestore_target.address) as client:
        yield client


@pytest.fixture
def watch(db: Client) -> Iterator[Watch]:
    """`watch(target)` answers a function that waits for the next ({id: data}, changes)."""
    watches = []

    def start(target: Any) -> Callable[[], Any]:
        seen: queue.Queue[Any] = queue.Queue()

        def on_snapshot(documents: Any, changes: Any, _read_time: Any) -> None:
            view = {d.id: d.to_dict() for d in documents if d.exists}
            seen.put((view, [(c.type.name, c.document.id) for c in changes]))

        watches.append(target.on_snapshot(on_snapshot))
        return lambda: seen.get(timeout=20)

    yield start
    for started in watches:
        started.unsubscribe()


def test_document_listener_sees_every_state(db: Client, watch: Watch) -> None:
    document = db.document("statuses/s1")
    following = watch(document)
    assert following() == ({}, [])
    document.set({"status": "future"})
    assert following() == ({"s1": {"status": "future"}}, [("ADDED", "s1")])
    document.update({"status": "active"})
    assert following() == ({"s1": {"status": "active"}}, [("MODIFIED", "s1")])
    document.delete()
    assert following() == ({}, [("REMOVED", "s1")])


def test_collection_listener_starts_with_what_is_there(db: Client, watch: Watch) -> None:
    db.document("statuses/a").set({"n": 1})
    db.document("statuses/b").set({"n": 2})
    view, changes = watch(db.collection("statuses"))()
    assert view == {"a": {"n": 1}, "b": {"n": 2}}
    assert changes == [("ADDED", "a"), ("ADDED", "b")]


def test_commit_shows_as_one_snapshot(db: Client, watch: Watch) -> None:
    following = watch(db.collection("statuses").order_by("n"))
    following()
    batch = db.batch()
    for number in range(5):
        batch.set(db.document(f"statuses/s{number}"), {"n": -number})
    batch.commit()
    view, changes = following()
    assert list(view) == ["s4", "s3", "s2", "s1", "s0"]
    assert len(changes) == 5


def test_document_leaves_and_enters_a_filtered_query(db: Client, watch: Watch) -> None:
    active = FieldFilter("status", "==", "active")
    following = watch(db.collection("statuses").where(filter=active))
    assert following() == ({}, [])
    document = db.document("statuses/s1")
    document.set({"status": "future"})
    document.set({"status": "active"})
    assert following()[1] == [("ADDED", "s1")]
    document.set({"status": "paused"})
    assert following() == ({}, [("REMOVED", "s1")])


def test_limited_query_moves_the_next_document_up(db: Client, watch: Watch) -> None:
    for number in range(4):
        db.document(f"statuses/s{number}").set({"n": number})
    following = watch(db.collection("statuses").order_by("n").limit(2))
    assert list(following()[0]) == ["s0", "s1"]
    db.document("statuses/s0").delete()
    view, changes = following()
    assert list(view) == ["s1", "s2"]
    assert sorted(changes) == [("ADDED", "s2"), ("REMOVED", "s0")]


def test_collection_group_is_watched_at_any_depth(db: Client, watch: Watch) -> None:
    following = watch(db.collection_group("rooms"))
    following()
    db.document("clinics/a/rooms/r1").set({"free": True})
    assert following()[0] == {"r1": {"free": True}}


def test_listener_hears_of_transactions(db: Client, watch: Watch) -> None:
    document = db.document("statuses/s1")
    document.set({"version": 1})
    following = watch(document)
    following()

    @firestore.transactional
    def raise_version(transaction: firestore.Transaction) -> None:
        version = document.get(transaction=transaction).get("version")
        transaction.update(document, {"version": version + 1})

    raise_version(db.transaction())
    assert following()[0] == {"s1": {"version": 2}}


def test_two_listeners_do_not_meet(db: Client, watch: Watch) -> None:
    one, two = watch(db.document("statuses/one")), watch(db.document("statuses/two"))
    one(), two()
    db.document("statuses/two").set({"n": 2})
    db.document("statuses/one").set({"n": 1})
    assert one()[0] == {"one": {"n": 1}}
    assert two()[0] == {"two": {"n": 2}}
