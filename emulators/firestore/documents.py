"""The documents with their versions of the past hour, indexed by collection."""

from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import grpc

from emulators.api.refusals import Refused, invalid
from emulators.clock import VirtualClock, micros
from emulators.firestore.messages import Document, Message, instant_of, timestamp
from emulators.firestore.names import NAME, FieldPath, collection_of
from emulators.firestore.values import Key, find, key, name_key
from emulators.journal import Journal

_KEPT = 3_600_000_000  # past versions can be read for an hour, as Firestore documents read_time
_NOW, _PAST = "document/", "past/"  # by name; by the instant that ended a version, and name
_TIME, _OLDEST = "time", "oldest"
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
        self.oldest = 0
        """The earliest instant whose state can still be read."""
        self._load()

    def _load(self) -> None:
        """Take up from the journal: documents, and the versions before them of the past hour."""
        self._last = int(dict(self._journal.items(_TIME)).get(_TIME, 0))
        self.oldest = int(dict(self._journal.items(_OLDEST)).get(_OLDEST, 0))
        for entry, value in self._journal.items(_PAST):
            document = Document.FromString(value)
            version = Version(document.name, instant_of(document.update_time), document)
            self._chain(document.name).append(version)
            ended, _, name = entry[len(_PAST) :].partition("/")
            self._chain(name).append(Version(name, int(ended), None))
        for _, value in self._journal.items(_NOW):
            document = Document.FromString(value)
            version = Version(document.name, instant_of(document.update_time), document)
            self._chain(document.name).append(version)
            self._live[collection_of(document.name)] += 1
        for chain in (c for chains in self._collections.values() for c in chains.values()):
            # A version ended by another at the same instant was replaced, else it was deleted.
            times = {version.time for version in chain if version.document is not None}
            chain[:] = [v for v in chain if v.document is not None or v.time not in times]
            self._superseded.extend((version.time, version.name) for version in chain[1:])
        self._superseded = deque(sorted(self._superseded))

    def _chain(self, name: str) -> list[Version]:
        return self._collections.setdefault(collection_of(name), {}).setdefault(name, [])

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
                self._record(change)
            self._journal.put(_TIME, str(time).encode())
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

    def _record(self, change: Change) -> None:
        name = change.version.name
        if change.version.document is None:
            self._journal.delete(f"{_NOW}{name}")
        else:
            self._journal.put(f"{_NOW}{name}", change.version.document.SerializeToString())
        if change.before is not None and change.before.document is not None:
            past = change.before.document.SerializeToString()
            self._journal.put(f"{_PAST}{change.version.time:020}/{name}", past)

    def _keep(self, change: Change) -> None:
        name = change.version.name
        collection = collection_of(name)
        chain = self._chain(name)
        if chain or change.after is None:
            self._superseded.append((change.version.time, name))
        chain.append(change.version)
        self._live[collection] += (change.after is not None) - (change.before is not None)

    def _forget(self) -> None:
        """Let go of versions that were replaced more than an hour ago."""
        horizon = self._last - _KEPT
        if not self._superseded or self._superseded[0][0] > horizon:
            return
        with self._journal.batch():
            while self._superseded and self._superseded[0][0] <= horizon:
                time, name = self._superseded.popleft()
                self.oldest = max(self.oldest, time)
                self._journal.delete(f"{_PAST}{time:020}/{name}")
                self._forget_before(time, name)
            self._journal.put(_OLDEST, str(self.oldest).encode())

    def _forget_before(self, time: int, name: str) -> None:
        """Let go of the versions of one document that ended at `time` or earlier."""
        collection = collection_of(name)
        chains = self._collections[collection]
        chain = chains[name]
        while len(chain) > 1 and chain[1].time <= time:
            del chain[0]
        if len(chain) == 1 and chain[0].document is None:
            del chains[name]
            if not chains:
                del self._collections[collection]
                self._live.pop(collection, None)


def _as_of(chain: list[Version], at: int | None) -> Version | None:
    if at is None or chain[-1].time <= at:
        version = chain[-1]
    else:
        index = bisect_right(chain, at, key=lambda version: version.time)
        if index == 0:
            return None
        version = chain[index - 1]
    return None if version.document is None else version
