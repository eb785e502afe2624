"""Customers, invoices, transactions, events and the catalog, as callers see them."""

import json
from typing import Any

from emulators.vendors.chargebee import models
from emulators.vendors.chargebee.billing import Billing, declined
from emulators.vendors.chargebee.forms import (
    ApiError,
    Resource,
    bad_state,
    blank,
    copy_fields,
    integer,
    shown,
    text,
    wrong,
)
from emulators.vendors.chargebee.query import select
from emulators.vendors.chargebee.store import Site

_CUSTOMER = (
    "first_name",
    "last_name",
    "email",
    "phone",
    "company",
    "locale",
    "auto_collection",
    "preferred_currency_code",
    "invoice_notes",
    "taxability",
    "billing_address",
)
_CATALOG: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "item_family": (("id", "name"), {"status": "active"}),
    "item": (
        ("id", "name", "type", "item_family_id"),
        {"status": "active", "enabled_for_checkout": True, "enabled_in_portal": True,
         "is_shippable": False, "is_giftable": False, "item_applicability": "all",
         "metered": False, "channel": "web"},
    ),
    "item_price": (
        ("id", "name", "item_id"),
        {"status": "active", "currency_code": "EUR", "free_quantity": 0, "is_taxable": True,
         "channel": "web"},
    ),
}  # fmt: skip
_NUMBERS = ("price", "period", "trial_period", "net_term_days")


def _new_id(site: Site, kind: str, form: Resource) -> str:
    id_ = text(form, "id") or site.new_id()
    if id_ in site.tables[kind]:
        raise ApiError(400, "duplicate_entry", f"The value {id_} is already present.", "id")
    return id_


class Reading:
    """Retrieve and list, alike for every kind."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def _view(self, kind: str, resource: Resource) -> Resource:
        if kind == "event":
            return {**json.loads(resource["_body"]), "webhook_status": resource["webhook_status"]}
        return shown(resource)

    def retrieve(self, kind: str, id_: str) -> Resource:
        return {kind: self._view(kind, self._site.find(kind, id_))}

    def list(self, kind: str, form: Resource) -> Resource:
        table = self._site.tables[kind]
        page, following = select(kind, table, form)
        rows = [{kind: self._view(kind, row)} for row in page]
        if kind == "subscription":
            customers = self._site.tables["customer"]
            for row in rows:
                row["customer"] = shown(customers[row[kind]["customer_id"]])
        return {"list": rows} | ({"next_offset": following} if following else {})

    def payments(self, invoice_id: str, form: Resource) -> Resource:
        """The transactions of one invoice, newest first."""
        linked = self._site.find("invoice", invoice_id)["linked_payments"]
        found = {row["txn_id"]: self._site.tables["transaction"][row["txn_id"]] for row in linked}
        page, following = select("transaction", found, form)
        rows = [{"transaction": shown(row)} for row in page]
        return {"list": rows} | ({"next_offset": following} if following else {})


class Customers:
    def __init__(self, site: Site, billing: Billing) -> None:
        self._site = site
        self._billing = billing

    def create(self, form: Resource) -> Resource:
        customer: Resource = {
            "id": _new_id(self._site, "customer", form),
            "auto_collection": "on",
            "net_term_days": 0,
            "allow_direct_debit": False,
            "taxability": "taxable",
            "pii_cleared": "active",
            "channel": "web",
            "card_status": "valid",
            "promotional_credits": 0,
            "refundable_credits": 0,
            "excess_payments": 0,
            "unbilled_charges": 0,
            "preferred_currency_code": "EUR",
            "deleted": False,
            "object": "customer",
        }
        self._fill(customer, form)
        customer["primary_payment_source_id"] = self._site.new_id("pm_")
        self._site.save("customer", customer)
        self._site.emit("customer_created", customer=customer)
        return {"customer": shown(customer)}

    @staticmethod
    def _fill(customer: Resource, form: Resource) -> bool:
        try:
            models.card_outcome(text(form, "cf_test_card"), 0)
        except ValueError as error:
            raise wrong("cf_test_card", str(error)) from None
        days = integer(form, "net_term_days")
        changed = copy_fields(form, customer, _CUSTOMER)
        if days is not None and days != customer["net_term_days"]:
            customer["net_term_days"] = days
            changed = True
        return changed

    def update(self, id_: str, form: Resource) -> Resource:
        """Change fields. A new `cf_test_card` is a new card, which begins its behaviour anew."""
        customer = self._site.find("customer", id_)
        changed = self._fill(customer, form)
        if "cf_test_card" in form:
            customer["_used"] = 0
            customer["primary_payment_source_id"] = self._site.new_id("pm_")
        if changed or "cf_test_card" in form:
            self._site.save("customer", customer)
            self._site.emit("customer_changed", customer=customer)
        return {"customer": shown(customer)}

    def delete(self, id_: str, _form: Resource) -> Resource:
        customer = self._site.find("customer", id_)
        for sub in list(self._site.tables["subscription"].values()):
            if sub["customer_id"] == id_ and not sub["deleted"]:
                self._billing.finish({**sub, "deleted": True}, "subscription_deleted")
        customer["deleted"] = True
        self._site.save("customer", customer)
        self._site.emit("customer_deleted", customer=customer)
        return {"customer": shown(customer)}


class Invoices:
    """https://apidocs.chargebee.com/docs/api/invoices"""

    def __init__(self, site: Site, billing: Billing) -> None:
        self._site = site
        self._billing = billing

    def _open(self, id_: str, doing: str) -> Resource:
        invoice = self._site.find("invoice", id_)
        if invoice["status"] not in ("posted", "payment_due", "not_paid"):
            raise bad_state(f"Invoice in {invoice['status']} state cannot be {doing}")
        return invoice

    def collect_payment(self, id_: str, form: Resource) -> Resource:
        """Charge the card now. A decline is kept as a failed transaction and told as an error."""
        invoice = self._open(id_, "collected")
        amount = integer(form, "amount")
        if amount is not None and not 0 < amount <= invoice["amount_due"]:
            raise wrong("amount", "should be positive and at most the amount due")
        txn = self._billing.attempt(invoice, amount)
        self._billing.after_invoice(invoice, txn)
        if txn["status"] == "failure":
            raise declined(txn, "Payment cannot be collected from your card on file.")
        return {"invoice": shown(invoice), "transaction": shown(txn)}

    def record_payment(self, id_: str, form: Resource) -> Resource:
        """A payment made elsewhere (cash, transfer)."""
        invoice = self._open(id_, "paid")
        details = form.get("transaction")
        if not isinstance(details, dict) or not text(details, "payment_method"):
            raise blank("transaction[payment_method]")
        amount = integer(details, "amount") or invoice["amount_due"]
        if amount > invoice["amount_due"]:
            raise wrong("transaction[amount]", "is more than the amount due")
        txn = self._billing.transaction(invoice, amount)
        txn.update(payment_method=details["payment_method"], gateway="not_applicable")
        txn.update(reference_number=text(details, "reference_number"), amount_unused=0)
        models.link_payment(invoice, txn, txn["date"])
        self._billing.after_invoice(invoice, txn)
        return {"invoice": shown(invoice), "transaction": shown(txn)}

    def stop_dunning(self, id_: str, _form: Resource) -> Resource:
        invoice = self._site.find("invoice", id_)
        if invoice.get("dunning_status") != "in_progress":
            raise bad_state("Dunning is not in progress for this invoice")
        models.end_dunning(invoice, "stopped")
        self._billing.after_invoice(invoice)
        return {"invoice": shown(invoice)}

    def void(self, id_: str, form: Resource) -> Resource:
        invoice = self._site.find("invoice", id_)
        if invoice["status"] == "voided":
            raise bad_state("Invoice is already voided")
        models.void(invoice, self._site.now(), text(form, "void_reason_code"))
        self._billing.after_invoice(invoice)
        return {"invoice": shown(invoice)}


class Catalog:
    """Item families, items and item prices; plans and flat fees only."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def create(self, kind: str, form: Resource) -> Resource:
        required, defaults = _CATALOG[kind]
        for name in required:
            if not text(form, name):
                raise blank(name)
        _new_id(self._site, kind, form)
        resource: Resource = {**defaults, **form, "deleted": False, "object": kind}
        for name in _NUMBERS:
            if (number := integer(form, name)) is not None:
                resource[name] = number
        if kind == "item_price":
            item = self._site.find("item", form["item_id"])
            resource.update(item_type=item["type"], item_family_id=item["item_family_id"])
            resource.setdefault("pricing_model", "flat_fee")
            if item["type"] == "plan" and not (form.get("period") and form.get("period_unit")):
                raise blank("period")
            resource.setdefault("price", 0)
        self._site.save(kind, resource)
        self._site.emit(f"{kind}_created", **{kind: resource})
        return {kind: shown(resource)}
