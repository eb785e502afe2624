"""What follows from an invoice: declined ones are tried again by the ladder."""

from dataclasses import dataclass

from shared.domains.billing import effects, service
from shared.domains.billing.model import RETRY
from shared.domains.billing.ports import BillingProvider
from shared.events.billing import (
    InvoiceDunningExhausted,
    InvoicePaymentFailed,
    InvoiceRetryDue,
    PaymentMethodUpdated,
)
from shared.kernel.work import Timer, Work
from shared.runtime.agent import Agent


@dataclass(frozen=True)
class Vendors:
    billing: BillingProvider


def _vendors() -> Vendors:
    from shared.integrations.chargebee import Chargebee

    return Vendors(billing=Chargebee())


agent = Agent("invoice_handler", _vendors)


@agent.reacts(InvoicePaymentFailed)
def retry_plans(event: InvoicePaymentFailed, work: Work) -> None:
    service.plan_retry(event, work)


@agent.reacts(PaymentMethodUpdated)
def declined_resumes(event: PaymentMethodUpdated, work: Work) -> None:
    service.retry_declined(event, work)


@agent.timer(RETRY)
def invoice_retries(timer: Timer, work: Work) -> None:
    service.retry(timer, work)


agent.effects("payment_collects", effects.collection, InvoiceRetryDue)
agent.effects("dunning_stops", effects.end_of_dunning, InvoiceDunningExhausted)

invoice_handler = agent.function
