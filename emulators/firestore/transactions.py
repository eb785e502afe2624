"""Isolation of transactions: serializable, pessimistic unless the client asks otherwise.

A read-write transaction locks what it reads: the documents, and the results of its queries. A write
of anybody else that would change what it has read waits for it, as Firestore's documentation of
data contention says of server clients. At commit the older of two transactions wins, so there is no
deadlock: the younger loses its locks and finds at its own commit that what it read has changed.
A retry (`retry_transaction`) keeps the age of its first attempt and takes its turn at reading, so
that contending clients follow each other instead of failing their last attempt.

Locks only make success likely: every commit validates what the transaction read. So a transaction
may lose its locks, and reads on from the snapshot of that instant. It does, too, when others
wait and its client has not been heard of for a while: a dead client blocks nobody for long.
"""

import asyncio
import itertools
import struct
from dataclasses import dataclass, field

from emulators.api.refusals import invalid
from emulators.firestore.documents import Documents, Effect, Version
from emulators.firestore.messages import Message, aborted
from emulators.firestore.queries import Query

_ID = struct.Struct(">QQ")
_IDLE = 60_000_000  # virtual microseconds between two calls; this and the next as documented
_LIFE = 270_000_000  # virtual microseconds
_SILENCE = 3.0  # real seconds that a silent client may keep others waiting
_PATIENCE = 20.0  # real seconds that a call waits for locks
_FORGOTTEN = 270.0  # real seconds of silence, for clocks that stand still
_OPTIMISTIC = 1


@dataclass(eq=False)
class Transaction:
    """One open transaction. `snapshot` None means: reads the latest, locked.

    `age` orders transactions by their first attempt. Attempts may share that one (Google's Python
    client keeps it on the decorated function), so their own number decides between them.
    """

    number: int
    age: tuple[int, int]
    begun: int
    used: int
    read_only: bool = False
    locking: bool = True
    retried: bool = False
    snapshot: int | None = None
    seen: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[Query, list[tuple[str, int]]]] = field(default_factory=list)
    turns: set[str] = field(default_factory=set)
    heard: float = 0
    """When, in the loop's time, its client was last heard of; a waiting call counts as now."""
    waiting: bool = False

    def has_read(self, effects: list[Effect]) -> bool:
        """Whether any of these would change what this transaction has read."""
        if any(name in self.seen for name, _, _ in effects):
            return True
        return any(_touches(query, effect) for query, _ in self.asked for effect in effects)


def _touches(query: Query, effect: Effect) -> bool:
    name, before, after = effect
    if not query.covers(name):
        return False
    return any(version is not None and query.matches(version) for version in (before, after))


class Transactions:
    """The open transactions and their locks. `life` tells this process's ids from others'."""

    def __init__(self, documents: Documents, life: int) -> None:
        self._documents = documents
        self._life = life
        self._numbers = itertools.count(1)
        self._open: dict[int, Transaction] = {}
        self._turns: dict[str, Transaction] = {}
        self._moved = asyncio.Event()

    def begin(self, options: Message) -> bytes:
        """Open a transaction as TransactionOptions say; answers its id."""
        self._expire()
        number, now = next(self._numbers), self._documents.now()
        transaction = Transaction(number, (number, number), now, now)
        transaction.heard = asyncio.get_running_loop().time()
        if options.WhichOneof("mode") == "read_only":
            transaction.read_only, transaction.locking = True, False
            transaction.snapshot = now
            if options.read_only.HasField("read_time"):
                transaction.snapshot = self._documents.readable(options.read_only.read_time)
        else:
            self._begin_writing(transaction, options.read_write)
        self._open[number] = transaction
        return _ID.pack(self._life, number)

    def _begin_writing(self, transaction: Transaction, options: Message) -> None:
        if options.concurrency_mode == _OPTIMISTIC:
            transaction.locking = False
            transaction.snapshot = transaction.begun
        if options.retry_transaction:
            life, first = self._parse(options.retry_transaction)
            if life == self._life:
                transaction.age = (first, transaction.number)
            transaction.retried = transaction.locking

    @staticmethod
    def _parse(identifier: bytes) -> tuple[int, int]:
        if len(identifier) != _ID.size:
            raise invalid("Invalid transaction.")
        life, number = _ID.unpack(identifier)
        return life, number

    def find(self, identifier: bytes) -> Transaction:
        """The open transaction. ABORTED if the engine was restarted since, so clients retry it."""
        self._expire()
        life, number = self._parse(identifier)
        if life != self._life:
            raise aborted("The transaction was lost in a restart. Please try again.")
        if number not in self._open:
            raise invalid("The referenced transaction has expired or is no longer valid.")
        transaction = self._open[number]
        self._hear(transaction)
        return transaction

    def _hear(self, transaction: Transaction) -> None:
        transaction.used = self._documents.now()
        transaction.heard = asyncio.get_running_loop().time()

    def _expire(self) -> None:
        now, real = self._documents.now(), asyncio.get_running_loop().time()
        for old in list(self._open.values()):
            idle = now - old.used > _IDLE or real - old.heard > _FORGOTTEN
            if not old.waiting and (idle or now - old.begun > _LIFE):
                self.finish(old)

    def roll_back(self, identifier: bytes) -> None:
        """Close a transaction; one that is closed already stays so."""
        life, number = self._parse(identifier)
        if life == self._life and number in self._open:
            self.finish(self._open[number])

    def finish(self, transaction: Transaction) -> None:
        self._open.pop(transaction.number, None)
        transaction.locking = False
        self._release(transaction)

    async def read(self, transaction: Transaction, name: str) -> Version | None:
        await self._take_turn(transaction, name)
        version = self._documents.get(name, self._instant(transaction))
        transaction.seen.setdefault(name, 0 if version is None else version.time)
        return version

    async def ask(self, transaction: Transaction, query: Query) -> list[Version]:
        await self._take_turn(transaction, _scope(query))
        rows = query.run(self._documents, self._instant(transaction))
        transaction.asked.append((query, [(row.name, row.time) for row in rows]))
        return rows

    def read_time(self, transaction: Transaction) -> int:
        return self._documents.now() if transaction.snapshot is None else transaction.snapshot

    def _instant(self, transaction: Transaction) -> int | None:
        """The instant to read as of; None for the latest."""
        at = transaction.snapshot
        if at is not None and at < self._documents.oldest:
            if transaction.read_only:
                self._documents.check_readable(at)
            return None  # time has jumped; validation will tell whether this was consistent
        return at

    async def _take_turn(self, transaction: Transaction, scope: str) -> None:
        """Make retries read the same one after the other, the older first where they collide."""
        deadline = asyncio.get_running_loop().time() + _PATIENCE
        while transaction.retried and transaction.locking:
            owner = self._turns.setdefault(scope, transaction)
            if owner is transaction:
                transaction.turns.add(scope)
                return
            if transaction.turns and owner.age < transaction.age:
                self._unlock(transaction)
            else:
                await self._outwait(owner, deadline, transaction)

    async def _outwait(
        self, owner: Transaction, deadline: float, transaction: Transaction | None
    ) -> None:
        """Wait until some locks are gone, those of a silent owner at the latest. Raises ABORTED."""
        loop = asyncio.get_running_loop()
        if loop.time() >= deadline:
            raise aborted("Transaction lock timeout.")
        until = deadline if owner.waiting else min(owner.heard + _SILENCE, deadline)
        if transaction is not None:
            transaction.waiting = True
        try:
            await asyncio.wait_for(self._moved.wait(), max(until - loop.time(), 0))
        except TimeoutError:
            if not owner.waiting and owner.heard + _SILENCE <= loop.time():
                self._unlock(owner)
        finally:
            if transaction is not None:
                transaction.waiting = False
                self._hear(transaction)

    def _unlock(self, transaction: Transaction) -> None:
        """Take its locks away; it reads on from the snapshot of this instant."""
        if transaction.locking:
            transaction.locking = False
            transaction.snapshot = self._documents.now()
        self._release(transaction)

    def _release(self, transaction: Transaction) -> None:
        for scope in transaction.turns:
            del self._turns[scope]
        transaction.turns.clear()
        self._moved.set()
        self._moved = asyncio.Event()

    async def make_way(
        self, effects: list[Effect], deadline: float, transaction: Transaction | None = None
    ) -> bool:
        """Whether a commit with these effects may happen now, without awaiting in between.

        False after having waited for a lock: what the commit builds on may have changed. Raises
        ABORTED after `deadline`, an instant of the loop's time.
        """
        self._expire()
        others = [o for o in self._open.values() if o.locking and o is not transaction]
        blockers = [other for other in others if other.has_read(effects)]
        for blocker in blockers:
            if transaction is not None and transaction.age < blocker.age:
                continue
            if transaction is not None and transaction.turns and blocker.turns:
                raise aborted("Aborted due to cross-transaction contention. Please try again.")
            await self._outwait(blocker, deadline, transaction)
            return False
        for younger in blockers:
            self._unlock(younger)
        return True

    @staticmethod
    def deadline() -> float:
        """When, in the loop's time, a call that starts now has waited long enough for locks."""
        return asyncio.get_running_loop().time() + _PATIENCE

    def validate(self, transaction: Transaction) -> None:
        """Raises ABORTED if something that the transaction read is different by now."""
        for name, time in transaction.seen.items():
            version = self._documents.get(name)
            if (0 if version is None else version.time) != time:
                raise aborted("Transaction lock expired or the document changed. Please try again.")
        for query, rows in transaction.asked:
            if [(row.name, row.time) for row in query.run(self._documents)] != rows:
                raise aborted("The result of a query changed. Please try again.")


def _scope(query: Query) -> str:
    """What retries of a query take turns at: its collection, or all collections of one id."""
    if not query.descends:
        return f"{query.parent}/{query.collection_id}"
    return f"**/{query.collection_id}"
