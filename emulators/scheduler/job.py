"""A job at work: its next run, its retries, and its sleep while nothing happens."""

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from google.cloud import scheduler_v1

from emulators.agenda import Entry
from emulators.api.times import stamp
from emulators.clock import from_micros, micros
from emulators.engine import Ground
from emulators.http_target import Reply, backoff
from emulators.scheduler import rules
from emulators.scheduler.schedule import Schedule

log = logging.getLogger(__name__)
JobMessage: Any = scheduler_v1.Job.pb()
Send = Callable[[Any, datetime], Any]


@dataclass
class Progress:
    """What the API does not show of a job. Instants are microseconds since the epoch, or 0."""

    runs: int = 0
    skipped: int = 0
    """Instants of the schedule passed over because nothing could have been found."""
    scheduled: int = 0
    """The instant of the schedule that the execution under way, or the last one, is for."""
    failures: int = 0
    """Failed attempts of the execution under way."""
    first_attempt: int = 0
    asleep_since: int = 0
    last: str = ""
    """How the last attempt ended, for the console."""


@dataclass
class Sleep:
    """A job's last run found nothing, so that its next runs are skipped."""

    since: datetime
    until: datetime | None
    """The instant at which it runs in any case; None is never."""
    sees: str
    """The one source whose changes it could find; empty for all."""
    activity: int
    quiet: datetime
    """Up to here nothing has happened."""


@dataclass(eq=False)
class Job:
    """One enabled or paused job; `save` makes its state durable."""

    ground: Ground
    message: Any
    cron: Schedule
    send: Send
    save: Callable[["Job"], None]
    progress: Progress = field(default_factory=Progress)
    _entry: Entry | None = None
    _sleep: Sleep | None = None
    _running: set[asyncio.Task[None]] = field(default_factory=set)
    _revision: int = 0
    _sees: str = ""
    """What the last run that found nothing said it could see."""

    def to_bytes(self) -> bytes:
        message: bytes = self.message.SerializeToString()
        return json.dumps(asdict(self.progress)).encode() + b"\n" + message

    @staticmethod
    def parts(value: bytes) -> tuple[Any, Progress]:
        """The message and the progress that `to_bytes` wrote."""
        progress, _, message = value.partition(b"\n")
        return JobMessage.FromString(message), Progress(**json.loads(progress))

    @property
    def is_enabled(self) -> bool:
        return bool(self.message.state == scheduler_v1.Job.State.ENABLED)

    @property
    def is_asleep(self) -> bool:
        return self._sleep is not None

    @property
    def skipped(self) -> int:
        """Instants skipped up to now."""
        asleep = 0
        if self._sleep is not None:
            asleep = self.cron.between(self._sleep.since, self.ground.clock.now())
        return self.progress.skipped + asleep

    def shown(self) -> Any:
        """The message for the API; a sleeping job shows its schedule's next instant."""
        message = JobMessage()
        message.CopyFrom(self.message)
        if self._sleep is not None:
            stamp(message.schedule_time, self.cron.after(self.ground.clock.now()))
        return message

    def enable(self) -> None:
        """Run from now on by the schedule."""
        self.message.state = scheduler_v1.Job.State.ENABLED
        self.progress.failures = 0
        self._plan_after(self.ground.clock.now())

    def take_up(self) -> None:
        """Go on after a restart; a run that was missed or cut off is made now."""
        since, self.progress.asleep_since = self.progress.asleep_since, 0
        if not self.is_enabled:
            return
        if since:
            following = self.cron.after(self.ground.clock.now())
            self.progress.skipped += self.cron.between(from_micros(since), following)
            self._plan(following)
            return
        when = self.message.schedule_time.ToDatetime(UTC)
        if self.progress.failures:
            scheduled = from_micros(self.progress.scheduled)
            self._entry = self._at(when, lambda: self._start(scheduled))
        else:
            self._plan(when)

    def disarm(self) -> None:
        """Make no further runs; one under way ends without effect on the schedule."""
        self._revision += 1
        self._wake_at(self.ground.clock.now())
        self._cancel()
        self.message.ClearField("schedule_time")

    def force(self) -> None:
        """Run once now, beside the schedule."""
        self._start(self.ground.clock.now(), is_forced=True)

    def close(self) -> list[asyncio.Task[None]]:
        """Stop abruptly; answers the attempts that were under way, cancelled."""
        self._cancel()
        for attempt in self._running:
            attempt.cancel()
        return list(self._running)

    def look(self) -> None:
        """Wake up if anything happened: the next run is the first due since it did."""
        sleep = self._sleep
        if sleep is None:
            return
        if self.ground.agenda.activity_of(sleep.sees) == sleep.activity:
            sleep.quiet = self.ground.clock.now()
            return
        following = self.cron.after(sleep.quiet)
        when = following if sleep.until is None else min(following, sleep.until)
        self._wake_at(when)
        self._plan(when)
        self.save(self)

    def _wake_at(self, when: datetime) -> None:
        if self._sleep is not None:
            self.progress.skipped += self.cron.between(self._sleep.since, when)
        self._sleep = None
        self.progress.asleep_since = 0

    def _cancel(self) -> None:
        if self._entry is not None:
            self._entry.cancel()
            self._entry = None

    def _at(self, when: datetime, action: Callable[[], None]) -> Entry:
        self._cancel()
        return self.ground.agenda.at(when, action, f"job {self.message.name.rpartition('/')[2]}")

    def _plan_after(self, base: datetime) -> None:
        self._plan(self.cron.after(base))
        self.save(self)

    def _plan(self, when: datetime) -> None:
        stamp(self.message.schedule_time, when)
        self._entry = self._at(when, lambda: self._begin(when))

    def _begin(self, scheduled: datetime) -> None:
        self._wake_at(scheduled)
        self.progress.runs += 1
        self.progress.scheduled = micros(scheduled)
        self.progress.first_attempt = micros(self.ground.clock.now())
        self._start(scheduled)

    def _start(self, scheduled: datetime, is_forced: bool = False) -> None:
        if not is_forced:
            self._entry = None
        stamp(self.message.last_attempt_time, self.ground.clock.now())
        attempt = self.ground.agenda.start(self._attempt(scheduled, is_forced))
        self._running.add(attempt)

    async def _attempt(self, scheduled: datetime, is_forced: bool) -> None:
        # Taken before the run: what happens while it runs may have come too late for it.
        sees, revision = self._sees, self._revision
        activity = self.ground.agenda.activity_of(sees)
        reply: Reply = await self.send(self.message, scheduled)
        if (current := asyncio.current_task()) is not None:
            self._running.discard(current)
        self.message.status.code = reply.status_code
        self.message.status.message = reply.message
        self.progress.last = str(reply.status or reply.code.name)
        if revision != self._revision:
            self.save(self)
            return
        if is_forced:
            self._conclude_forced(reply, scheduled)
            return
        # A run that began late takes the place of all instants up to its beginning.
        base = max(scheduled, from_micros(self.progress.first_attempt))
        if not reply.ok and self._retry(reply, scheduled, base):
            return
        self.progress.failures = 0
        idle = _idle_until(reply) if reply.ok else None
        if idle is not None:
            self._sees = reply.headers.get("X-Idle-Unless", "").strip()
        if idle is None or sees != self._sees or not self._fall_asleep(base, idle, activity):
            self._plan_after(base)

    def _conclude_forced(self, reply: Reply, started: datetime) -> None:
        """Retry a failed forced run as any other, unless a run of the schedule is under way."""
        is_busy = self.progress.failures > 0 or (self._entry is None and not self.is_asleep)
        if not reply.ok and self.is_enabled and not is_busy:
            self.progress.scheduled = self.progress.first_attempt = micros(started)
            if self._retry(reply, started, started):
                self._wake_at(self.ground.clock.now())
            else:
                self.progress.failures = 0
        self.save(self)

    def _retry(self, reply: Reply, scheduled: datetime, base: datetime) -> bool:
        """Plan another attempt, unless the limits are reached or the next run is due earlier.

        A 503 from App Engine is a system error: always retried, and not counted.
        """
        is_app_engine = self.message.WhichOneof("target") == "app_engine_http_target"
        is_counted = not (is_app_engine and reply.status == 503)
        self.progress.failures += is_counted
        now, retry = self.ground.clock.now(), self.message.retry_config
        since_first = now - from_micros(self.progress.first_attempt)
        if is_counted and rules.is_exhausted(retry, self.progress.failures, since_first):
            return False
        wait = backoff(
            retry.min_backoff_duration.ToTimedelta(),
            retry.max_backoff_duration.ToTimedelta(),
            retry.max_doublings,
            max(self.progress.failures, 1),
        )
        if wait >= self.cron.after(base) - now:
            return False
        stamp(self.message.schedule_time, now + wait)
        self._entry = self._at(now + wait, lambda: self._start(scheduled))
        self.save(self)
        return True

    def _fall_asleep(self, base: datetime, until: datetime, activity: int) -> bool:
        """Skip the runs before `until`; False if something has happened or none would be."""
        now = self.ground.agenda.activity_of(self._sees)
        if activity != now or until <= self.cron.after(base):
            return False
        run = None if until == _NEVER else self.cron.from_(until)
        self._sleep = Sleep(base, run, self._sees, activity, self.ground.clock.now())
        self.progress.asleep_since = micros(base)
        self.message.ClearField("schedule_time")
        if run is not None:
            self._entry = self._at(run, lambda: self._begin(run))
        self.save(self)
        return True


_NEVER = datetime.max.replace(tzinfo=UTC)


def _idle_until(reply: Reply) -> datetime | None:
    """The instant of `X-Idle-Until`, `_NEVER` for `never`, None when it is absent or unreadable."""
    text = reply.headers.get("X-Idle-Until", "").strip()
    if text.lower() == "never":
        return _NEVER
    try:
        instant = datetime.fromisoformat(text) if text else None
    except ValueError:
        log.warning("X-Idle-Until is no instant: %s", text)
        return None
    if instant is None:
        return None
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
