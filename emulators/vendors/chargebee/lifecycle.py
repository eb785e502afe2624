"""Pausing, resuming, cancelling and reactivating, at once or later, and taking it back.

https://apidocs.chargebee.com/docs/api/subscriptions/pause-a-subscription and its neighbours.
"""

from emulators.vendors.chargebee import models
from emulators.vendors.chargebee.forms import (
    Resource,
    bad_state,
    blank,
    choice,
    flag,
    integer,
    text,
    wrong,
)
from emulators.vendors.chargebee.subscriptions import Subscriptions


class Lifecycle(Subscriptions):
    """The rest of what callers do to subscriptions."""

    def pause(self, id_: str, form: Resource) -> Resource:
        sub, now = self._find(id_), self._site.now()
        if sub["status"] not in ("active", "non_renewing"):
            raise bad_state(
                f"Subscription in {sub['status']} state cannot be paused", "invalid_state_for_pause"
            )
        if sub["has_scheduled_changes"]:
            raise bad_state("Subscription has scheduled changes", "operation_failed")
        options = ("immediately", "end_of_term", "specific_date", "billing_cycles")
        option = choice(form, "pause_option", options) or "immediately"
        at = self._pause_date(sub, form, option)
        resume_at = self._resume_date(sub, form, option)
        if resume_at is not None and resume_at <= at:
            raise wrong("resume_date", "should be after the pause")
        if resume_at is not None:
            sub["resume_date"] = resume_at
        if at <= now:
            models.pause(sub, now)
            self._stop_dunning(sub, form)
            self._billing.finish(sub, "subscription_paused")
        else:
            sub["pause_date"] = at
            self._billing.finish(sub, "subscription_pause_scheduled")
        return self.answer(sub)

    def _pause_date(self, sub: Resource, form: Resource, option: str) -> int:
        if option == "immediately":
            return self._site.now()
        end = int(sub["current_term_end"])
        if option != "specific_date":
            return end
        at = integer(form, "pause_date")
        if at is None:
            raise blank("pause_date")
        if at <= self._site.now() or at >= sub.get("cancelled_at", at + 1):
            raise wrong("pause_date", "should be in the future and before any cancellation")
        return at

    @staticmethod
    def _resume_date(sub: Resource, form: Resource, option: str) -> int | None:
        if option != "billing_cycles":
            return integer(form, "resume_date")
        cycles = integer(form, "skip_billing_cycles")
        if not cycles:
            raise blank("skip_billing_cycles")
        count, unit = cycles * sub["billing_period"], sub["billing_period_unit"]
        return models.add_period(sub["current_term_end"], count, unit, sub.get("_day", 0))

    def _stop_dunning(self, sub: Resource, form: Resource) -> None:
        if choice(form, "invoice_dunning_handling", ("continue", "stop")) != "stop":
            return
        for invoice_id in self._site.invoices_of[sub["id"]]:
            invoice = dict(self._site.tables["invoice"][invoice_id])
            if invoice.get("dunning_status") == "in_progress":
                models.end_dunning(invoice, "stopped")
                self._billing.after_invoice(invoice)
        self._billing.dues(sub)

    def remove_scheduled_pause(self, id_: str, _form: Resource) -> Resource:
        sub = self._find(id_)
        if sub["status"] == "paused" or not sub.get("pause_date"):
            raise bad_state("No pause is scheduled for this subscription")
        sub.pop("pause_date")
        sub.pop("resume_date", None)
        self._billing.finish(sub, "subscription_scheduled_pause_removed")
        return self.answer(sub)

    def resume(self, id_: str, form: Resource) -> Resource:
        """Within the paused term nothing is charged; after it a new term begins, to be paid."""
        sub, now = self._find(id_), self._site.now()
        self._must_be(sub, ("paused",), "resumed")
        option = choice(form, "resume_option", ("immediately", "specific_date")) or "immediately"
        if option == "specific_date":
            at = integer(form, "resume_date")
            if at is None:
                raise blank("resume_date")
            if at <= now:
                raise wrong("resume_date", "should be in the future")
            sub.update(resume_date=at, next_billing_at=at)
            self._billing.finish(sub, "subscription_resumption_scheduled")
            return self.answer(sub)
        bill = None
        if models.resume(sub, now) and sub["status"] == "active":
            bill = self._paid(sub, now, "Subscription cannot be resumed")
        self._billing.finish(sub, "subscription_resumed", bill)
        return self.answer(sub, bill)

    def remove_scheduled_resumption(self, id_: str, _form: Resource) -> Resource:
        sub = self._find(id_)
        if sub["status"] != "paused" or not sub.get("resume_date"):
            raise bad_state("No resumption is scheduled for this subscription")
        sub.pop("resume_date")
        sub.pop("next_billing_at", None)
        self._billing.finish(sub, "subscription_scheduled_resumption_removed")
        return self.answer(sub)

    def cancel(self, id_: str, form: Resource) -> Resource:
        """`cancel_for_items`: at once unless `end_of_term`, `cancel_at` or a `cancel_option`."""
        sub, now = self._find(id_), self._site.now()
        if sub["status"] == "cancelled":
            raise bad_state("Subscription is already cancelled")
        reason = text(form, "cancel_reason_code") or None
        at = None if sub["status"] == "future" else self._cancel_date(sub, form)
        if at is None:
            models.cancel(sub, now, reason)
            self._billing.finish(sub, "subscription_cancelled")
        else:
            models.schedule_cancel(sub, at, now, reason)
            self._billing.finish(sub, "subscription_cancellation_scheduled")
        return self.answer(sub)

    def _cancel_date(self, sub: Resource, form: Resource) -> int | None:
        """When to cancel; None for at once."""
        options = ("immediately", "end_of_term", "specific_date", "end_of_billing_term")
        option = choice(form, "cancel_option", options)
        given = integer(form, "cancel_at")
        if option is None:
            option = "end_of_term" if flag(form, "end_of_term") else "immediately"
            option = "specific_date" if given is not None else option
        if option == "immediately":
            return None
        if option == "specific_date":
            if given is None:
                raise blank("cancel_at")
            if given <= self._site.now():
                raise wrong("cancel_at", "should be in the future")
            return given
        self._must_be(sub, ("active", "in_trial", "non_renewing"), "cancelled at end of term")
        return int(sub["current_term_end"])

    def remove_scheduled_cancellation(self, id_: str, _form: Resource) -> Resource:
        sub = self._find(id_)
        if sub["status"] in ("cancelled", "paused") or not sub.get("cancelled_at"):
            raise bad_state("No cancellation is scheduled for this subscription")
        models.unschedule_cancel(sub)
        self._billing.finish(sub, "subscription_scheduled_cancellation_removed")
        return self.answer(sub)

    def reactivate(self, id_: str, form: Resource) -> Resource:
        """Bring a cancelled subscription back, with a new term that must be paid, or a trial."""
        sub, now = self._find(id_), self._site.now()
        self._must_be(sub, ("cancelled",), "reactivated")
        for name in ("cancelled_at", "cancel_schedule_created_at", "cancel_reason_code"):
            sub.pop(name, None)
        bill, trial_end = None, integer(form, "trial_end")
        if trial_end:
            if trial_end <= now:
                raise wrong("trial_end", "should be in the future")
            models.begin_trial(sub, now, trial_end)
        else:
            models.activate(sub, now)
            bill = self._paid(sub, now, "Subscription cannot be reactivated")
        self._billing.finish(sub, "subscription_reactivated", bill)
        return self.answer(sub, bill)
