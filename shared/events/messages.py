"""Facts about notifications (topic `message-events`, ordered per message)."""

from enum import StrEnum

from shared.kernel.event import Event
from shared.kernel.ids import ClinicId, CustomerId, MessageId, WebhookId


class Channel(StrEnum):
    """How a message travels."""

    EMAIL = "email"
    SMS = "sms"
    PUSH = "push"


class MessageFailure(StrEnum):
    """Why a message did not arrive."""

    REFUSED = "refused"
    BOUNCED = "bounced"
    UNDELIVERED = "undelivered"
    BLOCKED = "blocked"


class MessageFact(Event, subject="message_id"):
    """What every fact about a message says; never emitted itself."""

    clinic_id: ClinicId
    message_id: MessageId
    customer_id: CustomerId
    channel: Channel
    version: int


class MessageQueued(MessageFact, type="message.queued"):
    """A message is to be sent now."""


class MessageAccepted(MessageFact, type="message.accepted"):
    """A provider took it; that is not delivery."""


class MessageDelivered(MessageFact, type="message.delivered"):
    """The provider reports that it arrived."""


class MessageFailed(MessageFact, type="message.failed"):
    """It did not arrive, possibly after having been accepted."""

    failure: MessageFailure


class MessageExpired(MessageFact, type="message.expired"):
    """It had become pointless before it could be sent."""


class TwilioWebhookReceived(
    Event, type="twilio_webhook.received", subject="webhook_id", topic="webhook-events"
):
    """A verified Twilio status call-back or inbound SMS was stored raw."""

    webhook_id: WebhookId


class SendGridWebhookReceived(
    Event, type="sendgrid_webhook.received", subject="webhook_id", topic="webhook-events"
):
    """A verified batch of SendGrid events was stored raw."""

    webhook_id: WebhookId
