"""Facts about contracts (topic `contract-events`, ordered per contract)."""

from datetime import date, datetime
from enum import StrEnum

from shared.kernel.event import Event
from shared.kernel.ids import ClinicId, ContractId, CustomerId


class ContractStatus(StrEnum):
    """Where a contract is in its life."""

    FUTURE = "future"
    ACTIVE = "active"
    PAUSED = "paused"
    RENEWED = "renewed"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


class PlanChange(StrEnum):
    """When a change of plan takes effect."""

    IMMEDIATELY = "immediately"
    END_OF_TERM = "end_of_term"


class ContractFact(Event, type="contract.fact", subject="contract_id"):
    """What every fact about a contract says; never emitted itself."""

    clinic_id: ClinicId
    contract_id: ContractId
    customer_id: CustomerId
    version: int


class ContractRequested(ContractFact, type="contract.requested", subject="contract_id"):
    """A portal inserted a contract; the billing provider does not know it yet."""

    starts_on: date
    ends_on: date


class ContractCreated(ContractFact, type="contract.created", subject="contract_id"):
    """The billing provider knows the contract and its renewal is scheduled."""

    starts_on: date
    ends_on: date
    renewal_at: datetime


class ContractActivated(ContractFact, type="contract.activated", subject="contract_id"):
    """Its first day came."""


class ContractPlanChanged(ContractFact, type="contract.plan_changed", subject="contract_id"):
    """Another plan was chosen."""

    takes_effect: PlanChange


class ContractPaused(ContractFact, type="contract.paused", subject="contract_id"):
    """The term stands still."""


class ContractResumed(ContractFact, type="contract.resumed", subject="contract_id"):
    """The term goes on and ends later by as long as it stood still."""

    ends_on: date


class ContractCancellationScheduled(
    ContractFact, type="contract.cancellation_scheduled", subject="contract_id"
):
    """It will not renew: it ends with its term."""

    ends_on: date


class ContractCancellationUndone(
    ContractFact, type="contract.cancellation_undone", subject="contract_id"
):
    """It renews after all."""


class ContractCancelled(ContractFact, type="contract.cancelled", subject="contract_id"):
    """It ended without renewal: at once, or at the end of its term."""

    at_term: bool


class ContractRenewed(ContractFact, type="contract.renewed", subject="contract_id"):
    """A new term followed; `successor_id` is the new contract."""

    successor_id: ContractId
    ends_on: date


class ContractCompleted(ContractFact, type="contract.completed", subject="contract_id"):
    """The treatment ended with an upfront option; the subscription goes on monthly."""


class ContractRejected(ContractFact, type="contract.rejected", subject="contract_id"):
    """The billing provider has no such subscription of this customer."""
