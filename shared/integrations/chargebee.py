"""Chargebee (API v2, product catalog 2.0) through its official SDK, and its webhooks' sender.

The SDK's own retries stay off: it ignores their limit when it is told to slow down, and whoever
calls retries anyway. Idempotency keys go along with every change; Chargebee keeps them 30 minutes
(https://apidocs.chargebee.com/docs/api/idempotency). An answer that says the work is done already
counts as done.
"""

import base64
import binascii
import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property, partial
from typing import Any, Protocol
from urllib.parse import urlsplit

from shared.domains.billing.model import RawObject, Resource
from shared.domains.contracts.ports import SubscriptionFacts
from shared.integrations.chargebee_http import lend_client, raw_page
from shared.integrations.vendor_call import by_status, calling
from shared.kernel.errors import Invalid, Unauthenticated, VendorError, VendorUnavailable
from shared.kernel.ids import ContractId
from shared.platform.settings import Settings, load

_VENDOR = "chargebee"
_EVENT_ID = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_PAGE = 100
_CONNECT_SECONDS = 3
_READ_SECONDS = 15
_API_NAMES = {
    Resource.CUSTOMER: "Customer",
    Resource.SUBSCRIPTION: "Subscription",
    Resource.INVOICE: "Invoice",
    Resource.TRANSACTION: "Transaction",
}
_BAD_STATE = frozenset({"invalid_state_for_request", "invalid_state_for_pause"})


class ChargebeeSettings(Settings):
    """CHARGEBEE_URL is the site's address, `https://<site>.chargebee.com`."""

    chargebee_url: str
    chargebee_api_key: str


class ChargebeeWebhookSettings(Settings):
    """What the webhook is configured with at Chargebee (basic authentication)."""

    chargebee_webhook_user: str
    chargebee_webhook_password: str


class Inbound(Protocol):
    """A webhook as it came in."""

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def body(self) -> bytes: ...


def verify_webhook(inbound: Inbound) -> str:
    """The event's id at Chargebee. Raises `Unauthenticated` or `Invalid`.

    Chargebee signs nothing: https://www.chargebee.com/docs/2.0/webhook_settings.html names basic
    authentication as the way to know its calls.
    """
    settings = load(ChargebeeWebhookSettings)
    expected = f"{settings.chargebee_webhook_user}:{settings.chargebee_webhook_password}".encode()
    scheme, _, token = inbound.headers.get("Authorization", "").partition(" ")
    try:
        given = base64.b64decode(token, validate=True)
    except (binascii.Error, ValueError):
        given = b""
    if scheme.lower() != "basic" or not hmac.compare_digest(given, expected):
        raise Unauthenticated("webhook-not-authentic", "The webhook's credentials are wrong.")
    try:
        event_id = json.loads(inbound.body)["id"]
    except (ValueError, KeyError, TypeError):
        event_id = None
    if not isinstance(event_id, str) or not _EVENT_ID.fullmatch(event_id):
        raise Invalid("webhook-unreadable", "The webhook is not a Chargebee event.")
    return event_id


def _translate(error: Exception) -> VendorError | None:
    """Chargebee's own errors: https://apidocs.chargebee.com/docs/api/error-handling

    A key that is wrong or lacks a right is no answer to what was asked: nothing was done.
    """
    status = getattr(error, "http_status_code", None)
    if not isinstance(status, int):
        return None
    if status in (401, 403):
        return VendorUnavailable(_VENDOR, f"{status} {_code(error)}")
    return by_status(_VENDOR, status, _code(error) or "")


def _code(error: Exception) -> str | None:
    return getattr(error, "api_error_code", None)


class Chargebee:
    """Implements what billing and contracts ask of a billing provider.

    Raises `VendorUnavailable` (429, 503, no connection), `OutcomeUnknown` (time-outs, 5xx) and
    `VendorRefused` with Chargebee's `api_error_code`.
    """

    @cached_property
    def _sdk(self) -> Any:
        """The SDK takes half a second to import: only when something is really asked."""
        from chargebee.main import Chargebee as Sdk

        settings = load(ChargebeeSettings)
        address = urlsplit(settings.chargebee_url)
        site, _, domain = address.netloc.partition(".")
        Sdk.verify_ca_certs = False  # its own TLS context; the lent client verifies certificates
        lend_client()
        return Sdk(
            api_key=settings.chargebee_api_key,
            site=site,
            chargebee_domain=domain,
            protocol=address.scheme,
            connection_time_out=_CONNECT_SECONDS,
            read_time_out=_READ_SECONDS,
        )

    def _api(self, resource: Resource) -> Any:
        return getattr(self._sdk, _API_NAMES[resource])

    # What billing asks

    def changed(self, resource: Resource, since: datetime | None) -> list[RawObject]:
        params: dict[str, Any] = {"limit": _PAGE, "sort_by": {"asc": "updated_at"}}
        params["include_deleted"] = True
        if since is not None:
            params["updated_at"] = {"after": int(since.timestamp())}
        return self._listed(resource, params)

    def _listed(self, resource: Resource, params: dict[str, Any]) -> list[RawObject]:
        """All pages of a list, each a call of its own."""
        found: list[RawObject] = []
        more: dict[str, Any] = {}
        while True:
            ask = partial(self._api(resource).list, params | more)
            with calling(_VENDOR, _translate):
                page, offset = raw_page(ask, resource.value)
            found += page
            if not offset:
                return found
            more = {"offset": offset}

    def retrieve(self, resource: Resource, vendor_id: str) -> RawObject | None:
        with calling(_VENDOR, _translate):
            try:
                answer = self._api(resource).retrieve(vendor_id)
            except Exception as error:
                if _code(error) == "resource_not_found":
                    return None
                raise
        raw: RawObject = getattr(answer, resource.value).raw_data
        return raw

    def transactions(self, ids: Sequence[str]) -> list[RawObject]:
        """A call for every hundred: https://apidocs.chargebee.com/docs/api/transactions"""
        found: list[RawObject] = []
        for start in range(0, len(ids), _PAGE):
            some = {"in": list(ids[start : start + _PAGE])}
            params = {"limit": _PAGE, "include_deleted": True, "id": some}
            found += self._listed(Resource.TRANSACTION, params)
        return found

    def collect(self, invoice_id: str, key: str) -> None:
        from chargebee.api_error import PaymentError

        with calling(_VENDOR, _translate):
            try:
                self._sdk.Invoice.collect_payment(invoice_id, {}, _keyed(key))
            except PaymentError:
                return  # the declined attempt is on the invoice
            except Exception as error:
                if _code(error) not in _BAD_STATE:
                    raise  # in a bad state it is paid, voided or given up: the invoice tells

    def stop_dunning(self, invoice_id: str, key: str) -> None:
        self._once(lambda: self._sdk.Invoice.stop_dunning(invoice_id, {}, _keyed(key)))

    def _once(self, call: Callable[[], Any], done: Callable[[], bool] = lambda: True) -> None:
        """Change something. Refused for its state, it is a success if `done` finds it so."""
        with calling(_VENDOR, _translate):
            try:
                call()
            except Exception as error:
                if _code(error) not in _BAD_STATE or not done():
                    raise

    # What contracts ask

    def subscription_of(self, subscription_id: str) -> SubscriptionFacts | None:
        raw = self.retrieve(Resource.SUBSCRIPTION, subscription_id)
        if raw is None:
            return None
        return SubscriptionFacts(
            id=raw["id"],
            customer_id=raw["customer_id"],
            clinic_id=raw.get("cf_clinic_id", ""),
            status=raw["status"],
            item_price_id=_plan(raw) or "",
        )

    def set_contract(self, subscription_id: str, contract_id: ContractId | None, key: str) -> None:
        """An empty custom field is one that Chargebee clears."""
        fields = {"cf_contract_id": str(contract_id) if contract_id else ""}
        with calling(_VENDOR, _translate):
            self._sdk.Subscription.update(subscription_id, fields, _keyed(key))

    def reset_to_monthly(self, subscription_id: str, item_price_id: str, key: str) -> None:
        """Go on by the month once the paid term ends."""
        self.change_plan(subscription_id, item_price_id, True, key)

    def change_plan(
        self, subscription_id: str, item_price_id: str, at_term: bool, key: str
    ) -> None:
        params = {
            "subscription_items": [{"item_price_id": item_price_id, "quantity": 1}],
            "replace_items_list": True,
            "change_option": "end_of_term" if at_term else "immediately",
        }
        with calling(_VENDOR, _translate):
            if not self._has_plan(subscription_id, item_price_id):
                self._sdk.Subscription.update_for_items(subscription_id, params, _keyed(key))

    def pause(self, subscription_id: str, key: str) -> None:
        params = {"pause_option": "immediately"}
        self._once(
            lambda: self._sdk.Subscription.pause(subscription_id, params, _keyed(key)),
            lambda: self._status(subscription_id) == "paused",
        )

    def resume(self, subscription_id: str, key: str) -> None:
        params = {"resume_option": "immediately"}
        self._once(
            lambda: self._sdk.Subscription.resume(subscription_id, params, _keyed(key)),
            lambda: self._status(subscription_id) in ("active", "non_renewing"),
        )

    def cancel(self, subscription_id: str, at_term: bool, key: str) -> None:
        params = {"cancel_option": "end_of_term" if at_term else "immediately"}
        ended = ("cancelled", "non_renewing") if at_term else ("cancelled",)
        self._once(
            lambda: self._sdk.Subscription.cancel_for_items(subscription_id, params, _keyed(key)),
            lambda: self._status(subscription_id) in ended,
        )

    def _raw_subscription(self, subscription_id: str) -> RawObject:
        raw: RawObject = self._sdk.Subscription.retrieve(subscription_id).subscription.raw_data
        return raw

    def _status(self, subscription_id: str) -> str:
        return str(self._raw_subscription(subscription_id)["status"])

    def _has_plan(self, subscription_id: str, item_price_id: str) -> bool:
        """Whether it is on this plan and is to stay there."""
        raw = self._raw_subscription(subscription_id)
        return _plan(raw) == item_price_id and not raw.get("has_scheduled_changes")


def _keyed(key: str) -> dict[str, str]:
    return {"chargebee-idempotency-key": key}


def _plan(raw: RawObject) -> str | None:
    """The price of a subscription's one plan."""
    items = raw.get("subscription_items") or []
    plans = [item for item in items if item.get("item_type") == "plan"]
    return str(plans[0]["item_price_id"]) if plans else None
