"""The official asynchronous client; conformance tests."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import uuid4

import pytest
from google.api_core import exceptions
from google.cloud import firestore
from google.cloud.firestore_v1.base_query import FieldFilter

from tests.emulators.conformance.conftest import Target
from tests.emulators.firestore_client import VARIABLE, Client

Run = Callable[[Callable[[Client], Coroutine[Any, Any, None]]], None]

slow = pytest.mark.differs(
    "resolves contention by lock time-outs of two seconds, which takes minutes", hangs=True
)


@pytest.fixture
def run(firestore_target: Target, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a coroutine function with a client on a loop of its own."""
    monkeypatch.setenv(VARIABLE, firestore_target.address)

    def start(work: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
        async def go() -> None:
            client = firestore.AsyncClient(project=f"test-{uuid4().hex[:12]}")
            try:
                await asyncio.wait_for(work(client), 60)
            finally:
                await client._firestore_api.transport.close()

        asyncio.run(go())

    return start


def test_documents_and_queries_work(run: Run) -> None:
    async def work(db: Client) -> None:
        for number in range(3):
            await db.document(f"contracts/c{number}").set({"n": number})
        above = db.collection("contracts").where(filter=FieldFilter("n", ">", 0))
        assert [snapshot.id async for snapshot in above.stream()] == ["c1", "c2"]
        ((count,),) = await above.count().get()
        assert count.value == 2
        with pytest.raises(exceptions.AlreadyExists):
            await db.document("contracts/c0").create({"n": 1})
        assert [reference.id async for reference in db.collection("contracts").list_documents()]

    run(work)


@slow
def test_concurrent_increments_all_count(run: Run) -> None:
    async def work(db: Client) -> None:
        counter = db.document("counters/c")
        await counter.set({"n": 0})

        @firestore.async_transactional
        async def increment(transaction: firestore.AsyncTransaction) -> None:
            n = (await counter.get(transaction=transaction)).get("n")
            transaction.update(counter, {"n": n + 1})

        await asyncio.gather(*(increment(db.transaction(max_attempts=40)) for _ in range(12)))
        assert (await counter.get()).get("n") == 12

    run(work)


@slow
def test_opposite_lock_orders_do_not_stall(run: Run) -> None:
    async def work(db: Client) -> None:
        documents = [db.document("pairs/one"), db.document("pairs/two")]
        for document in documents:
            await document.set({"n": 0})

        @firestore.async_transactional
        async def raise_both(transaction: firestore.AsyncTransaction, order: list[Any]) -> None:
            found = [(await document.get(transaction=transaction)).get("n") for document in order]
            for document, n in zip(order, found, strict=True):
                transaction.update(document, {"n": n + 1})

        await asyncio.gather(
            *(
                raise_both(db.transaction(max_attempts=30), documents[:: number % 2 * 2 - 1])
                for number in range(4)
            )
        )
        assert [(await document.get()).get("n") for document in documents] == [4, 4]

    run(work)
