"""The side effects of the machinery by name: wherever a process may die, and what a trace shows.

Everything that is seen outside the process happens in a step: a message to Postgres that claims or
commits, a publish, a vendor call, a task, a mirror's document, an answer. A step has a point before
and a point after it. Proofs watch the points (`use`) and end the process there; in production
nobody watches. It is also a span of the trace, from point to point.
"""

from collections.abc import Callable
from enum import StrEnum
from types import TracebackType
from typing import Any, TypeVar

from shared.platform.telemetry import traces
from shared.platform.telemetry.traces import Kind, Value

Watch = Callable[[str], None]
R = TypeVar("R", bound=Any)


class Step(StrEnum):
    """All there are. `<step>:before` and `<step>:after` are its points."""

    INBOX_CLAIM = "inbox.claim"
    """The message that opens a reaction's transaction and claims the event."""
    INBOX_COMMIT = "inbox.commit"
    INTENT_CLAIM = "intent.claim"
    """The message that opens an effect's first transaction and leases its intent."""
    INTENT_COMMIT = "intent.commit"
    INTENT_REOPEN = "intent.reopen"
    """The lease is given back after a call that failed."""
    INTENT_CALL_AGAIN = "intent.call_again"
    """A call that did not happen is noted as made once more."""
    VENDOR_FIND = "vendor.find"
    VENDOR_CALL = "vendor.call"
    RESULT_CLAIM = "result.claim"
    """The message that opens an effect's second transaction and closes its intent."""
    RESULT_COMMIT = "result.commit"
    TIMER_FIRE = "timer.fire"
    """The message that opens a timer's transaction and marks it fired."""
    TIMER_COMMIT = "timer.commit"
    TIMER_PARK = "timer.park"
    WORK_COMMIT = "work.commit"
    """The commit of a transaction that claims nothing: a portal's command, a webhook, a cron."""
    OUTBOX_CLAIM = "outbox.claim"
    """Unsent events are leased, other than by the commit that wrote them."""
    OUTBOX_PUBLISH = "outbox.publish"
    OUTBOX_MARK = "outbox.mark"
    """What was published is marked as sent, and what came after it is leased."""
    TASK_CREATE = "task.create"
    MIRROR_WRITE = "mirror.write"
    LETTER_PARK = "letter.park"
    LETTER_REPLAYED = "letter.replayed"
    PRUNE = "prune"
    """The commit of one batch of a clean-up."""
    ANSWER = "answer"
    """The response: of a push or a task it is the acknowledgement."""


_watch: Watch | None = None


def use(watch: Watch | None) -> None:
    """Let `watch` be told every point that is reached, in the thread that reaches it."""
    global _watch  # noqa: PLW0603 -- one process has one watch
    _watch = watch


def _reached(step: Step, side: str) -> None:
    if _watch is not None:
        _watch(f"{step}:{side}")


def answered(response: R) -> R:
    """Take the step of answering: it ends when the server has sent `response` (werkzeug's)."""
    if _watch is not None:
        _reached(Step.ANSWER, "before")
        response.call_on_close(lambda: _reached(Step.ANSWER, "after"))
    return response


_POSTGRES = Kind.CLIENT, {"db.system.name": "postgresql"}
_OTHERS: dict[Step, tuple[Kind, dict[str, Value]]] = {
    Step.VENDOR_FIND: (Kind.INTERNAL, {}),
    Step.VENDOR_CALL: (Kind.INTERNAL, {}),
    Step.OUTBOX_PUBLISH: (Kind.PRODUCER, {"messaging.system": "gcp_pubsub"}),
    Step.TASK_CREATE: (Kind.CLIENT, {}),
    Step.MIRROR_WRITE: (Kind.CLIENT, {"db.system.name": "gcp.firestore"}),
}
"""How the span of a step is described, where it is not a message to Postgres."""


class taking:  # noqa: N801 -- reads as a statement: `with taking(Step.OUTBOX_PUBLISH):`
    """A step while it is taken; one that fails does not reach its point after."""

    __slots__ = ("_span", "_step")

    def __init__(self, step: Step) -> None:
        self._step = step

    def __enter__(self) -> traces.Child:
        _reached(self._step, "before")
        kind, attributes = _OTHERS.get(self._step, _POSTGRES)
        self._span = traces.child(self._step, kind, attributes)
        return self._span.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._span.__exit__(kind, error, trace)
        if kind is None:
            _reached(self._step, "after")
