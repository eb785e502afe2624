"""Inbound vendor webhooks: verified, stored raw, told to whom they concern."""

from shared.events.billing import ChargebeeWebhookReceived
from shared.events.messages import SendGridWebhookReceived, TwilioWebhookReceived
from shared.integrations import chargebee, sendgrid, twilio
from shared.runtime.webhooks import Webhooks

webhooks = Webhooks("webhooks")

webhooks.receives(
    "/chargebee",
    "chargebee",
    chargebee.verify_webhook,
    lambda stored: ChargebeeWebhookReceived(webhook_id=stored),
)
for route in ("/twilio/status", "/twilio/incoming"):
    webhooks.receives(
        route,
        "twilio",
        twilio.verify,
        lambda stored: TwilioWebhookReceived(webhook_id=stored),
        keep=twilio.kept,
    )
webhooks.receives(
    "/sendgrid",
    "sendgrid",
    sendgrid.verify,
    lambda stored: SendGridWebhookReceived(webhook_id=stored),
)

app = webhooks.app
