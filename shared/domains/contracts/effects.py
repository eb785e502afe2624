"""What the billing provider is told about contracts, one effect per fact."""

from dataclasses import dataclass
from typing import Any

from shared.domains.contracts import service, store
from shared.domains.contracts.model import Contract, Plan
from shared.domains.contracts.ports import HasBilling
from shared.events.contracts import (
    ContractCancelled,
    ContractFact,
    ContractPlanChanged,
    ContractRenewed,
    ContractRequested,
    ContractStatus,
    PlanChange,
)
from shared.kernel.ids import ClinicId
from shared.kernel.work import Effect, Work


@dataclass(frozen=True)
class Instruction:
    """What the provider needs to know: which subscription, which contract, on which plan."""

    clinic_id: ClinicId
    contract: Contract
    plan: Plan


def _instruct(event: ContractFact, work: Work) -> Instruction:
    contract = store.lock(event.contract_id, work)
    return Instruction(work.clinic_id, contract, store.plan(contract.plan, work))


def _nothing(outcome: Any, event: ContractFact, work: Work) -> None:
    """The provider's own webhook tells what became of it."""


def _prepare_link(event: ContractRequested, work: Work) -> Instruction | None:
    instruction = _instruct(event, work)
    waiting = instruction.contract.status is ContractStatus.FUTURE
    return instruction if waiting and not instruction.contract.linked else None


def _link(instruction: Instruction, vendors: HasBilling, key: str) -> bool:
    """Put `cf_contract_id` on the subscription, if it is the customer's own."""
    contract = instruction.contract
    held = vendors.billing.subscription_of(contract.subscription_id)
    ours = (str(contract.customer_id), str(instruction.clinic_id))
    if held is None or (held.customer_id, held.clinic_id) != ours:
        return False
    vendors.billing.set_contract(contract.subscription_id, contract.id, key)
    return True


def _linked(accepted: bool, event: ContractRequested, work: Work) -> None:
    contract = store.lock(event.contract_id, work)
    if contract.status is not ContractStatus.FUTURE or contract.linked:
        return
    if accepted:
        service.created(contract, work)
    else:
        service.reject(contract, work)


def _prepare_renewal(event: ContractRenewed, work: Work) -> Instruction:
    successor = store.lock(event.successor_id, work)
    return Instruction(work.clinic_id, successor, store.plan(successor.plan, work))


def _renew(instruction: Instruction, vendors: HasBilling, key: str) -> None:
    subscription = instruction.contract.subscription_id
    vendors.billing.set_contract(subscription, instruction.contract.id, key)
    held = vendors.billing.subscription_of(subscription)
    wanted = instruction.plan.item_price_id
    if held is not None and held.item_price_id != wanted:
        vendors.billing.change_plan(subscription, wanted, True, f"{key}:plan")


def _complete(instruction: Instruction, vendors: HasBilling, key: str) -> None:
    subscription = instruction.contract.subscription_id
    monthly = instruction.plan.monthly_item_price_id
    vendors.billing.reset_to_monthly(subscription, monthly, f"{key}:plan")
    vendors.billing.set_contract(subscription, None, key)


def _prepare_cancel(event: ContractCancelled, work: Work) -> tuple[Contract, bool]:
    return store.lock(event.contract_id, work), event.at_term


def _cancel(request: tuple[Contract, bool], vendors: HasBilling, key: str) -> None:
    contract, at_term = request
    vendors.billing.cancel(contract.subscription_id, at_term, key)


def _prepare_plan(event: ContractPlanChanged, work: Work) -> Instruction | None:
    """A change with the next term is told when that term begins."""
    return _instruct(event, work) if event.takes_effect is PlanChange.IMMEDIATELY else None


def _change_plan(instruction: Instruction, vendors: HasBilling, key: str) -> None:
    subscription, plan = instruction.contract.subscription_id, instruction.plan
    vendors.billing.change_plan(subscription, plan.item_price_id, False, key)


def _pause(instruction: Instruction, vendors: HasBilling, key: str) -> None:
    vendors.billing.pause(instruction.contract.subscription_id, key)


def _resume(instruction: Instruction, vendors: HasBilling, key: str) -> None:
    vendors.billing.resume(instruction.contract.subscription_id, key)


link = Effect(_prepare_link, _link, _linked)
renewal = Effect(_prepare_renewal, _renew, _nothing)
completion = Effect(_instruct, _complete, _nothing)
cancellation = Effect(_prepare_cancel, _cancel, _nothing)
plan_change = Effect(_prepare_plan, _change_plan, _nothing)
pause = Effect(_instruct, _pause, _nothing)
resumption = Effect(_instruct, _resume, _nothing)
