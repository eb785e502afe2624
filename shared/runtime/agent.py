"""An agent: a function that reacts to events, timers and the clock.

A function's `main.py` declares handlers on an `Agent` and exposes `agent.function`, which
functions-framework serves. Triggers: POST /events (Pub/Sub push), /timers (Cloud Tasks),
/crons/<name> (Cloud Scheduler), /parked (what Pub/Sub gave up on), /dead-letters/<id> (replay by an
operator). Each verifies the OIDC token of its own sender first.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Request, Response
from pg8000.exceptions import DatabaseError, InterfaceError
from sqlalchemy.exc import DBAPIError, OperationalError

from shared.kernel import clock
from shared.kernel.errors import DomainError, NotFound, VendorError
from shared.kernel.event import Event
from shared.kernel.work import Effect, Idle, Mirroring, Timer, Work
from shared.platform import dead_letters, timers
from shared.platform.settings import refuse_emulators_in_production
from shared.platform.telemetry import log
from shared.runtime import auth, messages, problems
from shared.runtime.handlers import (
    PERMANENT,
    TRANSIENT,
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

MOST_ATTEMPTS = 5
"""After so many attempts at an unexpected failure the message is parked, whole, with the reason."""

Handler = Callable[..., Any]
_LONGEST_BODY = 10 << 20
_PASSING_STATES = ("08", "40", "53", "57P")
"""SQLSTATE classes: connection, roll-back, resources, and the server's own coming and going."""


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

    def polls(self, name: str, schedule: str, effect: Effect[Any, Any]) -> None:
        """Declare that a vendor is asked by the clock; recording an answer twice is harmless."""
        self.crons[name] = VendorCron(name, schedule, effect, self.vendors)

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
            return self._serve(request)

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
        if serve is None or request.method != "POST":
            return problems.problem(404, "not-found", "There is no such trigger.")
        try:
            return serve(request, rest)
        except DomainError as error:
            return problems.of_domain_error(error)
        except TRANSIENT as error:
            log.warning("will_retry", function=self.name, error=type(error).__name__)
            return problems.problem(503, "try-again", "It will be tried again.")
        except Exception as error:  # noqa: BLE001 -- the edge: everything becomes an answer
            return problems.of_anything(error)

    def _serve_event(self, request: Request, _: str) -> Response:
        auth.require_service(request.headers, self.name, "pubsub")
        self._deliver(request.get_data(), "/events")
        return Response(status=204)

    def _deliver(self, body: bytes, path: str) -> None:
        """Run every handler of a push; what cannot succeed is parked and counts as delivered."""
        handler_name, attributes, attempt = "", {}, 1
        try:
            push = messages.read_push(body)
            attributes, attempt = push.attributes, push.attempt
            for kind, handler in self._by_type.get(push.type, ()):
                handler_name = handler.name
                handler.run(self.name, messages.read_event(push, kind))
        except Exception as error:
            if not self._hopeless(error, attempt):
                raise
            reason = _reason(error)
            now = clock.now()
            dead_letters.park(self.name, handler_name, path, reason, attributes, body, now)
            log.error("parked", function=self.name, handler=handler_name, reason=reason)

    @staticmethod
    def _hopeless(error: Exception, attempt: int) -> bool:
        if isinstance(error, (*PERMANENT, messages.Malformed)):
            return True
        if isinstance(error, TRANSIENT) or _database_is_away(error):
            return False
        return attempt >= MOST_ATTEMPTS

    def _serve_timer(self, request: Request, _: str) -> Response:
        auth.require_service(request.headers, self.name, "tasks")
        body = request.get_data()
        try:
            run_timer(self.name, self.timers, *messages.read_task(body))
        except (*PERMANENT, messages.Malformed) as error:
            now = clock.now()
            dead_letters.park(self.name, "", "/timers", _reason(error), {}, body, now)
            if not isinstance(error, messages.Malformed):
                timers.park(*messages.read_task(body))
        return Response(status=204)

    def _serve_cron(self, request: Request, name: str) -> Response:
        auth.require_service(request.headers, self.name, "scheduler")
        if name not in self.crons:
            raise NotFound("not-found", "There is no such cron.")
        idle = self.crons[name].run(self.name)
        response = Response(status=204)
        if idle is not None:
            response.headers["X-Idle-Until"] = idle.until.isoformat() if idle.until else "never"
        return response

    def _serve_parked(self, request: Request, _: str) -> Response:
        if not self.parks:
            raise NotFound("not-found", "There is no such trigger.")
        auth.require_service(request.headers, self.name, "pubsub")
        body = request.get_data()
        attributes = messages.read_push(body).attributes
        subscription = attributes.get("CloudPubSubDeadLetterSourceSubscription", "")
        function = subscription.partition("--")[0].replace("-", "_") or self.name
        reason = "Pub/Sub gave up delivering it"
        dead_letters.park(function, "", "/events", reason, attributes, body, clock.now())
        return Response(status=204)

    def _serve_replay(self, request: Request, letter: str) -> Response:
        auth.require_service(request.headers, self.name, "operator")
        found = dead_letters.find(self.name, _uuid(letter))
        if found is None:
            raise NotFound("not-found", "There is no such dead letter.")
        if found.path == "/timers":
            run_timer(self.name, self.timers, *messages.read_task(found.body))
        else:
            self._deliver(found.body, found.path)
        dead_letters.mark_replayed(found.id, clock.now())
        return Response(status=204)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("not-found", "There is no such dead letter.") from None


def _database_is_away(error: Exception) -> bool:
    """Whether the database cannot be reached, starts up, is full, or asks to try again.

    pg8000 has one exception class for nearly every SQLSTATE, so the state itself is read:
    https://www.postgresql.org/docs/current/errcodes-appendix.html
    """
    away = isinstance(error, InterfaceError | OperationalError)
    if away or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return True
    said = getattr(error, "orig", error)
    fields = said.args[0] if isinstance(said, DatabaseError) and said.args else None
    return isinstance(fields, dict) and str(fields.get("C", "")).startswith(_PASSING_STATES)


def _reason(error: Exception) -> str:
    """What is kept of an error: never a value that came with the message."""
    if isinstance(error, DomainError | VendorError | messages.Malformed):
        return f"{type(error).__name__}: {error}"
    return type(error).__name__
