"""Statuses for live screens: what Postgres holds, mirrored to Firestore."""

from datetime import timedelta

from shared.domains.billing.tables import invoices, subscriptions
from shared.domains.contracts.tables import contracts
from shared.domains.notifications.model import MessageStatus
from shared.domains.notifications.tables import messages
from shared.events.billing import (
    InvoiceChanged,
    InvoiceStatus,
    SubscriptionChanged,
    SubscriptionStatus,
)
from shared.events.contracts import ContractFact, ContractStatus
from shared.events.messages import (
    MessageAccepted,
    MessageDelivered,
    MessageExpired,
    MessageFailed,
)
from shared.kernel.work import Idle, Work
from shared.runtime.agent import Agent
from shared.runtime.mirrors import Mirrored, following, rebuild, writer

agent = Agent("status_mirror", writer)

of_contracts = Mirrored("contracts", contracts, ContractStatus)
of_subscriptions = Mirrored("subscriptions", subscriptions, SubscriptionStatus)
of_invoices = Mirrored("invoices", invoices, InvoiceStatus)
of_messages = Mirrored("messages", messages, MessageStatus)

agent.mirrors("contract_mirrors", following(of_contracts), *ContractFact.__subclasses__())
agent.mirrors("subscription_mirrors", following(of_subscriptions), SubscriptionChanged)
agent.mirrors("invoice_mirrors", following(of_invoices), InvoiceChanged)
agent.mirrors(
    "message_mirrors",
    following(of_messages),
    MessageAccepted,
    MessageDelivered,
    MessageFailed,
    MessageExpired,
)


everything = (of_contracts, of_subscriptions, of_invoices, of_messages)


@agent.cron("0 3 * * 6")
def mirror_checks(work: Work) -> Idle | None:
    rebuild(everything, agent.name, work, changed_within=timedelta(days=8))
    return None


@agent.cron("0 3 1 */3 *")
def mirror_rebuild(work: Work) -> Idle | None:
    rebuild(everything, agent.name, work)
    return None


status_mirror = agent.function
