"""The HTTP face: routes, authentication, idempotency, Chargebee's error bodies.

Reached by the official SDK with `site="127"`, `chargebee_domain="0.0.1:PORT"`, `protocol="http"`
and `verify_ca_certs=False` on its class.
"""

import base64
import binascii
import hashlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from aiohttp import web

from emulators.engine import Ground, HttpServer
from emulators.faulty_calls import http_middleware
from emulators.seed import CATALOG
from emulators.vendors import outages
from emulators.vendors.chargebee.billing import Billing
from emulators.vendors.chargebee.forms import ApiError, Resource, nest
from emulators.vendors.chargebee.lifecycle import Lifecycle
from emulators.vendors.chargebee.records import Catalog, Customers, Invoices, Reading
from emulators.vendors.chargebee.store import Site
from emulators.vendors.chargebee.webhooks import EventSender

_API = "/api/v2"
_IDEMPOTENCY_WINDOW = 30 * 60
"""Seconds of virtual time: https://apidocs.chargebee.com/docs/api/idempotency"""
_LISTED = {
    "customers": "customer",
    "subscriptions": "subscription",
    "invoices": "invoice",
    "transactions": "transaction",
    "events": "event",
    "item_families": "item_family",
    "items": "item",
    "item_prices": "item_price",
}
Handler = Callable[[str, Resource], Resource]


class Chargebee:
    """The fake. Durable in its journal: all objects, events, idempotency keys, webhooks to send.

    Settings it reads, all optional: `chargebee_api_key` (any key is taken otherwise), `webhooks`,
    `chargebee_webhook_user`, `chargebee_webhook_password`, `chargebee_disorder`,
    `chargebee_dunning_days`. A new site begins with the catalog of `emulators.seed`.
    """

    name = "chargebee"

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        # Faults strike in `_answering` and leave the test hooks alone.
        self._server = HttpServer(ground, f"{self.name}-local")
        ground.faults.refusals[self.name] = outages.chargebee
        self._faulty = http_middleware(ground.faults, self.name)
        self._journal = ground.journal(self.name)
        self._site = Site(ground, self._journal)
        self._sender = EventSender(ground, self._journal)
        self._billing = Billing(self._site)
        self._site.on_event = self._sender.tell
        for event in list(self._site.tables["event"].values())[-200:]:
            self._sender.note(json.loads(event["_body"]))
        self._reading = Reading(self._site)
        self._customers = Customers(self._site, self._billing)
        self._invoices = Invoices(self._site, self._billing)
        self._subscriptions = Lifecycle(self._site, self._billing)
        self._catalog = Catalog(self._site)
        self._answers: dict[str, tuple[int, str, int, str]] = {
            key.removeprefix("idempotency/"): tuple(json.loads(value))
            for key, value in self._journal.items("idempotency/")
        }

    async def start(self, port: int = 0) -> int:
        if not self._site.tables["item_family"]:
            self._fill_catalog()
        return await self._server.start(self._routes(), port)

    async def stop(self) -> None:
        await self._server.stop()
        self._billing.stop()
        self._sender.stop()
        self._journal.close()

    def objects(self, kind: str) -> dict[str, dict[str, Any]]:
        """All objects of a kind (`subscription`, `invoice` ...) by id, in the form of the API."""
        return dict(self._site.tables[kind])

    def describe(self) -> dict[str, Any]:
        """Counts by status, and the newest 200 events with how they were sent, newest first."""
        tables = self._site.tables
        return {
            "customers": len(tables["customer"]),
            "subscriptions": dict(Counter(s["status"] for s in tables["subscription"].values())),
            "invoices": dict(Counter(i["status"] for i in tables["invoice"].values())),
            "transactions": dict(Counter(t["status"] for t in tables["transaction"].values())),
            "webhooks_waiting": len(self._sender),
            "events": list(reversed(self._sender.sent)),
        }

    def _fill_catalog(self) -> None:
        with self._site.change("api"):
            for kind, rows in CATALOG.items():
                for row in rows:
                    form = {name: str(value) for name, value in row.items()}
                    self._catalog.create(kind, form)

    # Routes

    def _routes(self) -> list[web.RouteDef]:
        routes = []
        for path, kind in _LISTED.items():
            routes.append(self._get(path, partial(self._list, kind)))
            if kind != "subscription":
                routes.append(self._get(f"{path}/{{id}}", partial(self._retrieve, kind)))
            if kind.startswith("item"):
                routes.append(self._post(path, partial(self._create_item, kind)))
        return [*routes, *self._customer_routes(), *self._changes(), *self._local_routes()]

    def _list(self, kind: str, _id: str, form: Resource) -> Resource:
        return self._reading.list(kind, form)

    def _create_item(self, kind: str, _id: str, form: Resource) -> Resource:
        return self._catalog.create(kind, form)

    def _retrieve(self, kind: str, id_: str, _form: Resource) -> Resource:
        return self._reading.retrieve(kind, id_)

    def _customer_routes(self) -> list[web.RouteDef]:
        customers, reading = self._customers, self._reading

        def of(kind: str, owner: str) -> Handler:
            return lambda id_, form: reading.list(kind, {**form, owner: {"is": id_}})

        return [
            self._post("customers", lambda _, form: customers.create(form)),
            self._post("customers/{id}", customers.update),
            self._post("customers/{id}/delete", customers.delete),
            self._post("customers/{id}/subscription_for_items", self._subscriptions.create),
            self._get("customers/{id}/subscriptions", of("subscription", "customer_id")),
            self._get("customers/{id}/invoices", of("invoice", "customer_id")),
            self._get("customers/{id}/transactions", of("transaction", "customer_id")),
            self._get("subscriptions/{id}/invoices", of("invoice", "subscription_id")),
            self._get("subscriptions/{id}/transactions", of("transaction", "subscription_id")),
            self._get("invoices/{id}/payments", reading.payments),
        ]

    def _changes(self) -> list[web.RouteDef]:
        subs, invoices = self._subscriptions, self._invoices
        sub_changes: dict[str, Handler] = {
            "update_for_items": subs.update_for_items,
            "remove_scheduled_changes": subs.remove_scheduled_changes,
            "change_term_end": subs.change_term_end,
            "pause": subs.pause,
            "remove_scheduled_pause": subs.remove_scheduled_pause,
            "resume": subs.resume,
            "remove_scheduled_resumption": subs.remove_scheduled_resumption,
            "cancel": subs.cancel,
            "cancel_for_items": subs.cancel,
            "remove_scheduled_cancellation": subs.remove_scheduled_cancellation,
            "reactivate": subs.reactivate,
            "delete": subs.delete,
        }
        invoice_changes: dict[str, Handler] = {
            "collect_payment": invoices.collect_payment,
            "record_payment": invoices.record_payment,
            "stop_dunning": invoices.stop_dunning,
            "void": invoices.void,
        }
        scheduled = "subscriptions/{id}/retrieve_with_scheduled_changes"
        return [
            self._get("subscriptions/{id}", subs.retrieve),
            self._get(scheduled, subs.retrieve_with_scheduled_changes),
            self._post("subscriptions/{id}", subs.update),
            *(self._post(f"subscriptions/{{id}}/{n}", h) for n, h in sub_changes.items()),
            *(self._post(f"invoices/{{id}}/{n}", h) for n, h in invoice_changes.items()),
        ]

    def _get(self, path: str, handler: Handler) -> web.RouteDef:
        return web.get(f"{_API}/{path}", self._answering(handler))

    def _post(self, path: str, handler: Handler) -> web.RouteDef:
        return web.post(f"{_API}/{path}", self._answering(handler))

    # Answering

    def _answering(
        self, handler: Handler
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def decide(request: web.Request) -> web.StreamResponse:
            pairs = request.query if request.method == "GET" else await request.post()
            form_pairs = [(name, str(value)) for name, value in pairs.items()]
            try:
                self._authenticate(request)
                return self._once(request, form_pairs, handler)
            except ApiError as error:
                return web.json_response(error.body(), status=error.status)

        async def answer(request: web.Request) -> web.StreamResponse:
            response: web.StreamResponse = await self._faulty(request, decide)
            return response

        return answer

    def _authenticate(self, request: web.Request) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        try:
            key = base64.b64decode(token, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            key = ""
        expected = self._ground.settings.get("chargebee_api_key", key)
        if scheme != "Basic" or not key or key != expected:
            message = "Sorry, authentication with the API failed. Check the API key."
            raise ApiError(401, "api_authentication_failed", message)

    def _once(
        self, request: web.Request, pairs: list[tuple[str, str]], handler: Handler
    ) -> web.Response:
        """Answer, or give the saved answer to a request with the same idempotency key again.

        Answers are kept whatever they say, refusals too, for 30 minutes of virtual time.
        """
        id_ = request.match_info.get("id", "")
        key = request.headers.get("chargebee-idempotency-key", "")
        if not key or request.method != "POST":
            return _respond(*self._carry_out(handler, id_, pairs))
        if len(key) > 100:
            raise ApiError(400, "param_wrong_value", "idempotency keys have at most 100 characters")
        print_ = hashlib.sha256(json.dumps([request.path, sorted(pairs)]).encode()).hexdigest()
        now = self._site.now()
        saved = self._answers.get(key)
        if saved is not None and saved[0] > now - _IDEMPOTENCY_WINDOW:
            if saved[1] != print_:
                message = "The idempotency key was used with another request"
                raise ApiError(400, "invalid_request", message)
            return _respond(saved[2], saved[3], {"chargebee-idempotency-replayed": "true"})
        with self._journal.batch():
            status, body = self._carry_out(handler, id_, pairs)
            answer = self._answers[key] = now, print_, status, body
            self._journal.put(f"idempotency/{key}", lambda: json.dumps(answer).encode())
            self._forget_answers(now)
        return _respond(status, body)

    def _forget_answers(self, now: int) -> None:
        for key, (made, *_) in list(self._answers.items()):
            if made > now - _IDEMPOTENCY_WINDOW:
                return
            del self._answers[key]
            self._journal.delete(f"idempotency/{key}")

    def _carry_out(
        self, handler: Handler, id_: str, pairs: list[tuple[str, str]]
    ) -> tuple[int, str]:
        """Run a handler; a refusal keeps what it saved on the way (a failed payment)."""
        with self._site.change("api"):
            try:
                return 200, json.dumps(handler(id_, nest(pairs)))
            except ApiError as error:
                return error.status, json.dumps(error.body())

    # Test hooks

    def _local_routes(self) -> list[web.RouteDef]:
        async def behaviour(request: web.Request) -> web.Response:
            """Give a customer another card: JSON `{"behaviour": "soft_decline_twice"}`."""
            wanted = (await request.json())["behaviour"]
            id_ = request.match_info["id"]
            status, body = self._carry_out(self._customers.update, id_, [("cf_test_card", wanted)])
            return _respond(status, body)

        async def state(_: web.Request) -> web.Response:
            return web.json_response(self.describe())

        return [
            web.post("/_local/customers/{id}/payment-behaviour", behaviour),
            web.get("/_local/state", state),
        ]


def _respond(status: int, body: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status, text=body, headers=headers, content_type="application/json", charset="utf-8"
    )
