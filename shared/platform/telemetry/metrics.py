"""All that is measured. `docs/observability.md` has the table of it."""

from shared.platform.telemetry.instruments import LAGS, Counter, Gauge, Histogram

_FUNCTION = "clinicloop.function"
_HANDLER = "clinicloop.handler"
_VENDOR = "clinicloop.vendor"

REQUESTS = Histogram(
    "http.server.request.duration",
    "s",
    "Time from a request's arrival to its answer",
    (_FUNCTION, "http.request.method", "http.route", "http.response.status_code"),
    "share of 5xx above 1 % for 5 min; p99 of a portal's route above 1 s",
)
OUTBOX_AGE = Gauge(
    "clinicloop.outbox.age",
    "s",
    "Age of the oldest event that is not published, in business time",
    alert="above 120 for 5 min",
)
OUTBOX_UNSENT = Gauge(
    "clinicloop.outbox.unsent", "{event}", "Events that are committed and not published"
)
INBOX_DUPLICATES = Counter(
    "clinicloop.inbox.duplicates",
    "{message}",
    "Deliveries of what had taken effect before",
    (_HANDLER,),
)
DELIVERY_ATTEMPTS = Histogram(
    "clinicloop.delivery.attempts",
    "{attempt}",
    "Which attempt of its delivery a push was, from 1",
    (_FUNCTION,),
    "more than 10 % of pushes above 1 for 10 min",
    bounds=(1, 2, 3, 5, 10, 20),
)
TIMER_LAG = Histogram(
    "clinicloop.timer.lag",
    "s",
    "How late a timer fired, in business time",
    ("clinicloop.timer.kind",),
    "p95 above 300",
    bounds=LAGS,
)
PROJECTION_LAG = Histogram(
    "clinicloop.projection.lag",
    "s",
    "From a row's change to its document in Firestore, in business time",
    ("db.collection.name",),
    "p95 above 60",
    bounds=LAGS,
)
DEAD_LETTERS_PARKED = Counter(
    "clinicloop.dead_letters.parked",
    "{message}",
    "Messages that were parked",
    (_FUNCTION, _HANDLER),
    "any increase",
)
DEAD_LETTERS_WAITING = Gauge(
    "clinicloop.dead_letters.waiting",
    "{message}",
    "Parked messages that nobody has replayed",
    alert="above 0 for a day",
)
VENDOR_CALLS = Histogram(
    "clinicloop.vendor.call.duration",
    "s",
    "Time of a call to a vendor, and what it ended with: ok or the type of error",
    (_VENDOR, "clinicloop.outcome"),
    "share of OutcomeUnknown and VendorUnavailable above 5 % for 5 min",
)
BREAKERS = Gauge(
    "clinicloop.vendor.breaker",
    "1",
    "A vendor's circuit breaker in a process: 0 closed, 1 half-open, 2 open",
    (_VENDOR,),
    "2 for 5 min",
)
POOL = Gauge(
    "db.client.connection.count",
    "{connection}",
    "Connections to PostgreSQL in the pool, used or idle",
    ("db.client.connection.state",),
    adds_up=True,
)
POOL_MAX = Gauge(
    "db.client.connection.max", "{connection}", "Connections the pool may hold", adds_up=True
)
POOL_WAIT = Histogram(
    "db.client.connection.wait_time",
    "s",
    "Time until the pool gave a connection",
    alert="p95 above 0.1 for 5 min",
)
DROPPED = Counter("clinicloop.telemetry.dropped", "{span}", "Spans for which the queue had no room")
