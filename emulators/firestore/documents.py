"""The documents with their versions of the past hour, indexed by collection."""

from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import grpc

from emulators.clock import VirtualClock, micros
from emulators.firestore.messages import Document, Message, Refused, instant_of, invalid, timestamp
from emulators.firestore.names import NAME, FieldPath, collection_of
from emulators.firestore.values import Key, find, key, name_key
from emulators.journal import Journal

_KEPT = 3_600_000_000  # past versions can be read for an hour, as Firestore documents read_time
_TOO_OLD = "The requested snapshot version is too old."


@dataclass(slots=True, eq=False)
class Version:
    """A document as one commit left it; `document` is None where it was deleted. Never changed."""

    name: str
    time: int
    document: Message | None
    _keys: dict[FieldPath, Key | None] = field(default_factory=dict)

    def key(self, path: FieldPath) -> Key | None:
        """The sort key of the field at `path`, or None where there is no such field."""
        if path == NAME:
            return name_key(self.name)
        if path not in self._keys:
            value = None if self.document is None else find(self.document.fields, path)
            self._keys[path] = None if value is None else key(value)
        return self._keys[path]


Effect = tuple[str, Version | None, Version | None]
"""What a commit is about to do to a document: its name, and the document before and after."""


@dataclass(slots=True, frozen=True)
class Change:
    """What one commit did to one document; before and after are None where it did not exist."""

    before: Version | None
    after: Version | None
    version: Version


class Documents:
    """Every document of every database, in memory; a commit is in the journal when it returns.

    Commit times follow the virtual clock and strictly increase, also while the clock stands still.
    """

    def __init__(self, clock: VirtualClock, journal: Journal) -> None:
        self._clock = clock
        self._journal = journal
        self._collections: dict[str, dict[str, list[Version]]] = {}
        self._live: dict[str, int] = defaultdict(int)
        self._superseded: deque[tuple[int, str]] = deque()
        self._last = 0
        self.watchers: list[Callable[[int, list[Change]], None]] = []
        for entry, value in journal.items():
            if entry == "time":
                self._last = max(self._last, int(value))
                continue
            document = Document.FromString(value)
            time = instant_of(document.update_time)
            self._collections.setdefault(collection_of(document.name), {})[document.name] = [
                Version(document.name, time, document)
            ]
            self._live[collection_of(document.name)] += 1
            self._last = max(self._last, time)
        self.oldest = self._last
        """The earliest instant whose state can still be read."""

    def now(self) -> int:
        """An instant for reading: every commit so far is at or before it, every later one after."""
        self._last = max(self._last, micros(self._clock.now()))
        return self._last

    def next_time(self) -> int:
        """The instant of a commit that is about to happen."""
        self._last = max(self._last + 1, micros(self._clock.now()))
        return self._last

    def readable(self, stamp: Message) -> int:
        """The instant of a `read_time`. Raises INVALID_ARGUMENT, or as `check_readable` does."""
        if stamp.nanos % 1000:
            raise invalid("The requested 'read_time' must be microsecond aligned.")
        at = instant_of(stamp)
        self.check_readable(at)
        if at < self.now() - _KEPT:
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, _TOO_OLD)
        return at

    def check_readable(self, at: int) -> None:
        """Raises FAILED_PRECONDITION for what is forgotten, INVALID_ARGUMENT for the future."""
        if at < self.oldest:
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, _TOO_OLD)
        if at > self.now():
            raise invalid("The requested 'read_time' cannot be in the future.")

    def get(self, name: str, at: int | None = None) -> Version | None:
        """The document now or as of `at`; None where it did not exist."""
        chain = self._collections.get(collection_of(name), {}).get(name)
        return _as_of(chain, at) if chain else None

    def scan(self, collection: str, at: int | None = None) -> Iterator[Version]:
        """The documents of one collection, in no particular order."""
        for chain in self._collections.get(collection, {}).values():
            version = _as_of(chain, at)
            if version is not None:
                yield version

    def collections(self, within: str) -> Iterator[str]:
        """The paths of all collections at any depth below the root or document `within`.

        Some may hold past versions only.
        """
        prefix = f"{within}/"
        return (path for path in list(self._collections) if path.startswith(prefix))

    def counts(self) -> dict[str, int]:
        """Documents per collection path, for those that have any."""
        return {path: count for path, count in sorted(self._live.items()) if count}

    def commit(self, time: int, fields: dict[str, Message | None]) -> list[Change]:
        """Replace documents by new ones with these contents, or delete them (None), at `time`."""
        changes: list[Change] = []
        with self._journal.batch():
            for name, document in fields.items():
                change = self._change(time, name, document)
                changes.append(change)
                if document is None:
                    self._journal.delete(f"document/{name}")
                else:
                    self._journal.put(f"document/{name}", document.SerializeToString())
            self._journal.put("time", str(time).encode())
        for change in changes:
            self._keep(change)
        self._forget()
        for watcher in list(self.watchers):
            watcher(time, changes)
        return changes

    def _change(self, time: int, name: str, document: Message | None) -> Change:
        before = self.get(name)
        if document is not None:
            known = None if before is None else before.document
            created = timestamp(time) if known is None else known.create_time
            document.name = name
            document.create_time.CopyFrom(created)
            document.update_time.CopyFrom(timestamp(time))
        version = Version(name, time, document)
        return Change(before, None if document is None else version, version)

    def _keep(self, change: Change) -> None:
        name = change.version.name
        collection = collection_of(name)
        chain = self._collections.setdefault(collection, {}).setdefault(name, [])
        if chain or change.after is None:
            self._superseded.append((change.version.time, name))
        chain.append(change.version)
        self._live[collection] += (change.after is not None) - (change.before is not None)

    def _forget(self) -> None:
        """Let go of versions that were replaced more than an hour ago."""
        horizon = self._last - _KEPT
        while self._superseded and self._superseded[0][0] <= horizon:
            time, name = self._superseded.popleft()
            self.oldest = max(self.oldest, time)
            chains = self._collections[collection_of(name)]
            chain = chains[name]
            while len(chain) > 1 and chain[1].time <= time:
                del chain[0]
            if len(chain) == 1 and chain[0].document is None:
                del chains[name]
                if not chains:
                    del self._collections[collection_of(name)]
                    self._live.pop(collection_of(name), None)


def _as_of(chain: list[Version], at: int | None) -> Version | None:
    if at is None or chain[-1].time <= at:
        version = chain[-1]
    else:
        index = bisect_right(chain, at, key=lambda version: version.time)
        if index == 0:
            return None
        version = chain[index - 1]
    return None if version.document is None else version
