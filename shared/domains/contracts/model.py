"""What a contract is and how it lives: pure rules, no clock, no storage.

A contract binds a customer to a plan of a treatment for a term. Days are days of the clinic's time
zone; `ends_on` is the first day after the term. It is renewed one day before that.
"""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta

from shared.events.contracts import ContractStatus, PlanChange
from shared.kernel.errors import Conflict, Invalid, RuleViolated
from shared.kernel.ids import ContractId, CustomerId

RENEWAL_TIMER = "contract.renewal"
ACTIVATION_TIMER = "contract.activation"
FARTHEST_START = timedelta(days=366)
OPEN = frozenset({ContractStatus.FUTURE, ContractStatus.ACTIVE, ContractStatus.PAUSED})


@dataclass(frozen=True)
class Plan:
    """How a treatment is sold: the provider's item price, the term, and whether it is upfront."""

    code: str
    treatment: str
    item_price_id: str
    monthly_item_price_id: str
    term_months: int
    upfront: bool
    active: bool


@dataclass(frozen=True)
class Contract:
    """One term. `linked` says that the billing provider knows it; `subscription_id` is theirs.

    `next_plan` is the plan of the next term, `former_plan` the one that the provider still has
    while it has not taken the current one. Terms end on day `term_day` of a month, or on its last.
    """

    id: ContractId
    customer_id: CustomerId
    plan: str
    next_plan: str | None
    former_plan: str | None
    treatment: str
    subscription_id: str
    status: ContractStatus
    starts_on: date
    ends_on: date
    term_day: int
    paused_on: date | None
    linked: bool
    cancels_at_term: bool
    predecessor_id: ContractId | None
    version: int
    created_at: datetime
    updated_at: datetime


_TERMS = ("treatment", "item_price_id", "monthly_item_price_id", "term_months", "upfront")


def differs(plan: Plan, wanted: object) -> bool:
    """Whether `wanted` (with the same names) changes the terms of a plan; its sale is none."""
    return any(getattr(plan, name) != getattr(wanted, name) for name in _TERMS)


class TermEnd(StrEnum):
    """What becomes of a contract when its term is about to end."""

    CANCEL = "cancel"
    COMPLETE = "complete"
    RENEW = "renew"


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """When `day` begins in `zone` (aware UTC); where midnight is skipped, when the clock skips it.

    A midnight that comes twice counts the first time.
    """
    return datetime.combine(day, time(), zone).astimezone(UTC)


def renewal_at(contract: Contract, zone: ZoneInfo) -> datetime:
    """One day before the end date."""
    return midnight(contract.ends_on - timedelta(days=1), zone)


def _term_end(starts_on: date, plan: Plan, day: int) -> date:
    """The first day after a term, on `day` of its month or the month's last."""
    return starts_on + relativedelta(months=plan.term_months, day=day)


def request(
    contract_id: ContractId,
    customer_id: CustomerId,
    plan: Plan,
    subscription_id: str,
    starts_on: date,
    now: datetime,
    zone: ZoneInfo,
) -> Contract:
    """A contract as a portal inserts it. Raises `Invalid` or `RuleViolated`."""
    today = now.astimezone(zone).date()
    if starts_on < today:
        raise Invalid("start-in-the-past", "A contract starts today or later.")
    if starts_on - today > FARTHEST_START:
        raise Invalid("start-too-far", "A contract starts within the next year.")
    if not plan.active:
        raise RuleViolated("plan-not-sold", "This plan is no longer sold: choose another one.")
    return Contract(
        id=contract_id,
        customer_id=customer_id,
        plan=plan.code,
        next_plan=None,
        former_plan=None,
        treatment=plan.treatment,
        subscription_id=subscription_id,
        status=ContractStatus.FUTURE,
        starts_on=starts_on,
        ends_on=_term_end(starts_on, plan, starts_on.day),
        term_day=starts_on.day,
        paused_on=None,
        linked=False,
        cancels_at_term=False,
        predecessor_id=None,
        version=1,
        created_at=now,
        updated_at=now,
    )


def _next(contract: Contract, at: datetime, **changes: object) -> Contract:
    return replace(contract, **changes, version=contract.version + 1, updated_at=at)  # type: ignore[arg-type]


def _require(contract: Contract, *allowed: ContractStatus) -> None:
    if contract.status not in allowed:
        names = " or ".join(status.value for status in allowed)
        raise RuleViolated(
            f"contract-{contract.status.value}",
            f"The contract is {contract.status.value}; this needs one that is {names}.",
        )


def link(contract: Contract, at: datetime) -> Contract:
    """The billing provider has been told of it."""
    _require(contract, ContractStatus.FUTURE)
    return _next(contract, at, linked=True)


def reject(contract: Contract, at: datetime) -> Contract:
    """The billing provider knows no such subscription of this customer."""
    _require(contract, ContractStatus.FUTURE)
    return _next(contract, at, status=ContractStatus.REJECTED)


def activate(contract: Contract, at: datetime, zone: ZoneInfo) -> Contract | None:
    """Its first day has come; None when there is nothing to do (yet, or any more)."""
    started = contract.starts_on <= at.astimezone(zone).date()
    if contract.status is not ContractStatus.FUTURE or not contract.linked or not started:
        return None
    return _next(contract, at, status=ContractStatus.ACTIVE)


def pause(contract: Contract, at: datetime, zone: ZoneInfo) -> Contract:
    _require(contract, ContractStatus.ACTIVE)
    today = at.astimezone(zone).date()
    return _next(contract, at, status=ContractStatus.PAUSED, paused_on=today)


def resume(contract: Contract, at: datetime, zone: ZoneInfo) -> Contract:
    """The days it stood still are added to the term, so none is lost."""
    _require(contract, ContractStatus.PAUSED)
    stood_still = at.astimezone(zone).date() - (contract.paused_on or contract.starts_on)
    ends_on = contract.ends_on + stood_still
    return _next(
        contract,
        at,
        status=ContractStatus.ACTIVE,
        paused_on=None,
        ends_on=ends_on,
        term_day=ends_on.day if stood_still else contract.term_day,
    )


def go_on(contract: Contract, at: datetime) -> Contract | None:
    """The provider does not pause it, so it never stood still; None when it is not paused."""
    if contract.status is not ContractStatus.PAUSED:
        return None
    return _next(contract, at, status=ContractStatus.ACTIVE, paused_on=None)


def stand_still(
    contract: Contract, resumed_on: date, ends_on: date, at: datetime
) -> Contract | None:
    """The provider did not resume it on `resumed_on`: it stands still since that day.

    What stood still before is in `ends_on` already. None when that resumption is history: it was
    paused or resumed again since, or cancelled. Raises `RuleViolated` when its term ended since.
    """
    if contract.status in (ContractStatus.RENEWED, ContractStatus.COMPLETED):
        raise RuleViolated("term-ended", "The term ended before the provider refused to resume it.")
    if contract.status is not ContractStatus.ACTIVE or contract.ends_on != ends_on:
        return None
    return _next(contract, at, status=ContractStatus.PAUSED, paused_on=resumed_on)


def change_plan(contract: Contract, plan: Plan, when: PlanChange, at: datetime) -> Contract:
    """Another plan of the same treatment, now or with the next term; the term stays."""
    _require(contract, ContractStatus.ACTIVE, ContractStatus.FUTURE)
    if not plan.active:
        raise RuleViolated("plan-not-sold", "This plan is no longer sold: choose another one.")
    if plan.treatment != contract.treatment:
        raise RuleViolated("other-treatment", "The plan belongs to another treatment.")
    if plan.code == (contract.next_plan or contract.plan):
        raise Conflict("same-plan", "The contract has this plan already.")
    if when is PlanChange.IMMEDIATELY:
        former = contract.former_plan or contract.plan
        return _next(contract, at, plan=plan.code, next_plan=None, former_plan=former)
    return _next(contract, at, next_plan=None if plan.code == contract.plan else plan.code)


def confirm_plan(contract: Contract, plan: str) -> Contract | None:
    """The provider took `plan`; None when that is known, or history: changed again, or over.

    No new version: for everybody else the contract has had this plan all along.
    """
    if contract.former_plan is None or contract.plan != plan or contract.status not in OPEN:
        return None
    return replace(contract, former_plan=None)


def restore_plan(contract: Contract, at: datetime) -> Contract | None:
    """The provider did not take the new plan: back to the one it has; None when it is over."""
    if contract.former_plan is None or contract.status not in OPEN:
        return None
    return _next(contract, at, plan=contract.former_plan, former_plan=None)


def cancel(contract: Contract, at: datetime) -> Contract:
    """End it now."""
    _require(contract, *OPEN)
    return _next(contract, at, status=ContractStatus.CANCELLED, cancels_at_term=False)


def cancel_at_term(contract: Contract, at: datetime) -> Contract:
    _require(contract, ContractStatus.ACTIVE, ContractStatus.FUTURE, ContractStatus.PAUSED)
    if contract.cancels_at_term:
        raise Conflict("already-cancelling", "The contract ends with its term already.")
    return _next(contract, at, cancels_at_term=True)


def undo_cancel(contract: Contract, at: datetime) -> Contract:
    _require(contract, *OPEN)
    if not contract.cancels_at_term:
        raise Conflict("not-cancelling", "The contract is not about to end.")
    return _next(contract, at, cancels_at_term=False)


def at_term_end(contract: Contract, plan: Plan, now: datetime, zone: ZoneInfo) -> TermEnd | None:
    """What must happen to it now; None when its time has not come or it is not running."""
    if contract.status is not ContractStatus.ACTIVE or now < renewal_at(contract, zone):
        return None
    if contract.cancels_at_term:
        return TermEnd.CANCEL
    return TermEnd.COMPLETE if plan.upfront else TermEnd.RENEW


def end(contract: Contract, status: ContractStatus, at: datetime) -> Contract:
    """It is over: `cancelled`, `completed` or `renewed`."""
    _require(contract, ContractStatus.ACTIVE)
    return _next(contract, at, status=status)


def succeed(contract: Contract, plan: Plan, at: datetime) -> Contract:
    """The contract of the term that follows `contract`; renewing twice names the same one."""
    return replace(
        contract,
        id=ContractId.derive(contract.id, "renewal"),
        plan=plan.code,
        next_plan=None,
        former_plan=None,
        status=ContractStatus.FUTURE,
        starts_on=contract.ends_on,
        ends_on=_term_end(contract.ends_on, plan, contract.term_day),
        predecessor_id=contract.id,
        version=1,
        created_at=at,
        updated_at=at,
    )
