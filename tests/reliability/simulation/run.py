"""One run of a seed: the product's functions in a world that the seed owns."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from shared.events.messages import Channel
from shared.kernel import clock, ids
from shared.platform import firestore, steps
from shared.platform.intents import LEASE
from shared.runtime import delivery
from tests.reliability.simulation import task as tasks
from tests.reliability.simulation.agenda import Agenda, Job
from tests.reliability.simulation.chance import lots
from tests.reliability.simulation.documents import Documents
from tests.reliability.simulation.ground import OPENS, Ground
from tests.reliability.simulation.interleaving import Interleaving
from tests.reliability.simulation.provider import Provider
from tests.reliability.simulation.task import STATEMENT, Killed, Task
from tests.reliability.simulation.transport import Trail, Transport, Weather
from tests.reliability.simulation.vendors import Desk, Marketing, Messenger
from tests.reliability.simulation.witness import Ear

ENDS = OPENS.replace(hour=12) + timedelta(days=45)
"""Timers that are due later are left alone; what was under way is brought to its end."""
_MOST_RELAYS = 20_000
_MOST_TRIES = 50
_TIMERS_LOOK = timedelta(hours=1)
_POLLS = timedelta(hours=4)
_MOST_POINTS = {":": 10, "commit:": 3, STATEMENT: 10}
"""Among so many points of a kind one is chosen to die at."""


@dataclass
class Run:
    """`weather` says how bad it gets; everything else follows from the seed."""

    ground: Ground
    seed: int
    weather: Weather
    agenda: Agenda = field(default_factory=lambda: Agenda(OPENS))
    trail: Trail = field(default_factory=Trail)
    answers: dict[str, str] = field(default_factory=dict)
    """What commands were answered, by their names."""
    known: dict[str, Any] = field(default_factory=dict)
    """What the script keeps for later."""
    deaths: int = 0
    crowds: int = 0
    waits: int = 0

    def __post_init__(self) -> None:
        self.transport = Transport(
            self.seed, self.weather, self.agenda, self.ground.agents, self._push, self.trail
        )
        self.transport.refusing = self._refusing
        self.transport.last_wake = ENDS
        self.provider = Provider(self.seed, self._webhook)
        self.provider.touched = self._polls_soon
        self.messengers = {
            name: Messenger(name, self.seed, self._webhook)
            for name in ("sendgrid", "twilio", "fcm")
        }
        self.marketing = Marketing()
        self.desk = Desk()
        self.ear = Ear()
        self.documents = Documents()
        self._planned: dict[str, datetime] = {}
        self._webhooks = self._relays = 0
        self._tasks: list[Task] = []

    @property
    def vendors(self) -> SimpleNamespace:
        """What every agent's declared vendors have, under the same names."""
        post = self.messengers
        channels = {Channel.EMAIL: "sendgrid", Channel.SMS: "twilio", Channel.PUSH: "fcm"}
        return SimpleNamespace(
            billing=self.provider,
            marketing=self.marketing,
            desk=self.desk,
            senders={channel: (post[name],) for channel, name in channels.items()},
        )

    @property
    def _special(self) -> dict[str, Any]:
        """What the agents of the machinery have for vendors."""
        return {
            "outbox_relay": self.transport,
            "reminder_scheduler": self.transport.create,
            "status_mirror": firestore.mirror,
            "witness": self.ear,
        }

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Let the product tell the time, make ids, publish and call by this run."""
        self.ground.empty()
        with ExitStack() as stack:
            clock.use(lambda: self.agenda.now)
            stack.callback(clock.use, None)
            ids.use(self._id)
            stack.callback(ids.use, None)
            steps.use(tasks.reached)
            stack.callback(steps.use, None)
            stack.enter_context(patch.object(delivery, "_publisher", self.transport))
            stack.enter_context(patch.object(firestore, "_call", self.documents.call))
            for name, agent in self.ground.agents.items():
                mine = self._special.get(name, self.vendors)
                stack.enter_context(patch.object(agent, "_vendors", mine))
            yield

    def _id(self) -> int:
        """A UUIDv7 of virtual time and the running task's lots."""
        task = tasks.current()
        assert task is not None, "ids are made in tasks alone"
        milliseconds = int((task.since or self.agenda.now).timestamp() * 1000)
        some = task.lots
        return (
            milliseconds << 80 | 7 << 76 | some.getrandbits(12) << 64 | 2 << 62
        ) | some.getrandbits(62)

    # What is done, by one thread or by several

    def play(self) -> None:
        """Do all there is to do, until nothing is under way."""
        while (job := self.agenda.next()) is not None:
            some = lots(self.seed, "crowd", job.number)
            most = 1
            if job.joins and some.random() < self.weather.together:
                most = some.randint(2, 8)
            crowd = self.agenda.crowd(job, most)
            if len(crowd) == 1:
                job.act()
            else:
                self._together(crowd, some)

    def _together(self, crowd: list[Job], some: Random) -> None:
        self.crowds += 1
        turns = Interleaving(some, self.ground.waiting)
        turns.run([job.act for job in crowd])
        self.waits += turns.waits

    def perform(
        self,
        name: str,
        some: Random,
        act: Callable[[], Any],
        dies_on: str = "",
        since: datetime | None = None,
    ) -> Any:
        """Run the product's code as a task; None if its process died on the way."""
        task = Task(name, some, self._wait, faults=self.weather.faults, since=since)
        fate = lots(self.seed, "fate", name)
        if fate.random() < self.weather.deaths:
            task.dies_among = dies_on or fate.choice((":", ":", "commit:", STATEMENT))
            task.dies_after = 0 if dies_on else fate.randrange(_MOST_POINTS[task.dies_among])
        tasks.begin(task)
        self._tasks.append(task)
        try:
            return act()
        except Killed as death:
            self.deaths += 1
            self.trail.note(self.agenda.now, f"{name} died at {death}")
            self._relay_soon()
            return None
        finally:
            self._tasks.remove(task)
            tasks.begin(None)

    def command(self, name: str, act: Callable[[], Any]) -> None:
        """Something a person does. If the process dies before it is committed, they try again."""
        point = lots(self.seed, "answer", name).choice(("before", "after"))
        deaths = self.deaths
        self.perform(name, lots(self.seed, name), act, f"work.commit:{point}", OPENS)
        if self.deaths > deaths and point == "before":
            self.perform(f"{name} again", lots(self.seed, name), act, "work.commit:after", OPENS)
        self._timers_soon()

    def _wait(self, time: timedelta) -> None:
        """Virtual time passes. Not so much that the lease of another's intent runs out before its
        vendor has acted: calls have time-outs far below it, and a vendor without keys would then be
        told twice.
        """
        if time < LEASE / 6 or not any(task.exposed for task in self._tasks):
            self.agenda.now += time

    def _push(
        self, function: str, path: str, kind: str, body: bytes, name: str, some: Random
    ) -> bool:
        post = self.ground.post
        answer = self.perform(name, some, lambda: post(function, path, kind, body))
        self._timers_soon()
        return answer is not None and answer.ok

    def _refusing(self) -> bool:
        task = tasks.current()
        if task is None or task.lots.random() >= self.weather.refusals:
            return False
        self._relay_soon()
        return True

    def _webhook(self, vendor: str, path: str, body: bytes) -> None:
        """A vendor's webhook: repeated and late, and Chargebee's may never come."""
        self._webhooks += 1
        name = f"webhook {vendor} {self._webhooks}"
        some, tries = lots(self.seed, name), list[None]()

        def send() -> None:
            tries.append(None)
            status = self.perform(
                f"{name} {len(tries)}",
                some,
                lambda: self.ground.webhook(vendor, path, body),
                "work.commit:after",
            )
            if status != 204:
                assert len(tries) < _MOST_TRIES, f"{name}: {status}"
                self.agenda.at(self.agenda.now + timedelta(minutes=2), send)

        if self.weather.calm:
            self.agenda.at(self.agenda.now, send)
            return
        if vendor == "chargebee" and some.random() < self.weather.refusals:
            self.trail.note(self.agenda.now, f"{name} is lost", body.decode())
            return
        for _ in range(1 + (some.random() < 0.2)):
            late = some.random() < self.weather.late
            delay = some.random() * timedelta(seconds=20) + late * timedelta(hours=2)
            self.agenda.at(self.agenda.now + delay, send, tie=some.random())

    # Crons, when there may be something for them

    def _cron_at(self, at: datetime, function: str, name: str, follow: Callable[..., None]) -> None:
        """Run a cron at `at`, unless it is to run by then anyway."""
        planned = self._planned.get(name)
        if planned is not None and planned <= at:
            return
        self._planned[name] = at

        def run() -> None:
            if self._planned.get(name) != at:
                return
            del self._planned[name]
            some = lots(self.seed, name, at)
            post = self.ground.post
            answer = self.perform(
                f"{name} {at}", some, lambda: post(function, f"/crons/{name}", "scheduler")
            )
            follow(answer)

        self.agenda.at(at, run, joins=not self.weather.calm)

    def _relay_soon(self) -> None:
        at = _ceiled(self.agenda.now, timedelta(minutes=1))

        def follow(answer: Any) -> None:
            self._relays += 1
            assert self._relays < _MOST_RELAYS, "the outbox never becomes empty"
            if answer is None or "X-Idle-Until" not in answer.headers:
                self._relay_soon()

        self._cron_at(at, "outbox_relay", "outbox_drains", follow)

    def _timers_soon(self) -> None:
        if self.agenda.now < ENDS:
            at = _ceiled(self.agenda.now, _TIMERS_LOOK)
            self._cron_at(at, "reminder_scheduler", "timers_queue", self._timers_follow)

    def _timers_follow(self, answer: Any) -> None:
        until = answer.headers.get("X-Idle-Until") if answer is not None and answer.ok else None
        if until is None:
            self._timers_soon()
        elif until != "never":
            at = max(datetime.fromisoformat(until), self.agenda.now + timedelta(minutes=1))
            if at < ENDS:
                self._cron_at(at, "reminder_scheduler", "timers_queue", self._timers_follow)

    def _polls_soon(self) -> None:
        if self.weather.calm:
            return
        self._poll(_ceiled(self.agenda.now, _POLLS))

    def _poll(self, at: datetime) -> None:
        def follow(answer: Any) -> None:
            if answer is None or not answer.ok:
                self._poll(_ceiled(self.agenda.now, timedelta(minutes=1)))

        self._cron_at(at, "billing_agent", "chargebee_sync", follow)


def _ceiled(at: datetime, step: timedelta) -> datetime:
    """The next multiple of `step` after `at`."""
    since = at - OPENS
    return OPENS + (since // step + 1) * step
