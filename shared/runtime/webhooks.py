"""The edge for inbound vendor webhooks: verify, store raw, emit; nothing is understood here.

A vendor that is answered 2xx forgets its message, so the answer leaves after the commit. Repeated
vendor events are recognised for as long as their rows are kept, and answered alike.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flask import Flask, Response, request

from shared.kernel.event import Event
from shared.kernel.ids import WebhookId
from shared.platform import steps, webhooks
from shared.platform.settings import Settings, load, refuse_emulators_in_production
from shared.platform.telemetry import traces
from shared.platform.unit_of_work import Cause, Transaction
from shared.platform.wiring import function_url
from shared.runtime import problems, tracing
from shared.runtime.delivery import carried_out

LARGEST_BODY = 4 << 20


class WebhooksSettings(Settings):
    """PUBLIC_WEBHOOKS_URL is the address vendors call, where it is not the function's own."""

    public_webhooks_url: str | None = None


@dataclass(frozen=True)
class Delivery:
    """One webhook as it came: `url` is the public address that signatures are made over."""

    url: str
    headers: Mapping[str, str]
    body: bytes


Verify = Callable[[Delivery], str]
"""Answers the vendor's own id of the event; raises `Unauthenticated` or `Invalid`."""


class Webhooks:
    """The vendors one function listens to; `app` is the Flask application gunicorn serves."""

    def __init__(self, name: str) -> None:
        refuse_emulators_in_production()
        self.name = name
        self.app = Flask(name)
        self.app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
        problems.install(self.app)
        tracing.install(self.app, name)
        self.app.after_request(steps.answered)
        self.app.add_url_rule("/healthz", "healthz", lambda: Response(status=200))

    def receives(
        self,
        rule: str,
        vendor: str,
        verify: Verify,
        event: Callable[[WebhookId], Event],
        keep: Callable[[Delivery], bytes] = lambda delivery: delivery.body,
    ) -> None:
        """Declare POST `rule`: `verify` it, keep it as `vendor`'s, emit `event` for its row.

        `keep` says what is stored, where the raw body alone does not tell everything.
        """

        def receive() -> Response:
            headers = dict(request.headers)
            delivery = Delivery(self._public_url(rule), headers, request.get_data())
            vendor_event_id, body = verify(delivery), keep(delivery)
            cause = Cause(f"{vendor}:{vendor_event_id}")
            traces.correlate(cause.correlation_id)

            def store(work: Transaction) -> None:
                stored = webhooks.store(work.connection, vendor, vendor_event_id, body, work.now)
                if stored is not None:
                    work.emit(event(stored))

            carried_out(store, None, self.name, cause)
            return Response(status=204)

        self.app.add_url_rule(rule, vendor + rule, receive, methods=["POST"])

    def _public_url(self, rule: str) -> str:
        base = load(WebhooksSettings).public_webhooks_url or function_url(self.name)
        query = f"?{request.query_string.decode()}" if request.query_string else ""
        return f"{base}{rule}{query}"
