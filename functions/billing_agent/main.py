"""What the billing provider changed is brought here: by webhook, by the minute, every night."""

from dataclasses import dataclass

from shared.domains.billing import effects, sync
from shared.domains.billing.ports import BillingProvider
from shared.events.billing import ChargebeeWebhookReceived
from shared.runtime.agent import Agent


@dataclass(frozen=True)
class Vendors:
    billing: BillingProvider


def _vendors() -> Vendors:
    from shared.integrations.chargebee import Chargebee

    return Vendors(billing=Chargebee())


agent = Agent("billing_agent", _vendors)

agent.effects("webhook_applies", effects.webhook, ChargebeeWebhookReceived)
agent.polls("chargebee_sync", "*/1 * * * *", sync.sync, sees="chargebee")
agent.polls("chargebee_compares", "0 3 * * *", sync.comparison)

billing_agent = agent.function
