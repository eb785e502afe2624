"""An agent: a function that reacts to events, timers and the clock.

A function's `main.py` declares handlers on an `Agent` and exposes `agent.function`, which
functions-framework serves. Triggers: POST /events (Pub/Sub push), /timers (Cloud Tasks),
/crons/<name> (Cloud Scheduler), /parked (what Pub/Sub gave up on), /dead-letters (an operator, see
`runtime.replay`). Each verifies the OIDC token of its own sender first.
"""

from collections import defaultdict
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from flask import Request, Response

from shared.kernel import clock
from shared.kernel.errors import DomainError, NotFound, RuleViolated
from shared.kernel.event import Event
from shared.kernel.work import Effect, Idle, Mirroring, Timer, Work
from shared.platform import dead_letters, steps, timers
from shared.platform.dead_letters import DeadLetter
from shared.platform.settings import refuse_emulators_in_production
from shared.platform.telemetry import log
from shared.runtime import auth, messages, parking, problems, replay, tracing
from shared.runtime.handlers import (
    Cron,
    Handling,
    Mirror,
    Reaction,
    TimerHandler,
    VendorCall,
    VendorCron,
    Vendors,
    run_timer,
)

Handler = Callable[..., Any]
_LONGEST_BODY = 16 << 20
"""Pub/Sub takes messages of 10 MB (https://cloud.google.com/pubsub/quotas), a third more in base64.

What it can push must be read, or it could not be parked.
"""


def _no_vendors() -> Any:
    raise LookupError("this agent declares no vendors")


class Agent:
    """The declarations of one function, and the edge that runs them.

    `vendors` makes the clients its effects need; it is called on first use, once.
    """

    def __init__(self, name: str, vendors: Vendors = _no_vendors) -> None:
        refuse_emulators_in_production()
        self.name = name
        self._make_vendors = vendors
        self._vendors: Any = None
        self.handlers: dict[str, Handling] = {}
        self.timers: dict[str, TimerHandler] = {}
        self.crons: dict[str, Cron | VendorCron] = {}
        self.parks = False
        self._by_type: dict[str, list[tuple[type[Event], Handling]]] = defaultdict(list)

    def reacts(self, *events: type[Event]) -> Callable[[Handler], Handler]:
        """Declare a reaction: `(event, work)`, Postgres only, in effect exactly once."""

        def declare(handle: Handler) -> Handler:
            self._add(Reaction(handle.__name__, events, handle))
            return handle

        return declare

    def effects(self, name: str, effect: Effect[Any, Any], *events: type[Event]) -> None:
        """Declare that a vendor is told about `events`, once each."""
        self._add(VendorCall(name, events, effect, self.vendors))

    def mirrors(self, name: str, mirroring: Mirroring[Any], *events: type[Event]) -> None:
        """Declare that something outside follows `events`; repeating that changes nothing."""
        self._add(Mirror(name, events, mirroring, self.vendors))

    def timer(self, kind: str) -> Callable[[Handler], Handler]:
        """Declare who handles timers of a kind: `(timer, work)`."""

        def declare(handle: Callable[[Timer, Work], None]) -> Handler:
            self.timers[kind] = TimerHandler(handle.__name__, kind, handle)
            return handle

        return declare

    def cron(self, schedule: str) -> Callable[[Handler], Handler]:
        """Declare work by the clock (unix cron, UTC): `(work)`, answering `Idle` or None."""

        def declare(handle: Callable[[Work], Idle | None]) -> Handler:
            self.crons[handle.__name__] = Cron(handle.__name__, schedule, handle)
            return handle

        return declare

    def polls(
        self, name: str, schedule: str, effect: Effect[Any, Any], sees: str | None = None
    ) -> None:
        """Declare that a vendor is asked by the clock; recording an answer twice is harmless.

        `sees` names the vendor when it finds nothing but what changed there.
        """
        self.crons[name] = VendorCron(name, schedule, effect, self.vendors, sees)

    def parks_dead_letters(self) -> None:
        """Declare that this function takes what Pub/Sub gave up on and parks it."""
        self.parks = True

    def _add(self, handler: Handling) -> None:
        self.handlers[handler.name] = handler
        for event in handler.events:
            self._by_type[event.type].append((event, handler))

    def vendors(self) -> Any:
        if self._vendors is None:
            self._vendors = self._make_vendors()
        return self._vendors

    @property
    def function(self) -> Callable[[Request], Response]:
        """The function-framework target: a plain function of an HTTP request."""

        def serve(request: Request) -> Response:
            return steps.answered(tracing.serving(self.name, self._serve, request))

        serve.__name__ = self.name
        return serve

    def _serve(self, request: Request) -> Response:
        trigger, _, rest = request.path.strip("/").partition("/")
        serve = {
            "events": self._serve_event,
            "timers": self._serve_timer,
            "crons": self._serve_cron,
            "parked": self._serve_parked,
            "dead-letters": self._serve_replay,
        }.get(trigger)
        if request.method == "GET" and trigger in ("", "healthz"):
            return Response(status=200)
        if serve is None or (request.method != "POST" and trigger != "dead-letters"):
            return problems.problem(404, "not-found", "There is no such trigger.")
        if (request.content_length or 0) > _LONGEST_BODY:
            return problems.problem(413, "too-large", "The body is larger than any message.")
        try:
            return serve(request, rest)
        except DomainError as error:
            return problems.of_domain_error(error)
        except Exception as error:  # noqa: BLE001 -- the edge: everything becomes an answer
            return problems.of_anything(error)

    def _serve_event(self, request: Request, _: str) -> Response:
        auth.require_service(request.headers, self.name, "pubsub")
        self._deliver(request.get_data())
        return Response(status=204)

    def _deliver(self, body: bytes, only: str = "", attempt: int | None = None) -> list[DeadLetter]:
        """Run the handlers of a push (or the one named `only`), whatever becomes of the others.

        One that cannot succeed is parked under its name. What can is tried again: then the first
        such error is raised in the end. Answers what was parked.
        """
        push = messages.Push({}, b"", 1)
        try:
            push = messages.read_push(body)
            declared = self._declared(push, only)
        except messages.Malformed as error:
            return [self._park("", "/events", error, push, body)]
        parked: list[DeadLetter] = []
        again: Exception | None = None
        with tracing.consuming(push, [handler.name for _, handler in declared]) as span:
            for kind, handler in declared:
                try:
                    with tracing.handling(handler.name, len(declared)):
                        handler.run(self.name, messages.read_event(push, kind))
                except Exception as error:  # noqa: BLE001 -- judged, then parked or raised
                    span.fail(type(error).__name__)
                    if parking.hopeless(error, attempt or push.attempt):
                        parked.append(self._park(handler.name, "/events", error, push, body))
                    else:
                        again = again or error
        if again is not None:
            raise again
        return parked

    def _declared(self, push: messages.Push, only: str) -> list[tuple[type[Event], Handling]]:
        """Who handles the type of a push. Raises `Malformed` for one that does not say its type."""
        found = self._by_type.get(push.type, [])
        return [(kind, handler) for kind, handler in found if only in ("", handler.name)]

    def _park(
        self, handler: str, path: str, error: Exception, push: messages.Push, body: bytes
    ) -> DeadLetter:
        """Keep a message under the id of its event, or under its own where that makes no sense."""
        event = "" if isinstance(error, messages.Malformed) else push.attributes.get("ce-id", "")
        what = event or push.message_id or sha256(body).hexdigest()
        return self._keep(self.name, handler, path, parking.reason(error), push, body, what)

    def _keep(
        self,
        function: str,
        handler: str,
        path: str,
        reason: str,
        push: messages.Push,
        body: bytes,
        what: str,
    ) -> DeadLetter:
        letter = DeadLetter(
            dead_letters.letter_id(function, handler, path, what),
            function,
            handler,
            path,
            reason,
            push.attributes,
            body,
            clock.now(),
        )
        dead_letters.park(letter)
        log.error("parked", function=function, handler=handler, reason=reason)
        return letter

    def _serve_timer(self, request: Request, _: str) -> Response:
        auth.require_service(request.headers, self.name, "tasks")
        tries = request.headers.get("X-CloudTasks-TaskRetryCount", "0")
        self._wake(request.get_data(), 1 + int(tries) if tries.isdecimal() else 1)
        return Response(status=204)

    def _wake(self, body: bytes, attempt: int) -> list[DeadLetter]:
        """Fire the timer that a task names, or park the task. Answers what was parked."""
        try:
            run_timer(self.name, self.timers, *messages.read_task(body))
        except Exception as error:
            if not parking.hopeless(error, attempt):
                raise
            letter = self._park("", "/timers", error, messages.Push({}, b"", attempt), body)
            if not isinstance(error, messages.Malformed):
                timers.park(*messages.read_task(body))
            return [letter]
        return []

    def _serve_cron(self, request: Request, name: str) -> Response:
        auth.require_service(request.headers, self.name, "scheduler")
        if name not in self.crons:
            raise NotFound("not-found", "There is no such cron.")
        cron = self.crons[name]
        tracing.named(name)
        idle = cron.run(self.name)
        response = Response(status=204)
        if idle is not None:
            response.headers["X-Idle-Until"] = idle.until.isoformat() if idle.until else "never"
            if cron.sees is not None:
                response.headers["X-Idle-Unless"] = cron.sees
        return response

    def _serve_parked(self, request: Request, _: str) -> Response:
        """What Pub/Sub gave up on was away for long: what cannot succeed was parked before.

        So it is published anew, for as long as `parking.PUBLISHED_ANEW` after it happened.
        """
        if not self.parks:
            raise NotFound("not-found", "There is no such trigger.")
        auth.require_service(request.headers, self.name, "pubsub")
        body = request.get_data()
        try:
            push = messages.read_push(body)
        except messages.Malformed:
            push = messages.Push({}, b"", 1)
        event_id = push.attributes.get("ce-id", "")
        if parking.published_anew(event_id):
            log.warning("published_anew", event_id=event_id)
            return Response(status=204)
        subscription = push.attributes.get("CloudPubSubDeadLetterSourceSubscription", "")
        function = subscription.partition("--")[0].replace("-", "_") or self.name
        reason = "Pub/Sub gave up delivering it"
        what = push.attributes.get("ce-id") or push.message_id or sha256(body).hexdigest()
        self._keep(function, "", "/events", reason, push, body, what)
        return Response(status=204)

    def _serve_replay(self, request: Request, letter: str) -> Response:
        auth.require_service(request.headers, self.name, "operator")
        return replay.serve(self.name, request, letter, self._redo)

    def _redo(self, letter: DeadLetter) -> list[DeadLetter]:
        """Handle a parked request anew, as at its last attempt. Answers what was parked anew."""
        if letter.path == "/timers":
            return self._wake(letter.body, parking.MOST_ATTEMPTS)
        if letter.handler and letter.handler not in self.handlers:
            raise RuleViolated(
                "no-such-handler", "The handler that parked it is not there any more."
            )
        return self._deliver(letter.body, letter.handler, parking.MOST_ATTEMPTS)
