"""Transactions through the official client; conformance tests."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import firestore

from tests.emulators.conformance.conftest import Target
from tests.emulators.firestore_client import Client, Raw, client_of

CLIENTS = 12
slow = pytest.mark.differs(
    "resolves contention by lock time-outs of two seconds, which takes minutes", hangs=True
)


@pytest.fixture
def db(firestore_target: Target) -> Iterator[Client]:
    with client_of(firestore_target.address) as client:
        yield client


def at_once(count: int, work: Any) -> list[Any]:
    """Run `work(number)` in as many threads, started together; their results."""
    barrier = threading.Barrier(count)

    def run(number: int) -> Any:
        barrier.wait(20)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count), timeout=60))


@slow
def test_concurrent_increments_all_count(db: Client) -> None:
    counter = db.document("counters/c")
    counter.set({"n": 0})

    @firestore.transactional
    def increment(transaction: firestore.Transaction) -> None:
        n = counter.get(transaction=transaction).get("n")
        transaction.update(counter, {"n": n + 1})

    at_once(CLIENTS, lambda _: increment(db.transaction(max_attempts=40)))
    assert counter.get().get("n") == CLIENTS


@slow
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


@slow
def test_concurrent_claims_of_a_queried_slot_find_different_numbers(db: Client) -> None:
    tickets = db.collection("tickets")

    @firestore.transactional
    def draw(transaction: firestore.Transaction) -> int:
        taken = [s.get("number") for s in tickets.stream(transaction=transaction)]
        number = max(taken, default=0) + 1
        transaction.create(tickets.document(), {"number": number})
        return number

    assert sorted(at_once(6, lambda _: draw(db.transaction(max_attempts=20)))) == [*range(1, 7)]


@pytest.fixture
def other_thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def test_write_from_elsewhere_waits_for_the_transaction(
    db: Client, other_thread: ThreadPoolExecutor
) -> None:
    document = db.document("counters/c")
    document.set({"n": 1})
    transaction = db.transaction()
    transaction._begin()
    n = document.get(transaction=transaction).get("n")
    elsewhere = other_thread.submit(document.update, {"n": 100})
    transaction.update(document, {"n": n + 1, "doubled": 2 * n})
    transaction._commit()
    elsewhere.result(20)
    assert document.get().to_dict() == {"n": 100, "doubled": 2}


def test_missing_document_that_was_read_is_not_created_elsewhere(
    db: Client, other_thread: ThreadPoolExecutor
) -> None:
    document = db.document("counters/c")
    transaction = db.transaction()
    transaction._begin()
    assert not document.get(transaction=transaction).exists
    elsewhere = other_thread.submit(document.create, {"n": 1})
    transaction.set(document, {"n": 2})
    transaction._commit()
    with pytest.raises(exceptions.AlreadyExists):
        elsewhere.result(20)
    assert document.get().get("n") == 2


def test_counted_documents_stay_as_many_until_the_commit(
    db: Client, other_thread: ThreadPoolExecutor
) -> None:
    tickets = db.collection("tickets")
    transaction = db.transaction()
    transaction._begin()
    assert tickets.count().get(transaction=transaction)[0][0].value == 0
    elsewhere = other_thread.submit(tickets.document("other").create, {"n": 1})
    transaction.create(tickets.document("mine"), {"number": 1})
    transaction._commit()
    elsewhere.result(20)
    assert tickets.document("mine").get().update_time < tickets.document("other").get().update_time


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
    assert len(attempts) >= 3


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


@pytest.fixture
def raw(db: Client) -> Raw:
    return Raw(db)


def n_of(raw: Raw, path: str, **consistency: Any) -> list[int]:
    """The `n` of a document as a list, empty where it is missing."""
    answers = raw.call("batch_get_documents", documents=[raw.name(path)], **consistency)
    return [answer.found.fields["n"].integer_value for answer in answers if answer.found.name]


def set_n(raw: Raw, path: str, n: int) -> Any:
    return raw.set(path, {"n": {"integer_value": n}}).write_results[0].update_time


def begin(raw: Raw, **options: Any) -> bytes:
    identifier: bytes = raw.call("begin_transaction", options=options).transaction
    return identifier


def test_read_only_transaction_reads_as_of_its_time(raw: Raw) -> None:
    first = set_n(raw, "c/d", 1)
    set_n(raw, "c/d", 2)
    past = begin(raw, read_only={"read_time": first})
    assert n_of(raw, "c/d", transaction=past) == [1]
    assert n_of(raw, "c/none", transaction=past) == []
    query = {"from_": [{"collection_id": "c"}]}
    (answer,) = raw.query(query, transaction=past)
    assert answer.document.fields["n"].integer_value == 1
    assert answer.read_time == first


def test_read_only_transaction_writes_nothing(raw: Raw) -> None:
    reading = begin(raw, read_only={})
    with pytest.raises(exceptions.InvalidArgument):
        raw.commit({"delete": raw.name("c/d")}, transaction=reading)


def test_read_only_transaction_blocks_no_write(raw: Raw) -> None:
    set_n(raw, "c/d", 1)
    reading = begin(raw, read_only={})
    assert n_of(raw, "c/d", transaction=reading) == [1]
    set_n(raw, "c/d", 2)
    assert n_of(raw, "c/d", transaction=reading) == [1]
    raw.commit(transaction=reading)


def test_write_waits_for_no_transaction_that_read_something_else(raw: Raw) -> None:
    reading = begin(raw)
    assert n_of(raw, "c/d", transaction=reading) == []
    set_n(raw, "c/other", 1)
    raw.commit({"update": {"name": raw.name("c/d")}}, transaction=reading)


def test_rolled_back_transaction_is_over_and_lets_others_write(raw: Raw) -> None:
    set_n(raw, "c/d", 1)
    reading = begin(raw)
    assert n_of(raw, "c/d", transaction=reading) == [1]
    raw.call("rollback", transaction=reading)
    set_n(raw, "c/d", 2)
    with pytest.raises(exceptions.InvalidArgument):
        raw.commit(transaction=reading)
    with pytest.raises(exceptions.InvalidArgument):
        n_of(raw, "c/d", transaction=reading)


def test_rollback_may_be_repeated(raw: Raw) -> None:
    begun = begin(raw)
    raw.call("rollback", transaction=begun)
    raw.call("rollback", transaction=begun)


def test_failed_commit_ends_the_transaction(raw: Raw) -> None:
    begun = begin(raw)
    missing = {"delete": raw.name("c/none"), "current_document": {"exists": True}}
    with pytest.raises(exceptions.NotFound):
        raw.commit(missing, transaction=begun)
    set_n(raw, "c/none", 1)


@pytest.mark.parametrize("method", ["commit", "rollback"])
def test_unknown_transaction_is_refused(raw: Raw, method: str) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        raw.call(method, transaction=b"elsewhere")


def test_unknown_transaction_cannot_be_retried_or_read_in(raw: Raw) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        begin(raw, read_write={"retry_transaction": b"elsewhere"})
    with pytest.raises(exceptions.InvalidArgument):
        n_of(raw, "c/d", transaction=b"elsewhere")


def test_transaction_reads_what_was_before_its_writes(db: Client) -> None:
    document = db.document("c/d")
    transaction = db.transaction()
    transaction._begin()
    transaction.set(document, {"n": 1})
    assert not document.get().exists
    transaction._commit()
    assert document.get().get("n") == 1


def test_transaction_deletes_and_transforms(db: Client) -> None:
    gone, counted = db.document("c/gone"), db.document("c/counted")
    gone.set({"n": 1})
    counted.set({"n": 1, "tags": ["a"]})

    @firestore.transactional
    def change(transaction: firestore.Transaction) -> int:
        n: int = gone.get(transaction=transaction).get("n")
        transaction.delete(gone)
        transaction.update(
            counted, {"n": firestore.Increment(n), "tags": firestore.ArrayUnion(["b"])}
        )
        return n

    assert change(db.transaction()) == 1
    assert not gone.get().exists
    assert counted.get().to_dict() == {"n": 2, "tags": ["a", "b"]}
