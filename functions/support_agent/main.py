"""Support: customers it knows, one ticket per invoice that could not be collected."""

from dataclasses import dataclass

from shared.domains.billing import queries as billing
from shared.domains.customers import queries as customers
from shared.domains.support import service
from shared.domains.support.ports import SupportDesk
from shared.events.billing import InvoiceDunningExhausted, InvoicePaid, InvoicePaymentFailed
from shared.events.contracts import ContractCreated
from shared.events.customers import CustomerUpdated
from shared.runtime.agent import Agent


@dataclass(frozen=True)
class Vendors:
    desk: SupportDesk


def _vendors() -> Vendors:
    from shared.integrations.zendesk import Zendesk

    return Vendors(desk=Zendesk())


agent = Agent("support_agent", _vendors)

agent.effects(
    "support_record_follows", service.customer_record(customers), ContractCreated, CustomerUpdated
)
agent.effects(
    "payment_ticket_follows",
    service.payment_ticket(customers, billing),
    InvoicePaymentFailed,
    InvoiceDunningExhausted,
    InvoicePaid,
)

support_agent = agent.function
