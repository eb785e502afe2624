"""The billing provider: subscriptions, invoices and cards that live, and webhooks that tell of it.

A key is honoured for half an hour, as Chargebee does; every call may be repeated where the port
says so. Each change of an object makes its `resource_version` grow.
"""

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from shared.domains.billing.model import RawObject, Resource
from shared.domains.contracts.ports import SubscriptionFacts
from shared.kernel import clock
from shared.kernel.errors import VendorRefused
from shared.kernel.ids import ClinicId, ContractId, CustomerId
from tests.reliability.simulation.chance import share
from tests.reliability.simulation.ground import OPENS
from tests.reliability.simulation.vendors import Webhook, asked

_KEYS_LAST = timedelta(minutes=30)
_RUNNING = ("active", "non_renewing", "paused")
Object = dict[str, Any]


@dataclass
class Provider:
    """Implements what billing and contracts ask of a billing provider."""

    seed: int
    webhook: Webhook
    touched: Callable[[], None] = lambda: None
    objects: dict[Resource, dict[str, Object]] = field(
        default_factory=lambda: {kind: {} for kind in Resource}
    )
    _keys: dict[str, datetime] = field(default_factory=dict)
    _versions: int = 0
    _events: int = 0

    # What happens there by itself

    def customer(self, customer_id: CustomerId, clinic_id: ClinicId) -> None:
        made = {
            "id": str(customer_id),
            "cf_clinic_id": str(clinic_id),
            "primary_payment_source_id": "pm_1",
        }
        self.objects[Resource.CUSTOMER][made["id"]] = made
        self._changed("customer_created", customer=made)

    def new_method(self, customer_id: CustomerId, method: str) -> None:
        customer = self.objects[Resource.CUSTOMER][str(customer_id)]
        customer["primary_payment_source_id"] = method
        self._changed("payment_source_added", customer=customer)

    def subscribe(self, id_: str, customer_id: CustomerId, clinic_id: ClinicId, plan: str) -> None:
        made = {
            "id": id_,
            "customer_id": str(customer_id),
            "cf_clinic_id": str(clinic_id),
            "status": "active",
            "subscription_items": [{"item_price_id": plan, "item_type": "plan"}],
            "current_term_end": int(OPENS.timestamp()) + 30 * 86_400,
        }
        self.objects[Resource.SUBSCRIPTION][id_] = made
        self._changed("subscription_created", subscription=made)

    def change(self, subscription_id: str, event: str, **values: Any) -> None:
        """The provider or its staff change a subscription."""
        subscription = self.objects[Resource.SUBSCRIPTION][subscription_id]
        if subscription["status"] != "cancelled":
            subscription |= values
            self._changed(event, subscription=subscription)

    def invoice(self, id_: str, customer_id: CustomerId, subscription_id: str, total: int) -> None:
        """An invoice is made; its first collection is a call of its own."""
        made = {
            "id": id_,
            "customer_id": str(customer_id),
            "subscription_id": subscription_id,
            "status": "payment_due",
            "total": total,
            "amount_paid": 0,
            "amount_due": total,
            "currency_code": "EUR",
            "date": _epoch(),
            "linked_payments": [],
        }
        self.objects[Resource.INVOICE][id_] = made
        self._changed("invoice_generated", invoice=made)

    def charge(self, id_: str) -> None:
        """The provider tries to collect an invoice."""
        invoice = self.objects[Resource.INVOICE][id_]
        attempt = len([p for p in invoice["linked_payments"] if p["txn_status"] == "failure"]) + 1
        decline = self._decline(id_, attempt)
        made = {"id": f"txn_{id_}_{attempt}", "status": "success", "date": _epoch()}
        if decline:
            made |= {"status": "failure", "error_code": decline}
        self._pay(invoice, made)

    def paid_elsewhere(self, id_: str) -> None:
        """The customer pays by hand."""
        invoice = self.objects[Resource.INVOICE][id_]
        if invoice["status"] != "paid":
            self._pay(invoice, {"id": f"txn_{id_}_hand", "status": "success", "date": _epoch()})

    def _pay(self, invoice: Object, transaction: Object) -> None:
        self.objects[Resource.TRANSACTION][transaction["id"]] = transaction
        payment = {
            "txn_id": transaction["id"],
            "txn_status": transaction["status"],
            "txn_date": transaction["date"],
            "txn_amount": invoice["amount_due"],
        }
        invoice["linked_payments"] = [*invoice["linked_payments"], payment]
        if transaction["status"] == "success":
            invoice |= {"status": "paid", "amount_paid": invoice["total"], "amount_due": 0}
            invoice |= {"paid_at": _epoch(), "dunning_status": "success"}
            self._changed("payment_succeeded", invoice=invoice, transaction=transaction)
        else:
            invoice |= {"dunning_status": "in_progress"}
            told = share(self.seed, transaction["id"], "told why") < 0.7
            more = {"transaction": transaction} if told else {}
            self._changed("payment_failed", invoice=invoice, **more)

    def _decline(self, id_: str, attempt: int) -> str:
        """What the card says: paid at the first, or after some soft declines, or never; or hard."""
        if id_.startswith("hasty"):
            return "insufficient_funds"
        lot = share(self.seed, id_, "card")
        if id_.startswith("good"):
            return ""
        if id_.startswith("hard"):
            return "" if attempt > 1 and lot < 0.5 else "stolen_card"
        return "" if attempt > 1 + int(lot * 6) else "insufficient_funds"

    def _changed(self, event_type: str, **content: Object) -> None:
        """Raise the version of the first object, and tell of all."""
        changed = next(iter(content.values()))
        self._versions += 1
        changed |= {"resource_version": self._versions, "updated_at": _epoch()}
        self._events += 1
        event = {
            "id": f"ev_{self._events}",
            "occurred_at": _epoch(),
            "event_type": event_type,
            "content": deepcopy(content),
        }
        self.webhook("chargebee", "/chargebee", json.dumps(event).encode())
        self.touched()

    # What billing asks

    def changed(self, resource: Resource, since: datetime | None) -> list[RawObject]:
        with asked("chargebee"):
            every = self.objects[resource].values()
            after = -1 if since is None else int(since.timestamp())
            found = [deepcopy(one) for one in every if one["updated_at"] > after]
        return sorted(found, key=lambda one: int(one["updated_at"]))

    def retrieve(self, resource: Resource, vendor_id: str) -> RawObject | None:
        with asked("chargebee"):
            return deepcopy(self.objects[resource].get(vendor_id))

    def transactions(self, ids: Sequence[str]) -> list[RawObject]:
        if not ids:
            return []
        with asked("chargebee"):
            known = self.objects[Resource.TRANSACTION]
            return [deepcopy(known[one]) for one in ids if one in known]

    def collect(self, invoice_id: str, key: str) -> None:
        with asked("chargebee"):
            invoice = self.objects[Resource.INVOICE][invoice_id]
            stopped = invoice.get("dunning_status") == "stopped"
            if self._is_new(key) and invoice["status"] == "payment_due" and not stopped:
                self.charge(invoice_id)

    def stop_dunning(self, invoice_id: str, key: str) -> None:
        with asked("chargebee"):
            invoice = self.objects[Resource.INVOICE][invoice_id]
            if invoice.get("dunning_status") == "in_progress":
                invoice |= {"dunning_status": "stopped", "status": "not_paid"}
                self._changed("invoice_updated", invoice=invoice)

    def _is_new(self, key: str) -> bool:
        known = self._keys.get(key)
        fresh = known is None or clock.now() - known > _KEYS_LAST
        if fresh:
            self._keys[key] = clock.now()
        return fresh

    # What contracts ask

    def subscription_of(self, subscription_id: str) -> SubscriptionFacts | None:
        with asked("chargebee"):
            found = self.objects[Resource.SUBSCRIPTION].get(subscription_id)
            if found is None:
                return None
            return SubscriptionFacts(
                id=found["id"],
                customer_id=found["customer_id"],
                clinic_id=found["cf_clinic_id"],
                status=found["status"],
                item_price_id=found["subscription_items"][0]["item_price_id"],
            )

    def set_contract(self, subscription_id: str, contract_id: ContractId | None, key: str) -> None:
        self._tell(subscription_id, cf_contract_id=str(contract_id) if contract_id else None)

    def reset_to_monthly(self, subscription_id: str, item_price_id: str, key: str) -> None:
        self.change_plan(subscription_id, item_price_id, True, key)

    def change_plan(
        self, subscription_id: str, item_price_id: str, at_term: bool, key: str
    ) -> None:
        """At the end of a term as at once: terms do not end here by themselves."""
        if share(self.seed, subscription_id, item_price_id, "plan") < 0.1:
            raise VendorRefused("chargebee", "payment_processing_failed")
        self._tell(
            subscription_id,
            subscription_items=[{"item_price_id": item_price_id, "item_type": "plan"}],
        )

    def pause(self, subscription_id: str, key: str) -> None:
        if self.unpausable(subscription_id):
            raise VendorRefused("chargebee", "invalid_state_for_pause")
        self._tell(subscription_id, status="paused")

    def unpausable(self, subscription_id: str) -> bool:
        return share(self.seed, subscription_id, "pause") < 0.15

    def resume(self, subscription_id: str, key: str) -> None:
        self._tell(subscription_id, status="active")

    def cancel(self, subscription_id: str, at_term: bool, key: str) -> None:
        self._tell(subscription_id, may_be_over=True, status="cancelled")

    def _tell(self, subscription_id: str, *, may_be_over: bool = False, **values: Any) -> None:
        """Bring a subscription to `values`; nothing happens where it has them."""
        with asked("chargebee"):
            found = self.objects[Resource.SUBSCRIPTION].get(subscription_id)
            over = found is None or found["status"] not in _RUNNING
            if over and not may_be_over:
                raise VendorRefused("chargebee", "invalid_state_for_request")
            if found is not None and any(found.get(name) != values[name] for name in values):
                found |= values
                self._changed("subscription_changed", subscription=found)


def _epoch() -> int:
    return int(clock.now().timestamp())
