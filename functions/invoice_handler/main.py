"""What follows from an invoice: paid ones count, declined ones are tried again by the ladder."""

from dataclasses import dataclass

from shared.domains.billing import effects, service
from shared.domains.billing.model import RETRY
from shared.domains.billing.ports import BillingProvider, Marketing
from shared.domains.customers.service import add_value
from shared.events.billing import (
    InvoiceDunningExhausted,
    InvoicePaid,
    InvoicePaymentFailed,
    InvoiceRetryDue,
    PaymentMethodUpdated,
)
from shared.kernel.work import Timer, Work
from shared.runtime.agent import Agent


@dataclass(frozen=True)
class Vendors:
    billing: BillingProvider
    marketing: Marketing


def _vendors() -> Vendors:
    from shared.integrations.chargebee import Chargebee
    from shared.integrations.iterable import Iterable

    return Vendors(billing=Chargebee(), marketing=Iterable())


agent = Agent("invoice_handler", _vendors)


# Of one event the reactions come first: an outage of a vendor must not hold them up.


@agent.reacts(InvoicePaid)
def value_grows(event: InvoicePaid, work: Work) -> None:
    add_value(event.customer_id, event.amount, work)


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
agent.effects("payment_tracks", effects.tracking, InvoicePaid)
agent.effects("recovery_starts", effects.recovery, InvoicePaymentFailed)

invoice_handler = agent.function
