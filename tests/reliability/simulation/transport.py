"""Pub/Sub and Cloud Tasks as the seed wants them: what is carried, when, how often, in which order.

Pub/Sub promises that every message reaches every subscription at least once; with ordering keys, in
order until something is redelivered, which then comes again with all that followed it
(https://cloud.google.com/pubsub/docs/ordering). Most seeds promise less: any order, any number.
"""

import base64
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any

from emulators.pubsub.filters import compile_filter
from shared.kernel.errors import VendorUnavailable
from shared.kernel.ids import TimerId
from shared.platform.outbox import Letter
from shared.runtime import wiring
from shared.runtime.agent import Agent
from tests.reliability.simulation.agenda import Agenda
from tests.reliability.simulation.chance import lots

_MOST_ATTEMPTS = 60
_LATE = timedelta(hours=2)
Push = Callable[[str, str, str, bytes, str, Random], bool]
"""Posts to (function, path) as a kind of sender, by name and lots; answers whether it was taken."""


@dataclass(frozen=True)
class Weather:
    """How bad it gets. `copies` are deliveries per event and subscription."""

    copies: int = 1
    late: float = 0.0
    crowds: float = 0.0
    together: float = 0.0
    deaths: float = 0.0
    refusals: float = 0.0
    faults: float = 0.0
    ordered: bool = False

    @property
    def calm(self) -> bool:
        return self.copies == 1


CALM = Weather()


@dataclass(frozen=True)
class Subscription:
    """Where messages of a topic go that a filter lets through."""

    name: str
    function: str
    path: str
    matches: Callable[[Mapping[str, str]], bool]


def subscriptions(agents: Mapping[str, Agent]) -> dict[str, list[Subscription]]:
    """By topic, as the wiring is generated from the agents' declarations."""
    mains: Any = {name: SimpleNamespace(agent=agent) for name, agent in agents.items()}
    found = defaultdict(list)
    for name, one in wiring.describe(mains)["subscriptions"].items():
        made = Subscription(name, one["function"], one["path"], compile_filter(one["filter"]))
        found[one["topic"]].append(made)
    return found


@dataclass
class Trail:
    """What happened, for whoever must understand a seed."""

    lines: list[tuple[datetime, str, str]] = field(default_factory=list)

    def note(self, at: datetime, what: str, about: str = "") -> None:
        self.lines.append((at, what, about))


class Transport:
    """Implements `outbox.Publisher`, and makes the tasks of timers."""

    def __init__(
        self,
        seed: int,
        weather: Weather,
        agenda: Agenda,
        agents: Mapping[str, Agent],
        push: Push,
        trail: Trail,
    ) -> None:
        self._seed = seed
        self._weather = weather
        self._agenda = agenda
        self._push = push
        self._trail = trail
        self.subscriptions = subscriptions(agents)
        self._timers = {kind: name for name, agent in agents.items() for kind in agent.timers}
        self.published = 0
        self.deliveries = 0
        self.last_wake = datetime.max.replace(tzinfo=UTC)
        self.refusing: Callable[[], bool] = lambda: False
        self._latest: dict[tuple[str, str], datetime] = {}
        self._carried: dict[tuple[str, str], list[Letter]] = defaultdict(list)
        self._times: dict[str, int] = defaultdict(int)
        self._tasks: set[tuple[TimerId, int]] = set()

    # Pub/Sub

    def publish(self, letters: Sequence[Letter]) -> list[int]:
        if self.refusing():
            if letters[0].seq % 2:
                raise VendorUnavailable("pubsub", "UNAVAILABLE")
            return []
        for letter in letters:
            self.published += 1
            self._times[letter.attributes["ce-id"]] += 1
            for subscription in self.subscriptions.get(letter.topic, ()):
                if subscription.matches(letter.attributes):
                    self._carry(letter, subscription)
        return [letter.seq for letter in letters]

    def _carry(self, letter: Letter, subscription: Subscription) -> None:
        """Plan the deliveries of a message."""
        event = letter.attributes["ce-id"]
        some = lots(self._seed, "carry", event, subscription.name, self._times[event])
        if self._weather.calm:
            self._plan(letter, subscription, self._agenda.now, 1, "")
            return
        first = self._agenda.now + self._delay(some)
        key = (subscription.name, letter.ordering_key)
        if self._weather.ordered:
            first = max(first, self._latest.get(key, first))
            self._latest[key] = first
        if some.random() < self._weather.crowds:
            crowd = f"{event} {subscription.name}"
            for copy in range(some.randint(2, 20)):
                self._plan(letter, subscription, first, copy, crowd)
            return
        self._plan(letter, subscription, first, 1, "")
        for copy in range(2, self._weather.copies + 1):
            again = first + some.random() * some.choice((timedelta(minutes=1), _LATE))
            self._plan(letter, subscription, again, copy, "")

    def _delay(self, some: Random) -> timedelta:
        lot = some.random()
        if lot < self._weather.late:
            return _LATE + some.random() * timedelta(minutes=10)
        return some.random() * timedelta(seconds=900 if lot < 0.25 else 5)

    def _plan(
        self,
        letter: Letter,
        subscription: Subscription,
        at: datetime,
        copy: int,
        crowd: str,
        attempt: int = 1,
    ) -> None:
        event = letter.attributes["ce-id"]
        name = f"{event} {subscription.name} {self._times[event]}.{copy}.{attempt}"
        some = lots(self._seed, "delivery", name)
        tie = 0.0 if self._weather.calm else some.random()

        def deliver() -> None:
            self._deliver(letter, subscription, copy, attempt, name, some)

        self._agenda.at(at, deliver, tie=tie, crowd=crowd, joins=not crowd)

    def _deliver(
        self,
        letter: Letter,
        subscription: Subscription,
        copy: int,
        attempt: int,
        name: str,
        some: Random,
    ) -> None:
        self.deliveries += 1
        key = (subscription.name, letter.ordering_key)
        taken = self._push(
            subscription.function,
            subscription.path,
            "pubsub",
            _body(letter, subscription, attempt),
            name,
            some,
        )
        what = f"{subscription.name} {letter.attributes['ce-type']} copy {copy} try {attempt}"
        self._trail.note(
            self._agenda.now,
            f"{what}: {'taken' if taken else 'not taken'}",
            f"{letter.ordering_key} {letter.payload}",
        )
        if taken:
            self._carried[key].append(letter)
            return
        if attempt >= _MOST_ATTEMPTS:
            raise AssertionError(f"{what} never succeeded")
        wait = timedelta(seconds=min(600, 2 ** min(attempt, 10)) * (0.5 + some.random()))
        self._plan(letter, subscription, self._agenda.now + wait, copy, "", attempt + 1)
        for follower in self._carried[key][-3:]:
            if follower.seq > letter.seq:
                again = 1000 + 100 * copy + attempt
                self._plan(follower, subscription, self._agenda.now + wait, again, "")

    # Cloud Tasks

    def create(self, timer_id: TimerId, version: int, kind: str, due_at: datetime) -> None:
        """For the place of `tasks.create_wake_up`: a name is known for good here."""
        if (timer_id, version) in self._tasks:
            return
        self._tasks.add((timer_id, version))
        if due_at > self.last_wake:
            return
        function = self._timers[kind]
        body = json.dumps({"timer_id": str(timer_id), "version": version}).encode()
        some = lots(self._seed, "task", timer_id, version)
        if self._weather.calm:
            self._wake(function, body, due_at, f"task {timer_id} {version}", 1)
            return
        if some.random() < self._weather.refusals:
            self._trail.note(self._agenda.now, f"task of {kind} lost", str(timer_id))
            return
        for copy in range(1 + (some.random() < 0.3)):
            late = some.random() * timedelta(minutes=2 if some.random() < 0.9 else 120)
            self._wake(function, body, due_at + late, f"task {timer_id} {version} {copy}", 1)

    def _wake(self, function: str, body: bytes, at: datetime, name: str, attempt: int) -> None:
        some = lots(self._seed, name, attempt)

        def fire() -> None:
            self.deliveries += 1
            taken = self._push(function, "/timers", "tasks", body, f"{name} {attempt}", some)
            self._trail.note(
                self._agenda.now, f"{function} timer {'taken' if taken else 'not taken'}", name
            )
            if not taken:
                wait = timedelta(seconds=min(600, 2 ** min(attempt, 10)))
                self._wake(function, body, self._agenda.now + wait, name, attempt + 1)

        tie = 0.0 if self._weather.calm else some.random()
        self._agenda.at(at, fire, tie=tie, joins=True)


def _body(letter: Letter, subscription: Subscription, attempt: int) -> bytes:
    """https://cloud.google.com/pubsub/docs/push#receive_push (wrapped)"""
    message: dict[str, Any] = {
        "data": base64.b64encode(letter.payload.encode()).decode(),
        "attributes": letter.attributes,
        "messageId": letter.attributes["ce-id"],
        "orderingKey": letter.ordering_key,
    }
    body = {"message": message, "subscription": subscription.name, "deliveryAttempt": attempt}
    return json.dumps(body).encode()
