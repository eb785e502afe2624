"""A queue at work: which task is dispatched when, and what becomes of it."""

import asyncio
import json
import math
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import grpc
from google.cloud import tasks_v2

from emulators.agenda import Entry
from emulators.api.times import stamp
from emulators.engine import Ground
from emulators.faults import FaultKind
from emulators.http_target import Reply, backoff
from emulators.tasks import calls, rules

TaskMessage: Any = tasks_v2.Task.pb()
_SLACK = 1e-6
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(eq=False)
class Record:
    """A task that is neither done nor deleted, with what the API does not show of it."""

    task: Any
    number: int
    """Order of creation."""
    is_named: bool = False
    """The caller chose the name, so it stays taken for a while after the task's end."""
    executions: int = 0
    """Responses received that were not 5xx, as X-CloudTasks-TaskExecutionCount tells them."""
    previous: int | None = None
    """HTTP status of the last response, if the last attempt got one."""
    reason: str = ""
    """How the last attempt failed."""
    forced: datetime | None = None
    """When RunTask was called, if the attempt under way is its."""
    entry: Entry | None = None
    is_ready: bool = False
    is_gone: bool = False

    @property
    def name(self) -> str:
        name: str = self.task.name
        return name

    def to_bytes(self) -> bytes:
        extra = [self.number, self.is_named, self.executions, self.previous, self.reason]
        task: bytes = self.task.SerializeToString()
        return json.dumps(extra).encode() + b"\n" + task

    @classmethod
    def from_bytes(cls, value: bytes) -> "Record":
        extra, _, task = value.partition(b"\n")
        return cls(TaskMessage.FromString(task), *json.loads(extra))


@dataclass
class TokenBucket:
    """Limits dispatches per second of virtual time."""

    now: Callable[[], datetime]
    tokens: float = math.inf
    filled: datetime = _LONG_AGO

    def take(self, rate: float, burst: int) -> float:
        """Take a token and answer 0, or answer the seconds until there is one."""
        now = self.now()
        grown = max((now - self.filled).total_seconds(), 0) * rate
        self.tokens, self.filled = min(self.tokens + grown, burst), now
        if self.tokens < 1 - _SLACK:
            return (1 - self.tokens) / rate
        self.tokens -= 1
        return 0


@dataclass
class Queue:
    """Dispatches its tasks within its limits; `save` and `finish` tell the engine."""

    ground: Ground
    message: Any
    save: Callable[[Record], None]
    finish: Callable[[Record, Reply], None]
    """Called once when a task was executed or given up, with the last reply."""
    tasks: dict[str, Record] = field(default_factory=dict)
    """By name, oldest first."""
    _ready: deque[Record] = field(default_factory=deque)
    _running: set[asyncio.Task[None]] = field(default_factory=set)
    _refill: Entry | None = None

    def __post_init__(self) -> None:
        self._bucket = TokenBucket(self.ground.clock.now)

    @property
    def is_running(self) -> bool:
        return bool(self.message.state == tasks_v2.Queue.State.RUNNING)

    def add(self, record: Record) -> None:
        """Take a task in; if it is due, its dispatch starts now, as far as the limits allow."""
        self.tasks[record.name] = record
        self._schedule(record)

    def remove(self, record: Record) -> None:
        """Forget a task; an attempt under way goes on without effect here."""
        record.is_gone = True
        self.tasks.pop(record.name, None)
        self._unschedule(record)

    def run(self, record: Record) -> None:
        """Dispatch a task at once, whatever its time and the queue's limits and state."""
        self._unschedule(record)
        record.forced = self.ground.clock.now()
        stamp(record.task.schedule_time, record.forced)
        self._start(record)

    def expire(self) -> None:
        """Delete the tasks that are too old, dispatched or not."""
        now = self.ground.clock.now()
        while self.tasks:
            oldest = next(iter(self.tasks.values()))
            if rules.expiry(oldest.task) > now:
                return
            self._end(oldest, Reply(None, grpc.StatusCode.CANCELLED, "The task was too old."))

    def pump(self) -> None:
        """Start what is ready, within the queue's limits."""
        self.expire()
        limits = self.message.rate_limits
        while self._ready and self.is_running and self._refill is None:
            if not self._ready[0].is_ready:
                self._ready.popleft()
                continue
            if len(self._running) >= limits.max_concurrent_dispatches:
                return
            wait = self._bucket.take(limits.max_dispatches_per_second, limits.max_burst_size)
            if wait:
                self._pump_after(wait)
                return
            record = self._ready.popleft()
            record.is_ready = False
            self._start(record)

    def reconsider(self) -> None:
        """Take changed limits or a changed state into account."""
        if self._refill is not None:
            self._refill.cancel()
            self._refill = None
        self.pump()

    def close(self) -> list[asyncio.Task[None]]:
        """Stop abruptly; answers the attempts that were under way, cancelled."""
        entries = [record.entry for record in self.tasks.values()] + [self._refill]
        for entry in entries:
            if entry is not None:
                entry.cancel()
        for attempt in self._running:
            attempt.cancel()
        return list(self._running)

    def _pump_after(self, seconds: float) -> None:
        wait = math.ceil(seconds * 1e6) / 1e6
        self._refill = self.ground.agenda.after(wait, self.reconsider, f"refill {self._id}")

    @property
    def _id(self) -> str:
        return str(self.message.name.rpartition("/")[2])

    def _unschedule(self, record: Record) -> None:
        record.is_ready = False
        if record.entry is not None:
            record.entry.cancel()
            record.entry = None

    def _schedule(self, record: Record) -> None:
        self._unschedule(record)
        when = record.task.schedule_time.ToDatetime(UTC)
        if when <= self.ground.clock.now():
            self._fall_due(record)
            return
        name = f"task {self._id}/{record.name.rpartition('/')[2]}"
        record.entry = self.ground.agenda.at(when, lambda: self._fall_due(record), name)

    def _fall_due(self, record: Record) -> None:
        """Its time has come, but a fault may hold it back."""
        url = record.task.http_request.url
        fault = self.ground.faults.struck("tasks", url, FaultKind.DELAY, FaultKind.REORDER)
        if fault is None:
            self._make_ready(record)
            return
        record.entry = self.ground.agenda.after(
            fault.holds_back(), lambda: self._make_ready(record), "late task"
        )

    def _make_ready(self, record: Record) -> None:
        record.entry = None
        record.is_ready = True
        self._ready.append(record)
        self.pump()

    def _start(self, record: Record) -> None:
        task, now = record.task, self.ground.clock.now()
        task.dispatch_count += 1
        task.last_attempt.Clear()
        task.last_attempt.schedule_time.CopyFrom(task.schedule_time)
        stamp(task.last_attempt.dispatch_time, now)
        if not task.HasField("first_attempt"):
            stamp(task.first_attempt.dispatch_time, now)
        attempt = self.ground.agenda.start(self._attempt(record))
        self._running.add(attempt)

    async def _attempt(self, record: Record) -> None:
        facts = self._facts(record)
        reply = await calls.send(self.ground, self.message, record.task, facts)
        if reply.ok and self._is_doubled(record):
            await calls.send(self.ground, self.message, record.task, facts)
        if (current := asyncio.current_task()) is not None:
            self._running.discard(current)
        if not record.is_gone:
            self._conclude(record, reply)
        self.pump()

    def _is_doubled(self, record: Record) -> bool:
        url = record.task.http_request.url
        return self.ground.faults.strike("tasks", url, FaultKind.DUPLICATE) is not None

    def _conclude(self, record: Record, reply: Reply) -> None:
        task, now = record.task, self.ground.clock.now()
        record.previous, record.reason = reply.status, reply.message
        if reply.status is not None:
            task.response_count += 1
            record.executions += reply.status < 500
        stamp(task.last_attempt.response_time, now)
        task.last_attempt.response_status.code = reply.status_code
        task.last_attempt.response_status.message = reply.message
        retry = task.retry_config if task.HasField("retry_config") else self.message.retry_config
        first = task.first_attempt.dispatch_time.ToDatetime(UTC)
        if reply.ok or rules.is_exhausted(retry, task.dispatch_count, now - first):
            self._end(record, reply)
            return
        wait = backoff(
            retry.min_backoff.ToTimedelta(),
            retry.max_backoff.ToTimedelta(),
            retry.max_doublings,
            task.dispatch_count,
        )
        since, record.forced = record.forced or now, None
        wait = min(max(wait, _retry_after(reply, now)), rules.RETENTION)
        again = max(since + wait, now)
        if again > rules.expiry(task):
            self._end(record, reply)
            return
        stamp(task.schedule_time, again)
        self.save(record)
        self._schedule(record)

    def _end(self, record: Record, reply: Reply) -> None:
        self.remove(record)
        self.finish(record, reply)

    def _facts(self, record: Record) -> dict[str, str]:
        """The headers about an attempt, by their names without X-CloudTasks- or X-AppEngine-."""
        task = record.task
        is_http = task.WhichOneof("message_type") == "http_request"
        eta = task.schedule_time
        facts = {
            "QueueName": self._id,
            "TaskName": record.name.rpartition("/")[2],
            "TaskRetryCount": str(task.dispatch_count - 1),
            "TaskExecutionCount": str(record.executions if is_http else task.response_count),
            "TaskETA": f"{eta.seconds}.{eta.nanos // 1000:06d}",
        }
        if record.reason:  # as recorded from the service, where the reason of HTTP tasks is empty
            silence = (504, "") if is_http else (0, "Instance Unavailable")
            answer = (record.previous, "" if is_http else "App Error")
            previous, reason = silence if record.previous is None else answer
            facts |= {"TaskPreviousResponse": str(previous), "TaskRetryReason": reason}
        return facts


def _retry_after(reply: Reply, now: datetime) -> timedelta:
    """The wait a worker asks for, in seconds or as an HTTP date; considered on 429 and 503."""
    text = reply.headers.get("Retry-After", "").strip()
    if reply.status not in (429, 503) or not text:
        return timedelta()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return timedelta(seconds=int(text))
    try:
        return parsedate_to_datetime(text).astimezone(UTC) - now
    except (ValueError, TypeError, OverflowError):
        return timedelta()
