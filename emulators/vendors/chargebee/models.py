"""How a subscription and an invoice change state. Pure: every instant is given, nothing is saved.

Instants are epoch seconds in UTC. The rules are those of the subscription life cycle in
https://www.chargebee.com/docs/2.0/subscriptions.html and of the API's subscription and invoice
objects. Terms keep the day of the month on which billing began (31 January, 28 February, 31 March).
"""

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any

from dateutil.relativedelta import relativedelta

from emulators.vendors.chargebee.forms import Resource

DAY = 86_400

SOFT_DECLINES = {
    "insufficient_funds": "Insufficient funds in the account.",
    "processing_error": "An error occurred while processing the card.",
    "do_not_honor": "The issuer does not honour this charge.",
    "try_again_later": "The issuer asks to try again later.",
}
HARD_DECLINES = {
    "card_declined": "The card was declined.",
    "stolen_card": "The card has been reported stolen.",
    "expired_card": "The card has expired.",
    "lost_card": "The card has been reported lost.",
}
DECLINES = SOFT_DECLINES | HARD_DECLINES
_ALIASES = {
    "soft_decline_once": "insufficient_funds*1,ok",
    "soft_decline_twice": "insufficient_funds*2,ok",
    "soft_decline_thrice": "insufficient_funds*3,ok",
    "hard_decline": "card_declined",
    "always_declined": "insufficient_funds",
}


@lru_cache(maxsize=256)
def _outcomes(behaviour: str) -> tuple[str, ...]:
    steps: list[str] = []
    for word in behaviour.split(","):
        for step in _ALIASES.get(word.strip(), word.strip()).split(","):
            code, _, times = step.partition("*")
            if code != "ok" and code not in DECLINES:
                raise ValueError(f"unknown payment behaviour {code!r}")
            steps += [code] * (int(times) if times else 1)
    return tuple(steps)


def card_outcome(behaviour: str, attempt: int) -> str:
    """What a card answers to its attempt number `attempt` (from 0): `ok` or a decline code.

    A behaviour is a list of steps, `ok*2,insufficient_funds*3,ok`, of which the last lasts for
    ever, or a word of the aliases. Raises ValueError for anything else.
    """
    outcomes = _outcomes(behaviour or "ok")
    return outcomes[min(attempt, len(outcomes) - 1)]


def add_period(start: int, count: int, unit: str, day: int = 0) -> int:
    """`count` units after `start`, by months on day `day` (0: the start's own) or the last one."""
    if unit == "day":
        return start + count * DAY
    if unit == "week":
        return start + count * 7 * DAY
    months = count * (12 if unit == "year" else 1)
    begun = datetime.fromtimestamp(start, UTC)
    moved = begun + relativedelta(months=months)
    last = calendar.monthrange(moved.year, moved.month)[1]
    moved = moved.replace(day=min(day or begun.day, last))
    return (moved - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)


class Step(StrEnum):
    """What time does to a subscription or an invoice. Of one instant, in this order."""

    START = "start"
    CANCEL = "cancel"
    PAUSE = "pause"
    CHANGE = "change"
    ACTIVATE = "activate"
    RENEW = "renew"
    RESUME = "resume"
    FALL_DUE = "fall_due"
    RETRY = "retry"


_ORDER = {step: number for number, step in enumerate(Step)}


@dataclass(frozen=True)
class Due:
    at: int
    step: Step


def next_step(sub: Resource) -> Due | None:
    """What comes next for a subscription, or None."""
    if sub["deleted"]:
        return None
    status = sub["status"]
    candidates: list[tuple[int | None, Step]] = []
    if status == "future":
        candidates = [(sub["start_date"], Step.START)]
    elif status == "in_trial":
        end = Step.CANCEL if sub.get("cancelled_at") else Step.ACTIVATE
        candidates = [(sub["trial_end"], end), (sub.get("cancelled_at"), Step.CANCEL)]
    elif status in ("active", "non_renewing"):
        candidates = [
            (sub.get("cancelled_at"), Step.CANCEL),
            (sub.get("pause_date"), Step.PAUSE),
            (sub.get("changes_scheduled_at"), Step.CHANGE),
        ]
        if status == "active":
            candidates.append((sub["current_term_end"], Step.RENEW))
    elif status == "paused":
        candidates = [
            (sub.get("cancelled_at"), Step.CANCEL),
            (sub.get("resume_date"), Step.RESUME),
        ]
    dues = [Due(at, step) for at, step in candidates if at is not None]
    return min(dues, key=lambda due: (due.at, _ORDER[due.step]), default=None)


def set_items(sub: Resource, items: list[Resource], plan: Resource) -> None:
    """Give a subscription its items; period, currency and MRR follow from the plan's price."""
    sub["subscription_items"] = items
    sub["_item_id"] = plan["item_id"]
    sub["billing_period"] = plan["period"]
    sub["billing_period_unit"] = plan["period_unit"]
    sub["currency_code"] = plan["currency_code"]
    months = plan["period"] * {"year": 12, "month": 1}.get(plan["period_unit"], 0)
    sub["mrr"] = round(sum(item["amount"] for item in items) / months) if months else 0


def begin_term(sub: Resource, start: int, *, new_day: bool = False) -> None:
    """Start a paid term at `start`; `new_day` moves the billing day there as well."""
    if new_day or not sub.get("_day"):
        sub["_day"] = datetime.fromtimestamp(start, UTC).day
    end = add_period(start, sub["billing_period"], sub["billing_period_unit"], sub["_day"])
    sub["current_term_start"], sub["current_term_end"] = start, end
    sub["next_billing_at"] = end


def begin_trial(sub: Resource, start: int, end: int) -> None:
    sub.update(status="in_trial", trial_start=start, trial_end=end, next_billing_at=end)
    sub.update(current_term_start=start, current_term_end=end, started_at=start)


def activate(sub: Resource, at: int) -> None:
    """Enter the first paid term, or the first one after a trial or a reactivation."""
    sub["status"] = "active"
    sub.setdefault("started_at", at)
    sub["activated_at"] = at
    begin_term(sub, at, new_day=True)


def schedule_cancel(sub: Resource, at: int, now: int, reason: str | None) -> None:
    """Let a subscription end at `at`. One in trial keeps its status until then."""
    sub.update(cancelled_at=at, cancel_schedule_created_at=now)
    if reason:
        sub["cancel_reason_code"] = reason
    settle_renewal(sub)


def settle_renewal(sub: Resource) -> None:
    """No renewal, thus `non_renewing`, once the cancellation falls into the current term."""
    if sub.get("cancelled_at", sub["current_term_end"] + 1) > sub["current_term_end"]:
        return
    if sub["status"] == "active":
        sub["status"] = "non_renewing"
    sub.pop("next_billing_at", None)


def unschedule_cancel(sub: Resource) -> None:
    for name in ("cancelled_at", "cancel_schedule_created_at", "cancel_reason_code"):
        sub.pop(name, None)
    if sub["status"] == "non_renewing":
        sub["status"] = "active"
    sub["next_billing_at"] = sub["current_term_end"]


def cancel(sub: Resource, at: int, reason: str | None = None) -> None:
    sub.update(status="cancelled", cancelled_at=at, has_scheduled_changes=False)
    if reason:
        sub["cancel_reason_code"] = reason
    for name in ("next_billing_at", "pause_date", "resume_date", "changes_scheduled_at", "_ramp"):
        sub.pop(name, None)


def pause(sub: Resource, at: int) -> None:
    sub.update(status="paused", pause_date=at)
    sub.pop("next_billing_at", None)
    if sub.get("resume_date"):
        sub["next_billing_at"] = sub["resume_date"]


def resume(sub: Resource, at: int) -> bool:
    """Wake a paused subscription. True when its term has run out, so that a new one began."""
    sub.pop("pause_date", None)
    sub.pop("resume_date", None)
    sub["status"] = "non_renewing" if sub.get("cancelled_at") else "active"
    if at < sub["current_term_end"]:
        if sub["status"] == "active":
            sub["next_billing_at"] = sub["current_term_end"]
        return False
    begin_term(sub, at, new_day=True)
    return True


def new_invoice(
    id_: str, sub: Resource, lines: list[Resource], at: int, *, first: bool, net_days: int
) -> Resource:
    """An invoice over `lines` for a subscription, nothing collected yet."""
    total = sum(line["amount"] for line in lines)
    return {
        "id": id_,
        "customer_id": sub["customer_id"],
        "subscription_id": sub["id"],
        "recurring": True,
        "status": "posted" if net_days else "payment_due",
        "price_type": "tax_exclusive",
        "date": at,
        "due_date": at + net_days * DAY,
        "net_term_days": net_days,
        "exchange_rate": 1.0,
        "currency_code": sub["currency_code"],
        "base_currency_code": sub["currency_code"],
        "sub_total": total,
        "tax": 0,
        "total": total,
        "amount_paid": 0,
        "amount_adjusted": 0,
        "write_off_amount": 0,
        "credits_applied": 0,
        "amount_due": total,
        "amount_to_collect": total,
        "round_off_amount": 0,
        "generated_at": at,
        "first_invoice": first,
        "new_sales_amount": total if first else 0,
        "has_advance_charges": False,
        "term_finalized": True,
        "is_gifted": False,
        "channel": "web",
        "line_items": lines,
        "linked_payments": [],
        "dunning_attempts": [],
        "applied_credits": [],
        "adjustment_credit_notes": [],
        "issued_credit_notes": [],
        "linked_orders": [],
        "deleted": False,
        "object": "invoice",
    }


def link_payment(invoice: Resource, txn: Resource, at: int) -> None:
    """Enter a payment attempt: paid off, partly paid, or in dunning.

    The product drives its own retries, so a failed collection leaves `payment_due`, `in_progress`.
    """
    succeeded = txn["status"] == "success"
    applied = txn["amount"] if succeeded else 0
    invoice["linked_payments"] = [
        *invoice["linked_payments"],
        {
            "txn_id": txn["id"],
            "applied_amount": applied,
            "applied_at": at,
            "txn_status": txn["status"],
            "txn_date": txn["date"],
            "txn_amount": txn["amount"],
        },
    ]
    if invoice.get("dunning_status") == "in_progress" or not succeeded:
        attempts: list[Any] = invoice["dunning_attempts"]
        attempt = {
            "attempt": len(attempts),
            "transaction_id": txn["id"],
            "dunning_type": "auto_collect",
            "created_at": at,
            "txn_status": txn["status"],
            "txn_amount": txn["amount"],
        }
        invoice["dunning_attempts"] = [*attempts, attempt]
    if not succeeded:
        if invoice["status"] != "not_paid":
            invoice.update(status="payment_due", dunning_status="in_progress")
        return
    invoice["amount_paid"] += applied
    invoice["amount_due"] -= applied
    invoice["amount_to_collect"] = invoice["amount_due"]
    if invoice["amount_due"] == 0:
        invoice.update(status="paid", paid_at=at)
        invoice.pop("next_retry_at", None)
        if invoice.get("dunning_status"):
            invoice["dunning_status"] = "success"


def end_dunning(invoice: Resource, how: str) -> None:
    """Give up collecting: `not_paid`, with dunning `stopped` or `exhausted`."""
    invoice.update(status="not_paid", dunning_status=how)
    invoice.pop("next_retry_at", None)


def void(invoice: Resource, at: int, reason: str) -> None:
    invoice.update(status="voided", voided_at=at, amount_due=0, amount_to_collect=0)
    invoice.pop("next_retry_at", None)
    if reason:
        invoice["void_reason_code"] = reason


def next_invoice_step(invoice: Resource) -> Due | None:
    """What comes next for an invoice by itself, or None."""
    if invoice["deleted"]:
        return None
    if invoice["status"] == "posted":
        return Due(invoice["due_date"], Step.FALL_DUE)
    if invoice["status"] == "payment_due" and invoice.get("next_retry_at"):
        return Due(invoice["next_retry_at"], Step.RETRY)
    return None
