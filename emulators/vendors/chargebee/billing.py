"""What time brings: trials end, terms renew, invoices are collected, scheduled changes happen.

One entry of the agenda stands for the next thing due of a subscription or an invoice. Terms count
from when they were due, not from when the machine came to it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from emulators.agenda import Entry
from emulators.vendors.chargebee import models
from emulators.vendors.chargebee.forms import ApiError, Resource
from emulators.vendors.chargebee.models import DAY, Due, Step
from emulators.vendors.chargebee.store import Site

_NEXT = {"subscription": models.next_step, "invoice": models.next_invoice_step}


@dataclass
class Bill:
    """An invoice of a subscription, not saved yet, and the attempt to collect it, if any."""

    invoice: Resource
    transaction: Resource | None = None

    @property
    def declined(self) -> bool:
        return self.transaction is not None and self.transaction["status"] == "failure"


class Billing:
    """Invoices and collects, and carries out what is due on virtual time.

    `settings["chargebee_dunning_days"]` (`"3,5,7"`) makes Chargebee itself retry so many days after
    one another and then give up; by default it does not, since the product retries.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._entries: dict[tuple[str, str], tuple[Due, Entry]] = {}
        self._steps = {
            Step.START: self._start,
            Step.ACTIVATE: self._activate,
            Step.RENEW: self._renew,
            Step.CANCEL: self._cancel,
            Step.PAUSE: self._pause,
            Step.RESUME: self._resume,
            Step.CHANGE: self._change,
        }
        site.on_save = self._schedule
        for kind in _NEXT:
            for resource in site.tables[kind].values():
                self._schedule(kind, resource)

    def stop(self) -> None:
        for _, entry in self._entries.values():
            entry.cancel()
        self._entries.clear()

    # What is due

    def _schedule(self, kind: str, resource: Resource) -> None:
        if kind not in _NEXT:
            return
        key = kind, resource["id"]
        due = _NEXT[kind](resource)
        known = self._entries.get(key)
        if known is not None:
            if known[0] == due:
                return
            known[1].cancel()
            del self._entries[key]
        if due is not None:
            when = datetime.fromtimestamp(due.at, UTC)
            action = partial(self._run, kind, resource["id"])
            entry = self._site.ground.agenda.at(when, action, f"chargebee {kind} {due.step}")
            self._entries[key] = due, entry

    def _run(self, kind: str, id_: str) -> None:
        self._entries.pop((kind, id_), None)
        resource = dict(self._site.tables[kind][id_])
        due = _NEXT[kind](resource)
        if due is None or due.at > self._site.now():
            return
        with self._site.change("scheduled_job"):
            if kind == "invoice":
                self._advance_invoice(resource, due)
            else:
                self._steps[due.step](resource, due.at)

    # Billing

    def bill(
        self, sub: Resource, at: int, *, first: bool = False, lines: list[Resource] | None = None
    ) -> Bill | None:
        """Invoice the current term (or `lines`) and try to collect. Saves nothing but the attempt.

        None when there is nothing to pay.
        """
        lines = self._lines(sub) if lines is None else lines
        if not sum(line["amount"] for line in lines):
            return None
        customer = self._site.tables["customer"][sub["customer_id"]]
        net_days = int(customer.get("net_term_days") or 0)
        id_ = self._site.new_invoice_id()
        invoice = models.new_invoice(id_, sub, lines, at, first=first, net_days=net_days)
        bill = Bill(invoice)
        automatic = sub.get("auto_collection") or customer["auto_collection"]
        if automatic == "on":
            bill.transaction = self.attempt(invoice)
        return bill

    def _lines(self, sub: Resource) -> list[Resource]:
        return [
            self.line(sub, item, item["amount"], sub["current_term_start"])
            for item in sub["subscription_items"]
        ]

    def line(self, sub: Resource, item: Resource, amount: int, date_from: int) -> Resource:
        """An invoice line for an item up to the end of the current term."""
        price = self._site.tables["item_price"][item["item_price_id"]]
        return {
            "id": self._site.new_id("li_"),
            "date_from": date_from,
            "date_to": sub["current_term_end"],
            "unit_amount": item["unit_price"],
            "quantity": item["quantity"],
            "amount": amount,
            "pricing_model": "flat_fee",
            "is_taxed": False,
            "tax_amount": 0,
            "discount_amount": 0,
            "item_level_discount_amount": 0,
            "description": price["name"],
            "entity_type": "plan_item_price",
            "entity_id": item["item_price_id"],
            "tax_exempt_reason": "tax_not_configured",
            "subscription_id": sub["id"],
            "customer_id": sub["customer_id"],
            "object": "line_item",
        }

    def attempt(self, invoice: Resource, amount: int | None = None) -> Resource:
        """Charge the customer's card for an invoice and enter the outcome in it.

        The card behaves as the customer's `cf_test_card` says; see `models.card_outcome`.
        """
        site = self._site
        customer = site.tables["customer"][invoice["customer_id"]]
        used = customer.get("_used", 0)
        outcome = models.card_outcome(customer.get("cf_test_card", "ok"), used)
        site.note("customer", customer, used=used + 1)
        txn = self.transaction(invoice, invoice["amount_due"] if amount is None else amount)
        txn.update(payment_method="card", gateway="chargebee", initiator_type="merchant")
        txn.update(id_at_gateway=f"cb_{txn['id'][4:]}", masked_card_number="************1111")
        if outcome != "ok":
            self._decline(txn, outcome)
        models.link_payment(invoice, txn, txn["date"])
        self._plan_retry(invoice, txn)
        return txn

    def transaction(self, invoice: Resource, amount: int) -> Resource:
        """A successful payment of an invoice, not saved."""
        now = self._site.now()
        return {
            "id": self._site.new_id("txn_"),
            "customer_id": invoice["customer_id"],
            "subscription_id": invoice["subscription_id"],
            "type": "payment",
            "date": now,
            "exchange_rate": 1.0,
            "currency_code": invoice["currency_code"],
            "base_currency_code": invoice["currency_code"],
            "amount": amount,
            "status": "success",
            "fraud_flag": "safe",
            "amount_unused": 0,
            "linked_invoices": [],
            "linked_refunds": [],
            "deleted": False,
            "object": "transaction",
        }

    @staticmethod
    def _decline(txn: Resource, code: str) -> None:
        text = models.DECLINES[code]
        txn.update(status="failure", error_code=code, error_text=text)
        txn["error_detail"] = {
            "error_code": "card_declined",
            "error_message": "Your card was declined.",
            "decline_code": code,
            "decline_message": text,
            "error_cause_id": "gateway.general.decline",
            "object": "gateway_error_detail",
        }

    def _plan_retry(self, invoice: Resource, txn: Resource) -> None:
        setting = self._site.ground.settings.get("chargebee_dunning_days", "")
        days = [int(day) for day in setting.split(",") if day.strip()]
        if not days or txn["status"] == "success" or invoice["status"] != "payment_due":
            return
        done = len(invoice["dunning_attempts"]) - 1
        if done >= len(days):
            models.end_dunning(invoice, "exhausted")
        else:
            invoice["next_retry_at"] = txn["date"] + days[done] * DAY

    # Saving and telling

    def enter(self, bill: Bill | None) -> None:
        """Save the invoice and the attempt of a bill, each seeing the other."""
        if bill is None:
            return
        self._site.save("invoice", bill.invoice)
        if bill.transaction is not None:
            self.link(bill.transaction, bill.invoice)

    def link(self, txn: Resource, invoice: Resource) -> None:
        applied = txn["amount"] if txn["status"] == "success" else 0
        txn["linked_invoices"] = [
            {
                "invoice_id": invoice["id"],
                "applied_amount": applied,
                "applied_at": txn["date"],
                "invoice_date": invoice["date"],
                "invoice_total": invoice["total"],
                "invoice_status": invoice["status"],
            }
        ]
        self._site.save("transaction", txn)

    def refuse(self, bill: Bill, sub: Resource, what: str) -> ApiError:
        """The error for a change that cannot be paid: only the failed attempt is kept."""
        txn, invoice = bill.transaction, bill.invoice
        if txn is None:
            raise ValueError("nothing was attempted")
        if sub["id"] not in self._site.tables["subscription"]:
            del txn["subscription_id"]
        self._site.save("transaction", txn)
        customer = self._site.tables["customer"][sub["customer_id"]]
        self._site.emit("payment_failed", transaction=txn, customer=customer)
        amount = f"{invoice['currency_code']} {txn['amount'] / 100:.2f}"
        return declined(
            txn, f"{what} as we are not able to collect {amount} from your card on file."
        )

    def dues(self, sub: Resource) -> None:
        """Bring the dues of a subscription in line with its invoices."""
        table = self._site.tables["invoice"]
        unpaid = [
            invoice
            for id_ in self._site.invoices_of[sub["id"]]
            if (invoice := table[id_])["status"] in ("payment_due", "not_paid")
            and not invoice["deleted"]
        ]
        sub["due_invoices_count"] = len(unpaid)
        sub.pop("due_since", None)
        sub.pop("total_dues", None)
        if unpaid:
            sub["due_since"] = min(invoice["due_date"] for invoice in unpaid)
            sub["total_dues"] = sum(invoice["amount_due"] for invoice in unpaid)

    def finish(self, sub: Resource, event_type: str, bill: Bill | None = None) -> None:
        """Save a changed subscription with its bill, and tell of all of it."""
        self.enter(bill)
        if bill is not None:
            self.dues(sub)
        self._site.save("subscription", sub)
        customer = self._site.tables["customer"][sub["customer_id"]]
        invoice = bill.invoice if bill else None
        self._site.emit(event_type, subscription=sub, customer=customer, invoice=invoice)
        if bill is not None:
            self._site.emit("invoice_generated", invoice=bill.invoice)
            if bill.transaction is not None:
                self.tell_payment(bill.transaction, bill.invoice)

    def tell_payment(self, txn: Resource, invoice: Resource) -> None:
        kind = "payment_succeeded" if txn["status"] == "success" else "payment_failed"
        self._site.emit(
            kind,
            transaction=txn,
            invoice=invoice,
            customer=self._site.tables["customer"][invoice["customer_id"]],
            subscription=self._site.tables["subscription"].get(invoice["subscription_id"]),
        )

    def after_invoice(self, invoice: Resource, txn: Resource | None = None) -> None:
        """Save an invoice that changed by itself, and with it its subscription's dues."""
        self.enter(Bill(invoice, txn))
        sub = dict(self._site.tables["subscription"][invoice["subscription_id"]])
        before = sub.get("due_invoices_count"), sub.get("total_dues")
        self.dues(sub)
        if before != (sub.get("due_invoices_count"), sub.get("total_dues")):
            self._site.save("subscription", sub)
        self._site.emit("invoice_updated", invoice=invoice)
        if txn is not None:
            self.tell_payment(txn, invoice)

    # The steps of a subscription

    def _start(self, sub: Resource, at: int) -> None:
        sub["started_at"] = at
        if (trial_end := sub.pop("_trial_end", None)) and trial_end > at:
            models.begin_trial(sub, at, trial_end)
            self.finish(sub, "subscription_started")
            return
        models.activate(sub, at)
        self.finish(sub, "subscription_started", self.bill(sub, at, first=True))

    def _activate(self, sub: Resource, at: int) -> None:
        self._apply_ramp(sub, at)
        models.activate(sub, at)
        self.finish(sub, "subscription_activated", self.bill(sub, at, first=True))

    def _renew(self, sub: Resource, at: int) -> None:
        models.begin_term(sub, at)
        models.settle_renewal(sub)
        self.finish(sub, "subscription_renewed", self.bill(sub, at))

    def _cancel(self, sub: Resource, at: int) -> None:
        models.cancel(sub, at)
        self.finish(sub, "subscription_cancelled")

    def _pause(self, sub: Resource, at: int) -> None:
        models.pause(sub, at)
        self.finish(sub, "subscription_paused")

    def _resume(self, sub: Resource, at: int) -> None:
        """A scheduled resumption holds even when the new term cannot be collected."""
        new_term = models.resume(sub, at)
        bill = self.bill(sub, at) if new_term and sub["status"] == "active" else None
        self.finish(sub, "subscription_resumed", bill)

    def _change(self, sub: Resource, at: int) -> None:
        """At the end of a term this comes right before the renewal, which bills the new items."""
        self._apply_ramp(sub, at)
        self.finish(sub, "subscription_changed")

    def _apply_ramp(self, sub: Resource, at: int) -> None:
        """Let the scheduled items become the current ones, when their time has come."""
        if sub.get("changes_scheduled_at", at + 1) > at:
            return
        items = sub.pop("_ramp")
        plan = self._site.tables["item_price"][items[0]["item_price_id"]]
        models.set_items(sub, items, plan)
        sub.pop("changes_scheduled_at")
        sub["has_scheduled_changes"] = False

    # The steps of an invoice

    def _advance_invoice(self, invoice: Resource, due: Due) -> None:
        if due.step is Step.FALL_DUE:
            invoice["status"] = "payment_due"
            self.after_invoice(invoice)
        else:
            invoice.pop("next_retry_at")
            self.after_invoice(invoice, self.attempt(invoice))


def declined(txn: Resource, message: str) -> ApiError:
    """`payment_processing_failed`; the documentation's sample of it carries HTTP status 400."""
    reason = f"Error message: ({txn['error_code']}) {txn['error_text']}"
    return ApiError(400, "payment_processing_failed", f"{message} {reason}", kind="payment")
