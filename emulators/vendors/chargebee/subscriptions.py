"""What callers do to subscriptions: https://apidocs.chargebee.com/docs/api/subscriptions

Left out: contract terms, coupons, addons, advance invoices, credit notes (so a change to something
cheaper within a term gives nothing back) and unbilled charges.
"""

from collections.abc import Iterable

from emulators.vendors.chargebee import models
from emulators.vendors.chargebee.billing import Bill, Billing
from emulators.vendors.chargebee.forms import (
    ApiError,
    Resource,
    bad_state,
    blank,
    choice,
    copy_fields,
    flag,
    integer,
    shown,
    text,
    wrong,
)
from emulators.vendors.chargebee.store import Site

_PLAIN = ("auto_collection", "po_number", "invoice_notes")


class Subscriptions:
    """Each method takes the id in the path and the form, and gives the answer's body."""

    def __init__(self, site: Site, billing: Billing) -> None:
        self._site = site
        self._billing = billing

    def answer(self, sub: Resource, bill: Bill | None = None) -> Resource:
        customer = self._site.tables["customer"][sub["customer_id"]]
        body = {"subscription": shown(sub), "customer": shown(customer)}
        if bill is not None:
            body["invoice"] = shown(bill.invoice)
        return body

    def _find(self, id_: str) -> Resource:
        return self._site.find("subscription", id_)

    def _must_be(self, sub: Resource, allowed: Iterable[str], doing: str) -> None:
        if sub["status"] not in allowed:
            raise bad_state(f"Subscription in {sub['status']} state cannot be {doing}")

    def _items(self, form: Resource) -> tuple[list[Resource], Resource]:
        """The items asked for, priced, and the price of the one plan among them."""
        rows = form.get("subscription_items")
        if not isinstance(rows, list) or not rows:
            raise blank("subscription_items[item_price_id][0]")
        items: list[Resource] = []
        plans: list[Resource] = []
        for number, row in enumerate(rows):
            if not isinstance(row, dict) or not text(row, "item_price_id"):
                raise blank(f"subscription_items[item_price_id][{number}]")
            price = self._site.tables["item_price"].get(row["item_price_id"])
            if price is None or price["status"] != "active":
                param = f"subscription_items[item_price_id][{number}]"
                raise ApiError(
                    404, "resource_not_found", f"{row['item_price_id']} not found", param
                )
            quantity = integer(row, "quantity") or 1
            given = integer(row, "unit_price")
            unit = price["price"] if given is None else given
            if price["item_type"] == "plan":
                plans.append(price)
            item = {
                "item_price_id": price["id"],
                "item_type": price["item_type"],
                "quantity": quantity,
                "unit_price": unit,
                "amount": unit * quantity,
                "free_quantity": 0,
                "object": "subscription_item",
            }
            items.insert(0 if price["item_type"] == "plan" else len(items), item)
        if len(plans) != 1:
            raise wrong("subscription_items", "exactly one plan item price is needed")
        return items, plans[0]

    # Creating and reading

    def create(self, customer_id: str, form: Resource) -> Resource:
        """`create_with_items`. A first payment that fails creates nothing, as documented."""
        site, now = self._site, self._site.now()
        site.find("customer", customer_id)
        items, plan = self._items(form)
        id_ = text(form, "id") or site.new_id()
        if id_ in site.tables["subscription"]:
            raise ApiError(400, "duplicate_entry", f"The value {id_} is already present.", "id")
        sub = _blank_subscription(id_, customer_id)
        copy_fields(form, sub, _PLAIN)
        models.set_items(sub, items, plan)
        start = integer(form, "start_date")
        trial_end = self._trial_end(form, plan, start or now)
        bill = None
        if start is not None and start > now:
            sub.update(status="future", start_date=start, next_billing_at=start)
            sub["_trial_end"] = trial_end
        elif trial_end:
            models.begin_trial(sub, now, trial_end)
        else:
            models.activate(sub, now)
            bill = self._paid(sub, now, "Subscription cannot be created", first=True)
        self._billing.finish(sub, "subscription_created", bill)
        return self.answer(sub, bill)

    @staticmethod
    def _trial_end(form: Resource, plan: Resource, start: int) -> int | None:
        """When the trial ends, None for no trial. An explicit 0 takes the plan's trial away."""
        given = integer(form, "trial_end")
        if given is not None:
            if given and given <= start:
                raise wrong("trial_end", "should be after the start")
            return given or None
        if not plan.get("trial_period"):
            return None
        return models.add_period(start, plan["trial_period"], plan["trial_period_unit"])

    def _paid(
        self,
        sub: Resource,
        at: int,
        otherwise: str,
        *,
        first: bool = False,
        lines: list[Resource] | None = None,
    ) -> Bill | None:
        bill = self._billing.bill(sub, at, first=first, lines=lines)
        if bill is not None and bill.declined:
            raise self._billing.refuse(bill, sub, otherwise)
        return bill

    def retrieve(self, id_: str, _form: Resource) -> Resource:
        return self.answer(self._find(id_))

    def retrieve_with_scheduled_changes(self, id_: str, _form: Resource) -> Resource:
        sub = self._find(id_)
        if "_ramp" not in sub:
            raise bad_state("No changes are scheduled for this subscription")
        items = sub["_ramp"]
        models.set_items(sub, items, self._site.tables["item_price"][items[0]["item_price_id"]])
        return self.answer(sub)

    # Changing

    def update(self, id_: str, form: Resource) -> Resource:
        """`update`: custom fields, meta data and dates; items only by `update_for_items`."""
        sub = self._find(id_)
        changed = copy_fields(form, sub, _PLAIN)
        changed = self._move_dates(sub, form) or changed
        if changed:
            self._billing.finish(sub, "subscription_changed")
        return self.answer(sub)

    def _move_dates(self, sub: Resource, form: Resource) -> bool:
        start, trial_end = integer(form, "start_date"), integer(form, "trial_end")
        if start is not None:
            self._must_be(sub, ("future",), "given another start date")
            if start <= self._site.now():
                raise wrong("start_date", "should be in the future")
            sub.update(start_date=start, next_billing_at=start)
        if trial_end is not None:
            self._must_be(sub, ("in_trial",), "given another trial end")
            if trial_end <= self._site.now():
                raise wrong("trial_end", "should be in the future")
            sub.update(trial_end=trial_end, current_term_end=trial_end, next_billing_at=trial_end)
        return start is not None or trial_end is not None

    def update_for_items(self, id_: str, form: Resource) -> Resource:
        """Change items now, or with `end_of_term` when the current term ends.

        Another billing period or `force_term_reset` begins a new, fully billed term now; within the
        same period only the dearer part of the rest of the term is charged, unless `prorate=false`.
        """
        sub = self._find(id_)
        if sub["status"] == "cancelled":
            self._must_be(sub, (), "changed")
        if "subscription_items" not in form:
            return self.update(id_, form)
        copy_fields(form, sub, _PLAIN)
        self._move_dates(sub, form)
        items, plan = self._items(form)
        option = choice(form, "change_option", ("immediately", "end_of_term"))
        if flag(form, "end_of_term") or option == "end_of_term":
            self._must_be(sub, ("active", "in_trial", "non_renewing"), "changed at end of term")
            sub.update(_ramp=items, has_scheduled_changes=True)
            sub["changes_scheduled_at"] = sub["current_term_end"]
            self._billing.finish(sub, "subscription_changes_scheduled")
            return self.answer(sub)
        bill = self._change_now(sub, items, plan, form)
        self._billing.finish(sub, "subscription_changed", bill)
        return self.answer(sub, bill)

    def _change_now(
        self, sub: Resource, items: list[Resource], plan: Resource, form: Resource
    ) -> Bill | None:
        now = self._site.now()
        period = sub["billing_period"], sub["billing_period_unit"]
        paid = sum(item["amount"] for item in sub["subscription_items"])
        models.set_items(sub, items, plan)
        if sub["status"] not in ("active", "non_renewing"):
            return None
        refusal = "Subscription cannot be changed"
        if period != (plan["period"], plan["period_unit"]) or flag(form, "force_term_reset"):
            models.begin_term(sub, now, new_day=True)
            if sub["status"] == "non_renewing":
                sub["cancelled_at"] = sub["current_term_end"]
                sub.pop("next_billing_at")
            return self._paid(sub, now, refusal)
        dearer = sum(item["amount"] for item in items) - paid
        if dearer <= 0 or flag(form, "prorate") is False:
            return None
        whole = sub["current_term_end"] - sub["current_term_start"]
        amount = round(dearer * (sub["current_term_end"] - now) / whole)
        return self._paid(sub, now, refusal, lines=[self._billing.line(sub, items[0], amount, now)])

    def remove_scheduled_changes(self, id_: str, _form: Resource) -> Resource:
        sub = self._find(id_)
        if "_ramp" not in sub:
            raise bad_state("No changes are scheduled for this subscription")
        for name in ("_ramp", "changes_scheduled_at"):
            sub.pop(name)
        sub["has_scheduled_changes"] = False
        self._billing.finish(sub, "subscription_scheduled_changes_removed")
        return self.answer(sub)

    def change_term_end(self, id_: str, form: Resource) -> Resource:
        """Move the end of the current term or trial; nothing is prorated."""
        sub, end = self._find(id_), integer(form, "term_ends_at")
        if end is None:
            raise blank("term_ends_at")
        if end <= self._site.now():
            raise wrong("term_ends_at", "should be in the future")
        self._must_be(sub, ("active", "in_trial", "non_renewing"), "given another term end")
        for name in ("trial_end", "cancelled_at", "changes_scheduled_at", "next_billing_at"):
            if sub.get(name) == sub["current_term_end"]:
                sub[name] = end
        sub["current_term_end"] = end
        sub["_day"] = 0
        self._billing.finish(sub, "subscription_changed")
        return self.answer(sub)

    def delete(self, id_: str, _form: Resource) -> Resource:
        sub = self._find(id_)
        sub["deleted"] = True
        self._billing.finish(sub, "subscription_deleted")
        return self.answer(sub)


def _blank_subscription(id_: str, customer_id: str) -> Resource:
    return {
        "id": id_,
        "customer_id": customer_id,
        "auto_collection": "on",
        "channel": "web",
        "due_invoices_count": 0,
        "has_scheduled_changes": False,
        "has_scheduled_advance_invoices": False,
        "create_pending_invoices": False,
        "auto_close_invoices": True,
        "exchange_rate": 1.0,
        "base_currency_code": "EUR",
        "deleted": False,
        "object": "subscription",
    }
