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


class ContractFact(Event, subject="contract_id"):
    """What every fact about a contract says; never emitted itself."""

    clinic_id: ClinicId
    contract_id: ContractId
    customer_id: CustomerId
    version: int


class ContractRequested(ContractFact, type="contract.requested"):
    """A portal inserted a contract; the billing provider does not know it yet."""

    starts_on: date
    ends_on: date


class ContractCreated(ContractFact, type="contract.created"):
    """The billing provider knows the contract and its renewal is scheduled."""

    starts_on: date
    ends_on: date
    renewal_at: datetime


class ContractActivated(ContractFact, type="contract.activated"):
    """Its first day came."""


class ContractPlanChanged(ContractFact, type="contract.plan_changed"):
    """Another plan was chosen."""

    takes_effect: PlanChange


class ContractPlanChangeRefused(ContractFact, type="contract.plan_change_refused"):
    """The billing provider did not take the new plan: it has the former one again."""


class ContractPaused(ContractFact, type="contract.paused"):
    """The term stands still."""


class ContractPauseRefused(ContractFact, type="contract.pause_refused"):
    """The billing provider did not pause it: the term went on all the time."""


class ContractResumed(ContractFact, type="contract.resumed"):
    """The term goes on since `resumed_on` and ends later by as long as it stood still."""

    resumed_on: date
    ends_on: date


class ContractResumptionRefused(ContractFact, type="contract.resumption_refused"):
    """The billing provider did not resume it, as for want of a payment: it stands still on."""


class ContractCancellationScheduled(ContractFact, type="contract.cancellation_scheduled"):
    """It will not renew: it ends with its term."""

    ends_on: date


class ContractCancellationUndone(ContractFact, type="contract.cancellation_undone"):
    """It renews after all."""


class ContractCancelled(ContractFact, type="contract.cancelled"):
    """It ended without renewal: at once, or at the end of its term."""

    at_term: bool


class ContractRenewed(ContractFact, type="contract.renewed"):
    """A new term followed; `successor_id` is the new contract."""

    successor_id: ContractId
    ends_on: date


class ContractSucceeded(ContractFact, type="contract.succeeded"):
    """This contract exists because `predecessor_id` was renewed."""

    predecessor_id: ContractId
    starts_on: date
    ends_on: date


class ContractCompleted(ContractFact, type="contract.completed"):
    """The treatment ended with an upfront option; the subscription goes on monthly."""


class ContractRejected(ContractFact, type="contract.rejected"):
    """The billing provider has no such subscription of this customer."""
