"""What the billing provider is told about contracts, one effect per fact.

Where it refuses and the business has an answer, that answer is given: a contract that cannot be
linked is rejected, one that cannot be paused goes on, one that cannot be resumed stands still, one
whose new plan is not taken keeps the former. Anything else is parked for people to look at.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.domains.contracts import service, store
from shared.domains.contracts.model import OPEN, Contract, Plan
from shared.domains.contracts.ports import HasBilling
from shared.events.contracts import (
    ContractCancelled,
    ContractCompleted,
    ContractFact,
    ContractPaused,
    ContractPlanChanged,
    ContractRenewed,
    ContractRequested,
    ContractResumed,
    ContractStatus,
    PlanChange,
)
from shared.kernel.errors import VendorRefused
from shared.kernel.ids import ClinicId
from shared.kernel.work import Effect, Work

_RESUMED = frozenset({ContractStatus.ACTIVE, ContractStatus.RENEWED, ContractStatus.COMPLETED})
_ENDED = "cancelled"


@dataclass(frozen=True)
class Instruction:
    """What the provider needs to know: which subscription, which contract, on which plan."""

    clinic_id: ClinicId
    contract: Contract
    plan: Plan

    @property
    def subscription_id(self) -> str:
        return self.contract.subscription_id


def _instruct(event: ContractFact, work: Work) -> Instruction:
    contract = store.lock(event.contract_id, work)
    return Instruction(work.clinic_id, contract, store.plan(contract.plan, work))


def _nothing(outcome: Any, event: ContractFact, work: Work) -> None:
    """The provider's own webhook tells what became of it."""


def _unless_ended(subscription_id: str, vendors: HasBilling, tell: Callable[[], None]) -> None:
    """Tell the provider; a subscription that it ended or no longer has needs no telling."""
    try:
        tell()
    except VendorRefused:
        held = vendors.billing.subscription_of(subscription_id)
        if held is not None and held.status != _ENDED:
            raise


def _is_theirs(instruction: Instruction, vendors: HasBilling) -> bool:
    """Whether the subscription runs and belongs to the customer who named it."""
    contract = instruction.contract
    held = vendors.billing.subscription_of(contract.subscription_id)
    if held is None or held.status == _ENDED:
        return False
    ours = (str(contract.customer_id), str(instruction.clinic_id))
    return (held.customer_id, held.clinic_id) == ours


# A contract begins


def _prepare_link(event: ContractRequested, work: Work) -> Instruction | None:
    instruction = _instruct(event, work)
    waiting = instruction.contract.status is ContractStatus.FUTURE
    return instruction if waiting and not instruction.contract.linked else None


def _link(instruction: Instruction, vendors: HasBilling, key: str) -> bool:
    """Put `cf_contract_id` on the subscription, if it is the customer's own."""
    if not _is_theirs(instruction, vendors):
        return False
    vendors.billing.set_contract(instruction.subscription_id, instruction.contract.id, key)
    return True


def _linked(accepted: bool, event: ContractRequested, work: Work) -> None:
    contract = store.lock(event.contract_id, work)
    if contract.status is not ContractStatus.FUTURE or contract.linked:
        return
    if accepted:
        service.created(contract, work)
    else:
        service.reject(contract, work)


def _link_refused(_: str, event: ContractRequested, work: Work) -> None:
    _linked(False, event, work)


# A term ends


def _prepare_renewal(event: ContractRenewed, work: Work) -> Instruction | None:
    """A successor that is over by now has a successor of its own, or the subscription is free."""
    successor = store.lock(event.successor_id, work)
    if successor.status not in OPEN:
        return None
    return Instruction(work.clinic_id, successor, store.plan(successor.plan, work))


def _renew(instruction: Instruction, vendors: HasBilling, key: str) -> None:
    subscription = instruction.subscription_id
    contract = instruction.contract.id
    _unless_ended(
        subscription, vendors, lambda: vendors.billing.set_contract(subscription, contract, key)
    )
    held = vendors.billing.subscription_of(subscription)
    wanted = instruction.plan.item_price_id
    if held is not None and held.status != _ENDED and held.item_price_id != wanted:
        vendors.billing.change_plan(subscription, wanted, True, f"{key}:plan")


def _prepare_completion(event: ContractCompleted, work: Work) -> Instruction | None:
    """A subscription that an open contract has taken over meanwhile is that one's."""
    instruction = _instruct(event, work)
    return None if store.is_held(instruction.subscription_id, work) else instruction


def _complete(instruction: Instruction, vendors: HasBilling, key: str) -> None:
    subscription, billing = instruction.subscription_id, vendors.billing
    monthly = instruction.plan.monthly_item_price_id
    _unless_ended(
        subscription,
        vendors,
        lambda: billing.reset_to_monthly(subscription, monthly, f"{key}:plan"),
    )
    _unless_ended(subscription, vendors, lambda: billing.set_contract(subscription, None, key))


def _prepare_cancel(event: ContractCancelled, work: Work) -> tuple[Instruction, bool]:
    return _instruct(event, work), event.at_term


def _cancel(request: tuple[Instruction, bool], vendors: HasBilling, key: str) -> None:
    """A contract that was never linked may name somebody else's subscription: that one lives on."""
    instruction, at_term = request
    if not instruction.contract.linked and not _is_theirs(instruction, vendors):
        return
    subscription, billing = instruction.subscription_id, vendors.billing
    _unless_ended(subscription, vendors, lambda: billing.cancel(subscription, at_term, key))


# A contract changes


def _prepare_plan(event: ContractPlanChanged, work: Work) -> Instruction | None:
    """A change with the next term is told when that term begins."""
    if event.takes_effect is not PlanChange.IMMEDIATELY:
        return None
    instruction = _instruct(event, work)
    contract = instruction.contract
    return instruction if contract.linked and contract.status in OPEN else None


def _change_plan(instruction: Instruction, vendors: HasBilling, key: str) -> str:
    wanted = instruction.plan.item_price_id
    vendors.billing.change_plan(instruction.subscription_id, wanted, False, key)
    return instruction.plan.code


def _plan_changed(plan: str, event: ContractPlanChanged, work: Work) -> None:
    service.confirm_plan(event.contract_id, plan, work)


def _plan_refused(_: str, event: ContractPlanChanged, work: Work) -> None:
    service.refuse_plan(event.contract_id, work)


def _prepare_pause(event: ContractPaused, work: Work) -> Instruction | None:
    instruction = _instruct(event, work)
    return instruction if instruction.contract.status is ContractStatus.PAUSED else None


def _pause(instruction: Instruction, vendors: HasBilling, key: str) -> None:
    vendors.billing.pause(instruction.subscription_id, key)


def _pause_refused(_: str, event: ContractPaused, work: Work) -> None:
    service.refuse_pause(event, work)


def _prepare_resumption(event: ContractResumed, work: Work) -> Instruction | None:
    """One resumed on the last day of its term may have been renewed by now."""
    instruction = _instruct(event, work)
    return instruction if instruction.contract.status in _RESUMED else None


def _resume(instruction: Instruction, vendors: HasBilling, key: str) -> None:
    vendors.billing.resume(instruction.subscription_id, key)


def _resumption_refused(_: str, event: ContractResumed, work: Work) -> None:
    service.refuse_resumption(event, work)


link = Effect(_prepare_link, _link, _linked, refuse=_link_refused)
renewal = Effect(_prepare_renewal, _renew, _nothing)
completion = Effect(_prepare_completion, _complete, _nothing)
cancellation = Effect(_prepare_cancel, _cancel, _nothing)
plan_change = Effect(_prepare_plan, _change_plan, _plan_changed, refuse=_plan_refused)
pause = Effect(_prepare_pause, _pause, _nothing, refuse=_pause_refused)
resumption = Effect(_prepare_resumption, _resume, _nothing, refuse=_resumption_refused)
