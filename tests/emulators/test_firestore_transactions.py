"""Transactions through the official client; conformance tests."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import firestore

from tests.emulators.firestore_client import Client, conformance_client

CLIENTS = 12


@pytest.fixture
def db(request: pytest.FixtureRequest) -> Iterator[Client]:
    with conformance_client(request) as client:
        yield client


def at_once(count: int, work: Any) -> list[Any]:
    """Run `work(number)` in as many threads, started together; their results."""
    barrier = threading.Barrier(count)

    def run(number: int) -> Any:
        barrier.wait(20)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count), timeout=60))


def test_concurrent_increments_all_count(db: Client) -> None:
    counter = db.document("counters/c")
    counter.set({"n": 0})

    @firestore.transactional
    def increment(transaction: firestore.Transaction) -> None:
        n = counter.get(transaction=transaction).get("n")
        transaction.update(counter, {"n": n + 1})

    at_once(CLIENTS, lambda _: increment(db.transaction()))
    assert counter.get().get("n") == CLIENTS


def test_concurrent_transfers_in_opposite_directions_keep_the_sum(db: Client) -> None:
    accounts = [db.document("accounts/a"), db.document("accounts/b")]
    for account in accounts:
        account.set({"balance": 100})

    @firestore.transactional
    def transfer(transaction: firestore.Transaction, source: Any, target: Any) -> None:
        from_balance = source.get(transaction=transaction).get("balance")
        to_balance = target.get(transaction=transaction).get("balance")
        transaction.update(source, {"balance": from_balance - 1})
        transaction.update(target, {"balance": to_balance + 1})

    def work(number: int) -> None:
        source, target = accounts if number % 2 else accounts[::-1]
        transfer(db.transaction(max_attempts=30), source, target)

    at_once(8, work)
    assert [account.get().get("balance") for account in accounts] == [100, 100]


def test_concurrent_claims_of_a_queried_slot_find_different_numbers(db: Client) -> None:
    tickets = db.collection("tickets")

    @firestore.transactional
    def draw(transaction: firestore.Transaction) -> int:
        taken = [s.get("number") for s in tickets.stream(transaction=transaction)]
        number = max(taken, default=0) + 1
        transaction.create(tickets.document(), {"number": number})
        return number

    assert sorted(at_once(6, lambda _: draw(db.transaction(max_attempts=20)))) == [*range(1, 7)]


def test_transaction_whose_reading_changed_is_aborted_and_run_again(db: Client) -> None:
    document = db.document("counters/c")
    document.set({"n": 1})
    seen: list[int] = []

    @firestore.transactional
    def double(transaction: firestore.Transaction) -> None:
        seen.append(document.get(transaction=transaction).get("n"))
        if len(seen) == 1:
            document.set({"n": 5})
        transaction.update(document, {"n": 2 * seen[-1]})

    double(db.transaction())
    assert seen == [1, 5]
    assert document.get().get("n") == 10


def test_two_transactions_reading_the_same_both_go_on(db: Client) -> None:
    document = db.document("counters/c")
    document.set({"first": 0, "second": 0})
    both_have_read = threading.Barrier(2)
    attempts: list[int] = []

    @firestore.transactional
    def mark(transaction: firestore.Transaction, field: str, once: list[int]) -> None:
        attempts.append(1)
        document.get(transaction=transaction)
        if not once:
            once.append(1)
            both_have_read.wait(20)
        transaction.set(document, {field: 1}, merge=True)

    at_once(2, lambda number: mark(db.transaction(), ("first", "second")[number], []))
    assert document.get().to_dict() == {"first": 1, "second": 1}
    assert len(attempts) == 3


def test_document_that_appeared_since_aborts(db: Client) -> None:
    document = db.document("counters/c")
    transaction = db.transaction()
    transaction._begin()
    assert not document.get(transaction=transaction).exists
    document.set({"n": 1})
    transaction.set(document, {"n": 2})
    with pytest.raises(exceptions.Aborted):
        transaction._commit()
    assert document.get().get("n") == 1


def test_reads_in_a_transaction_are_of_one_snapshot(db: Client) -> None:
    one, two = db.document("pairs/one"), db.document("pairs/two")
    for document in (one, two):
        document.set({"n": 1})
    transaction = db.transaction(read_only=True)
    transaction._begin()
    first = one.get(transaction=transaction).get("n")
    batch = db.batch()
    batch.set(one, {"n": 2})
    batch.set(two, {"n": 2})
    batch.commit()
    assert (first, two.get(transaction=transaction).get("n")) == (1, 1)
    transaction._commit()


def test_error_in_the_function_changes_nothing(db: Client) -> None:
    document = db.document("counters/c")

    @firestore.transactional
    def fail(transaction: firestore.Transaction) -> None:
        transaction.set(document, {"n": 1})
        raise KeyError("n")

    with pytest.raises(KeyError):
        fail(db.transaction())
    assert not document.get().exists


def test_failed_precondition_in_a_transaction_changes_nothing(db: Client) -> None:
    document = db.document("counters/c")

    @firestore.transactional
    def write(transaction: firestore.Transaction) -> None:
        transaction.set(document, {"n": 1})
        transaction.update(db.document("counters/none"), {"n": 1})

    with pytest.raises(exceptions.NotFound):
        write(db.transaction())
    assert not document.get().exists


def test_finished_transaction_cannot_commit_again(db: Client) -> None:
    transaction = db.transaction()
    transaction._begin()
    identifier = transaction._id
    transaction._commit()
    with pytest.raises(exceptions.InvalidArgument):
        db._firestore_api.commit(
            request={"database": db._database_string, "transaction": identifier}
        )


def test_aggregation_in_a_transaction_is_validated(db: Client) -> None:
    tickets = db.collection("tickets")
    transaction = db.transaction()
    transaction._begin()
    assert tickets.count().get(transaction=transaction)[0][0].value == 0
    tickets.document("other").set({"n": 1})
    transaction.set(tickets.document("mine"), {"n": 1})
    with pytest.raises(exceptions.Aborted):
        transaction._commit()
