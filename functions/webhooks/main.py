"""Inbound vendor webhooks: verified, stored raw, told to whom they concern."""

from shared.events.billing import ChargebeeWebhookReceived
from shared.integrations import chargebee
from shared.runtime.webhooks import Webhooks

webhooks = Webhooks("webhooks")

webhooks.receives(
    "/chargebee",
    "chargebee",
    chargebee.verify_webhook,
    lambda stored: ChargebeeWebhookReceived(webhook_id=stored),
)

app = webhooks.app
