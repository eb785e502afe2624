"""The life of contracts: linked at the billing provider, begun, renewed, completed, cancelled."""

from dataclasses import dataclass

from shared.domains.contracts import effects, service
from shared.domains.contracts.ports import BillingProvider
from shared.events import contracts as facts
from shared.events.billing import SubscriptionChanged
from shared.kernel.work import Idle, Timer, Work
from shared.runtime.agent import Agent


@dataclass(frozen=True)
class Vendors:
    billing: BillingProvider


def _vendors() -> Vendors:
    from shared.integrations.chargebee import Chargebee

    return Vendors(billing=Chargebee())


agent = Agent("contract_agent", _vendors)

agent.effects("contract_links", effects.link, facts.ContractRequested)
agent.effects("contract_succeeds", effects.renewal, facts.ContractRenewed)
agent.effects("contract_resets", effects.completion, facts.ContractCompleted)
agent.effects("contract_stops", effects.cancellation, facts.ContractCancelled)
agent.effects("plan_changes", effects.plan_change, facts.ContractPlanChanged)
agent.effects("contract_pauses", effects.pause, facts.ContractPaused)
agent.effects("contract_resumes", effects.resumption, facts.ContractResumed)


@agent.reacts(SubscriptionChanged)
def contract_follows(event: SubscriptionChanged, work: Work) -> None:
    service.follow(event, work)


@agent.timer("contract.activation")
def contract_begins(timer: Timer, work: Work) -> None:
    service.activation_due(timer, work)


@agent.timer("contract.renewal")
def contract_renews(timer: Timer, work: Work) -> None:
    service.renewal_due(timer, work)


@agent.cron("30 2 * * *")
def contracts_check(work: Work) -> Idle | None:
    return service.check_daily(work)


contract_agent = agent.function
