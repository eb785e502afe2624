"""Isolation of transactions: serializable, by validation at commit, with locks for retries.

A first attempt reads a snapshot and takes no locks; its commit is ABORTED if anything it read has
changed. A retry (`retry_transaction`) locks what it reads, so that contending clients take turns
instead of failing their last attempt. Locks only make success likely: every commit validates, and
a transaction may lose its locks, reading on from the snapshot of that instant. It does when it
would wait for an older one while holding locks (so there is no deadlock), and when its lease ends
while others wait (so a dead client blocks nobody for long).
"""

import asyncio
import itertools
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

from emulators.firestore.documents import Documents, Version
from emulators.firestore.messages import Message, aborted, instant_of, invalid
from emulators.firestore.names import collection_of
from emulators.firestore.queries import Query

_ID = struct.Struct(">QQ")
_LEASE = 3.0  # real seconds that a client may keep others waiting
_LIFE = 270.0  # real seconds; Firestore's own limit on a transaction
_PESSIMISTIC = 2


@dataclass(eq=False)
class Transaction:
    """One open transaction. `snapshot` None means: not read yet, or reads the latest, locked.

    `age` orders transactions by their first attempt. Attempts may share that one (Google's Python
    client keeps it on the decorated function), so their own number decides between them.
    """

    number: int
    age: tuple[int, int]
    begun: float
    read_only: bool = False
    locking: bool = False
    snapshot: int | None = None
    seen: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[Query, list[tuple[str, int]]]] = field(default_factory=list)
    locks: set[str] = field(default_factory=set)
    lease_end: float = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)


class Transactions:
    """The open transactions and their locks. `life` tells this process's ids from others'."""

    def __init__(self, documents: Documents, life: int) -> None:
        self._documents = documents
        self._life = life
        self._numbers = itertools.count(1)
        self._open: dict[int, Transaction] = {}
        self._owners: dict[str, Transaction] = {}

    def begin(self, options: Message) -> bytes:
        """Open a transaction as TransactionOptions say; answers its id."""
        now = asyncio.get_running_loop().time()
        for old in list(itertools.takewhile(lambda t: t.begun < now - _LIFE, self._open.values())):
            self._close(old)
        number = next(self._numbers)
        transaction = Transaction(number, (number, number), now)
        if options.WhichOneof("mode") == "read_only":
            transaction.read_only = True
            transaction.snapshot = self._documents.now()
            if options.read_only.HasField("read_time"):
                transaction.snapshot = instant_of(options.read_only.read_time)
                self._documents.check_readable(transaction.snapshot)
        elif options.read_write.retry_transaction:
            transaction.locking = True
            life, first = self._parse(options.read_write.retry_transaction)
            transaction.age = (first if life == self._life else number, number)
        else:
            transaction.locking = options.read_write.concurrency_mode == _PESSIMISTIC
        self._open[number] = transaction
        return _ID.pack(self._life, number)

    @staticmethod
    def _parse(identifier: bytes) -> tuple[int, int]:
        if len(identifier) != _ID.size:
            raise invalid("Invalid transaction.")
        life, number = _ID.unpack(identifier)
        return life, number

    def find(self, identifier: bytes) -> Transaction:
        """The open transaction. ABORTED if the engine was restarted since, so clients retry it."""
        life, number = self._parse(identifier)
        if life != self._life:
            raise aborted("The transaction was lost in a restart. Please try again.")
        if number not in self._open:
            raise invalid("The referenced transaction has expired or is no longer valid.")
        return self._open[number]

    def roll_back(self, identifier: bytes) -> None:
        """Close a transaction; one that is closed already stays so."""
        life, number = self._parse(identifier)
        if life == self._life and number in self._open:
            self._close(self._open[number])

    def _close(self, transaction: Transaction) -> None:
        self._open.pop(transaction.number, None)
        self._release(transaction)

    async def read(self, transaction: Transaction, name: str) -> Version | None:
        await self._lock(transaction, name)
        version = self._documents.get(name, self._instant(transaction))
        transaction.seen.setdefault(name, 0 if version is None else version.time)
        return version

    async def ask(self, transaction: Transaction, query: Query) -> list[Version]:
        await self._lock(transaction, _scope(query))
        rows = query.run(self._documents, self._instant(transaction))
        transaction.asked.append((query, [(row.name, row.time) for row in rows]))
        return rows

    def read_time(self, transaction: Transaction) -> int:
        return self._documents.now() if transaction.snapshot is None else transaction.snapshot

    def _instant(self, transaction: Transaction) -> int | None:
        """The instant to read as of; None for the latest."""
        if transaction.locking:
            return None
        if transaction.snapshot is None:
            transaction.snapshot = self._documents.now()
        if transaction.snapshot < self._documents.oldest:
            if transaction.read_only:
                self._documents.check_readable(transaction.snapshot)
            return None  # time has jumped; validation will tell whether this was consistent
        return transaction.snapshot

    async def _lock(self, transaction: Transaction, scope: str) -> None:
        while transaction.locking:
            owner = self._owners.get(scope)
            if owner is None:
                if not transaction.locks:
                    transaction.lease_end = asyncio.get_running_loop().time() + _LEASE
                self._owners[scope] = transaction
                transaction.locks.add(scope)
            if owner is None or owner is transaction:
                return
            if transaction.locks and owner.age < transaction.age:
                self._unlock(transaction)
            else:
                await self._outwait(owner)

    async def _outwait(self, owner: Transaction) -> None:
        """Wait until `owner` has no locks, at most for the rest of its lease."""
        left = owner.lease_end - asyncio.get_running_loop().time()
        try:
            await asyncio.wait_for(owner.released.wait(), max(left, 0))
        except TimeoutError:
            self._unlock(owner)

    def _unlock(self, transaction: Transaction) -> None:
        """Take its locks away; it reads on from the snapshot of this instant."""
        if transaction.locking:
            transaction.locking = False
            transaction.snapshot = self._documents.now()
        self._release(transaction)

    def _release(self, transaction: Transaction) -> None:
        for scope in transaction.locks:
            del self._owners[scope]
        transaction.locks.clear()
        transaction.released.set()

    async def make_way(self, names: Iterable[str], transaction: Transaction | None = None) -> None:
        """Wait until no other transaction has a lock on these documents or what selects them.

        When it returns the caller commits without awaiting in between. Raises ABORTED.
        """
        scopes = [scope for name in names for scope in _scopes(name)]
        while self._owners and (owner := self._blocker(scopes, transaction)) is not None:
            if transaction is not None and transaction.locks and owner.age < transaction.age:
                raise aborted("Aborted due to cross-transaction contention. Please try again.")
            await self._outwait(owner)

    def _blocker(self, scopes: list[str], transaction: Transaction | None) -> Transaction | None:
        owners = (self._owners.get(scope) for scope in scopes)
        return next((o for o in owners if o is not None and o is not transaction), None)

    def validate(self, transaction: Transaction) -> None:
        """Raises ABORTED if something that the transaction read is different by now."""
        for name, time in transaction.seen.items():
            version = self._documents.get(name)
            if (0 if version is None else version.time) != time:
                raise aborted("Transaction lock expired or the document changed. Please try again.")
        for query, rows in transaction.asked:
            if [(row.name, row.time) for row in query.run(self._documents)] != rows:
                raise aborted("The result of a query changed. Please try again.")

    def finish(self, transaction: Transaction) -> None:
        self._close(transaction)


def _scope(query: Query) -> str:
    """What a locking query locks: its collection, or all collections of one id, or everything."""
    if not query.descends:
        return f"{query.parent}/{query.collection_id}"
    return f"**/{query.collection_id}"


def _scopes(name: str) -> list[str]:
    """The locks that stand in the way of writing `name`."""
    collection = collection_of(name)
    return [name, collection, f"**/{collection.rpartition('/')[2]}", "**/"]
