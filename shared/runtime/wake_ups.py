"""Timers become Cloud Tasks shortly before they are due, and anew when a task was lost."""

from collections.abc import Callable
from datetime import datetime, timedelta

from shared.kernel.errors import VendorUnavailable
from shared.kernel.ids import TimerId
from shared.kernel.work import Effect, Idle, Work
from shared.platform import tasks, timers
from shared.platform.telemetry import log
from shared.platform.timers import HORIZON, Waiting
from shared.platform.unit_of_work import sql

GRACE = timedelta(minutes=10)
"""How long after its time (and after it was made) a task counts as lost."""

Create = Callable[[TimerId, int, str, datetime], None]


def cloud_tasks() -> Create:
    """What makes the tasks; making one twice is harmless."""
    return tasks.create_wake_up


def _due(_: None, work: Work) -> list[Waiting]:
    timers.requeue_lost(sql(work), work.now - GRACE)
    return timers.due_soon(sql(work), work.now + HORIZON)


def _queue(due: list[Waiting], create: Create, _: str) -> list[Waiting]:
    """Answers the timers that have a task now; the rest have theirs in the next round.

    A timer whose task cannot be made stops no other. An outage stops the round; raises
    `VendorUnavailable` when nothing was made before it, so that the round is tried again soon.
    """
    from google.api_core.exceptions import BadRequest, GoogleAPICallError, RetryError

    made: list[Waiting] = []
    for timer in due:
        try:
            create(timer.id, timer.version, timer.kind, timer.due_at)
        except (KeyError, BadRequest) as error:
            log.error("timer_not_queued", kind=timer.kind, error=type(error).__name__)
        except (GoogleAPICallError, RetryError) as error:
            log.warning("tasks_away", error=type(error).__name__)
            if not made:
                raise VendorUnavailable("tasks", "away") from error
            break
        else:
            made.append(timer)
    return made


def _mark(made: list[Waiting], _: None, work: Work) -> Idle | None:
    timers.mark_queued(sql(work), made, work.now)
    return None if made else Idle(_next_look(work))


def _next_look(work: Work) -> datetime | None:
    """From when there may be something to do although nothing changed."""
    unqueued, queued = timers.next_unqueued(sql(work)), timers.next_queued(sql(work))
    looks = [unqueued - HORIZON] if unqueued else []
    looks += [queued + GRACE] if queued else []
    return min(looks, default=None)


queueing = Effect(_due, _queue, _mark)
"""For `Agent.polls`: the tasks are made outside any transaction."""
