"""What only our engine does: it lasts, follows the virtual clock, and shows itself."""

import queue
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import firestore
from google.cloud.firestore_v1.types import ListenRequest, Target, TargetChange

from emulators.faults import Fault, FaultKind
from emulators.firestore import Firestore
from tests.emulators.conftest import Loop
from tests.emulators.firestore_client import Client, StartEngine, client_at, ids


class Restartable:
    """An engine over a folder, replaced by a new one on the same port at every restart."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.port = 0
        self.start()

    def start(self) -> None:
        async def start() -> tuple[Firestore, int]:
            engine = Firestore(self.loop.ground)
            return engine, await engine.start(self.port)

        self.engine, self.port = self.loop.run(start())

    def stop(self) -> None:
        self.loop.run(self.engine.stop())

    def restart(self) -> None:
        self.stop()
        self.start()


@pytest.fixture
def durable(make_loop: Callable[..., Loop], tmp_path: Path) -> Iterator[Restartable]:
    restartable = Restartable(make_loop(tmp_path / "state"))
    yield restartable
    restartable.stop()


@pytest.fixture
def engine(start_engine: StartEngine) -> Iterator[tuple[Firestore, Client]]:
    started, port = start_engine(Firestore)
    assert isinstance(started, Firestore)
    with client_at(port) as client:
        yield started, client


def test_documents_outlast_a_restart(durable: Restartable) -> None:
    with client_at(durable.port) as db:
        kept, deleted = db.document("statuses/kept"), db.document("statuses/deleted")
        written = kept.set({"status": "active", "at": datetime(2026, 1, 1, tzinfo=UTC)})
        deleted.set({"status": "active"})
        deleted.delete()
        before = kept.get()
        durable.restart()
        after = kept.get()
        assert after.to_dict() == before.to_dict()
        assert (after.create_time, after.update_time) == (before.create_time, written.update_time)
        assert ids(db.collection("statuses")) == ["kept"]


def test_past_of_the_last_hour_outlasts_a_restart(durable: Restartable) -> None:
    with client_at(durable.port) as db:
        changed, deleted = db.document("statuses/changed"), db.document("statuses/deleted")
        empty = db.document("others/o").set({}).update_time
        changed.set({"n": 1})
        first = deleted.set({"n": 1}).update_time
        changed.set({"n": 2})
        deleted.delete()
        second = changed.set({"n": 3}).update_time
        deleted.set({"n": 4})
        durable.restart()
        statuses = db.collection("statuses")

        def as_of(time: Any) -> dict[str, Any]:
            return {s.id: s.get("n") for s in statuses.get(read_time=time)}

        assert as_of(empty) == {}
        assert as_of(first) == {"changed": 1, "deleted": 1}
        assert as_of(second) == {"changed": 3}
        assert as_of(None) == {"changed": 3, "deleted": 4}


def test_past_stays_forgotten_after_a_restart(durable: Restartable) -> None:
    with client_at(durable.port) as db:
        document = db.document("statuses/s")
        document.set({"n": 1})
        document.set({"n": 2})
        durable.loop.advance(hours=2)
        last = document.set({"n": 3}).update_time
        document.set({"n": 4})
        durable.restart()
        assert document.get(read_time=last).get("n") == 3
        with pytest.raises(exceptions.FailedPrecondition):
            document.get(read_time=last - timedelta(minutes=61))


def test_commit_times_go_on_increasing_after_a_restart(durable: Restartable) -> None:
    durable.loop.ground.clock.freeze()
    with client_at(durable.port) as db:
        times = [db.document("statuses/s").set({"n": n}).update_time for n in range(3)]
        durable.restart()
        times.append(db.document("statuses/s").set({"n": 9}).update_time)
    assert times == sorted(set(times))


def test_listener_resumes_after_a_restart(durable: Restartable) -> None:
    seen: queue.Queue[Any] = queue.Queue()

    def on_snapshot(documents: Any, changes: Any, _: Any) -> None:
        seen.put([(change.type.name, change.document.id) for change in changes])

    with client_at(durable.port) as db, client_at(durable.port) as other:
        db.document("statuses/a").set({"n": 1})
        db.document("statuses/b").set({"n": 1})
        watch = db.collection("statuses").on_snapshot(on_snapshot)
        assert seen.get(timeout=20) == [("ADDED", "a"), ("ADDED", "b")]
        durable.restart()
        other.document("statuses/a").delete()
        other.document("statuses/c").set({"n": 1})
        changes = [change for _ in range(2) for change in seen.get(timeout=20)]
        watch.unsubscribe()
    assert sorted(changes) == [("ADDED", "c"), ("REMOVED", "a")]


def test_transaction_cut_off_by_a_restart_is_run_again(durable: Restartable) -> None:
    attempts: list[int] = []

    with client_at(durable.port) as db:
        document = db.document("statuses/s")
        document.set({"n": 1})

        @firestore.transactional
        def increment(transaction: firestore.Transaction) -> None:
            n = document.get(transaction=transaction).get("n")
            attempts.append(n)
            if len(attempts) == 1:
                durable.restart()
            transaction.update(document, {"n": n + 1})

        increment(db.transaction())
        assert document.get().get("n") == 2
    assert attempts == [1, 1]


def test_times_are_virtual_and_increase_while_the_clock_stands(
    loop: Loop, engine: tuple[Firestore, Client]
) -> None:
    _, db = engine
    loop.ground.clock.freeze()
    loop.ground.clock.jump(loop.ground.clock.now() + timedelta(days=180))
    now = loop.ground.clock.now()
    times = [db.document("statuses/s").set({"n": n}).update_time for n in range(3)]
    assert times == [now + timedelta(microseconds=n) for n in range(3)]


def test_past_is_forgotten_after_an_hour(loop: Loop, engine: tuple[Firestore, Client]) -> None:
    _, db = engine
    first = db.document("statuses/s").set({"n": 1}).update_time
    db.document("statuses/s").set({"n": 2})
    loop.advance(hours=2)
    db.document("statuses/s").set({"n": 3})
    with pytest.raises(exceptions.FailedPrecondition):
        db.document("statuses/s").get(read_time=first)


def test_abandoned_lock_gives_way(engine: tuple[Firestore, Client]) -> None:
    _, db = engine
    document = db.document("statuses/s")
    document.set({"n": 1})
    holder = db.transaction()
    holder._begin()
    first = holder._id
    holder._rollback()
    holder._begin(retry_id=first)
    document.get(transaction=holder)
    document.set({"n": 2})
    holder.set(document, {"n": 3})
    with pytest.raises(exceptions.Aborted):
        holder._commit()
    assert document.get().get("n") == 2


def test_console_reads_documents_as_plain_data(
    engine: tuple[Firestore, Client],
) -> None:
    firestore_engine, db = engine
    written = db.document("clinics/a/statuses/s").set(
        {"status": "active", "ref": db.document("clinics/a"), "list": [1, None], "m": {"x": 1.5}}
    )
    db.document("clinicsx/a").set({"n": 1})
    fields = {"list": [1, None], "m": {"x": 1.5}, "ref": "clinics/a", "status": "active"}
    assert firestore_engine.documents("clinics/") == [
        ("clinics/a/statuses/s", fields, written.update_time)
    ]
    assert [path for path, _, _ in firestore_engine.documents()] == [
        "clinics/a/statuses/s",
        "clinicsx/a",
    ]


def test_description_counts_documents_and_keeps_recent_writes(
    engine: tuple[Firestore, Client],
) -> None:
    firestore_engine, db = engine
    for number in range(201):
        db.document(f"statuses/s{number % 3}").set({"n": number})
    db.document("statuses/s0").delete()
    description = firestore_engine.describe()
    assert description["collections"] == {"statuses": 2}
    assert len(description["recent_writes"]) == 200
    last = description["recent_writes"][-1]
    assert (last["path"], last["kind"]) == ("statuses/s0", "delete")


def test_outage_is_ridden_out_by_the_client(loop: Loop, engine: tuple[Firestore, Client]) -> None:
    _, db = engine
    db.document("statuses/s").set({"n": 1})
    loop.ground.faults.add(Fault("firestore", FaultKind.DOWN, count=2, path="BatchGetDocuments"))
    assert db.document("statuses/s").get().get("n") == 1


def listen(db: Client, **target: Any) -> list[Any]:
    """The responses to one Listen target until its first snapshot is complete."""
    root = f"{db._database_string}/documents"
    query = {"parent": root, "structured_query": {"from_": [{"collection_id": "statuses"}]}}
    request = ListenRequest(
        database=db._database_string,
        add_target=Target({"query": query, "target_id": 4, **target}),
    )
    call = db._firestore_api.listen(iter([request]), timeout=20)
    found = []
    for response in call:
        found.append(response)
        if response.target_change.read_time and not response.target_change.target_ids:
            break
    call.cancel()
    return found


def test_resume_token_brings_only_what_changed(
    engine: tuple[Firestore, Client],
) -> None:
    _, db = engine
    for name in ("same", "changed", "deleted"):
        db.document(f"statuses/{name}").set({"n": 1})
    token = listen(db)[-1].target_change.resume_token
    db.document("statuses/changed").set({"n": 2})
    db.document("statuses/deleted").delete()
    responses = listen(db, resume_token=token)
    changed = [r.document_change.document.name for r in responses if "document_change" in r]
    deleted = [r.document_delete.document for r in responses if "document_delete" in r]
    assert [name.rpartition("/")[2] for name in changed + deleted] == ["changed", "deleted"]


def test_unknown_resume_token_starts_anew(engine: tuple[Firestore, Client]) -> None:
    _, db = engine
    db.document("statuses/s").set({"n": 1})
    responses = listen(db, resume_token=b"from elsewhere")
    kinds = [r.target_change.target_change_type for r in responses if "target_change" in r]
    kind = TargetChange.TargetChangeType
    assert kinds == [kind.ADD, kind.RESET, kind.CURRENT, kind.NO_CHANGE]
    assert sum("document_change" in response for response in responses) == 1


def increments_at_once(db: Client, clients: int) -> int:
    """Let so many threads each add 1 to a counter; the counter in the end."""
    counter = db.document("counters/c")
    counter.set({"n": 0})

    @firestore.transactional
    def increment(transaction: firestore.Transaction) -> None:
        n = counter.get(transaction=transaction).get("n")
        transaction.update(counter, {"n": n + 1})

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(lambda _: increment(db.transaction()), range(clients), timeout=60))
    total: int = counter.get().get("n")
    return total


def test_contending_clients_need_no_more_attempts_than_they_have(
    engine: tuple[Firestore, Client],
) -> None:
    _, db = engine
    assert increments_at_once(db, 12) == 12


def test_older_of_two_readers_commits_and_the_younger_is_aborted(
    engine: tuple[Firestore, Client],
) -> None:
    _, db = engine
    document = db.document("counters/c")
    older, younger = db.transaction(), db.transaction()
    for number, transaction in enumerate((older, younger)):
        transaction._begin()
        document.get(transaction=transaction)
        transaction.set(document, {"n": number})
    older._commit()
    with pytest.raises(exceptions.Aborted):
        younger._commit()
    assert document.get().get("n") == 0


def test_optimistic_transaction_blocks_nobody(engine: tuple[Firestore, Client]) -> None:
    _, db = engine
    document, api = db.document("counters/c"), db._firestore_api
    begun = api.begin_transaction(
        request={
            "database": db._database_string,
            "options": {"read_write": {"concurrency_mode": "OPTIMISTIC"}},
        }
    )
    transaction = db.transaction()
    transaction._id = begun.transaction
    document.get(transaction=transaction)
    document.set({"n": 1})
    transaction.set(document, {"n": 2})
    with pytest.raises(exceptions.Aborted):
        transaction._commit()
    assert document.get().get("n") == 1


@pytest.mark.parametrize("seconds", [[61], [50] * 6], ids=["idle for a minute", "open too long"])
def test_transaction_expires_in_virtual_time(
    loop: Loop, engine: tuple[Firestore, Client], seconds: list[int]
) -> None:
    _, db = engine
    document = db.document("counters/c")
    transaction = db.transaction()
    transaction._begin()
    for passed in seconds:
        document.get(transaction=transaction)
        loop.advance(seconds=passed)
    with pytest.raises(exceptions.InvalidArgument, match="expired"):
        document.get(transaction=transaction)
