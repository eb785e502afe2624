"""E-mail by SendGrid's official client, and its Signed Event Webhook.

SendGrid has no idempotency key either. Every mail carries clinic and message as custom arguments: a
call whose outcome is unknown is looked up by them in the Email Activity feed
(https://www.twilio.com/docs/sendgrid/api-reference/e-mail-activity, an add-on), and its events come
back with them.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Protocol
from urllib.error import URLError

from shared.domains.notifications.model import MessageStatus
from shared.domains.notifications.ports import Envelope, Report
from shared.events.messages import MessageFailure
from shared.integrations.vendor_call import by_status, calling, heed, seconds_to_wait
from shared.kernel import clock
from shared.kernel.errors import (
    Invalid,
    OutcomeUnknown,
    Unauthenticated,
    VendorError,
    VendorUnavailable,
)
from shared.kernel.ids import ClinicId, MessageId
from shared.platform.settings import Settings, load

VENDOR = "sendgrid"
FEED_LAG = timedelta(minutes=1)
"""A mail may have been taken and not yet be in the activity feed: only later is absence an answer.

SendGrid names no bound; its events usually tell of such a mail before that."""
_TIMEOUT = 10
_SIGNATURE = "X-Twilio-Email-Event-Webhook-Signature"
_TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"
_STATUSES = {
    "processed": MessageStatus.ACCEPTED,
    "deferred": MessageStatus.ACCEPTED,
    "delivered": MessageStatus.DELIVERED,
    "spamreport": MessageStatus.DELIVERED,
    "bounce": MessageStatus.FAILED,
    "dropped": MessageStatus.FAILED,
}

# The client logs whole mails when debugging is on.
logging.getLogger("python_http_client").setLevel(logging.WARNING)


class SendGridSettings(Settings):
    sendgrid_url: str = "https://api.sendgrid.com"
    sendgrid_api_key: str
    sendgrid_from: str


class SendGridWebhookSettings(Settings):
    """The public key of the Signed Event Webhook: base64 of its DER form, on one line."""

    sendgrid_verification_key: str


class SendGrid:
    """The sender of e-mail."""

    name = VENDOR

    def __init__(self) -> None:
        self._settings = load(SendGridSettings)

    @cached_property
    def _client(self) -> Any:
        from sendgrid import SendGridAPIClient

        settings = self._settings
        client = SendGridAPIClient(settings.sendgrid_api_key, host=settings.sendgrid_url).client
        client.timeout = _TIMEOUT
        return client

    def close(self) -> None:
        """Nothing to close: the client connects for each call."""

    def send(self, envelope: Envelope) -> str:
        about = {"clinic": str(envelope.clinic_id), "message": str(envelope.message_id)}
        tracking = {"click_tracking": {"enable": False}, "open_tracking": {"enable": False}}
        mail = {
            "personalizations": [
                {"to": [{"email": envelope.to.reveal()}], "custom_args": about},
            ],
            "from": {"email": self._settings.sendgrid_from},
            "subject": envelope.subject,
            "content": [{"type": "text/plain", "value": envelope.text}],
            "tracking_settings": tracking,
        }
        with calling(VENDOR, _translate):
            answer = self._client.mail.send.post(request_body=mail, timeout=seconds_to_wait())
            return str(answer.headers["X-Message-Id"])

    def find(self, envelope: Envelope, called_at: datetime) -> str | None:
        with calling(VENDOR, _translate):
            query = {"query": f"unique_args['message']=\"{envelope.message_id}\"", "limit": 1}
            answer = self._client.messages.get(query_params=query, timeout=seconds_to_wait())
            found = json.loads(answer.body)["messages"]
        if found:
            return str(found[0]["msg_id"])
        if clock.now() - called_at < FEED_LAG:
            raise OutcomeUnknown(VENDOR, "it may not be in the activity feed yet")
        return None


def _translate(error: Exception) -> VendorError | None:
    """The client raises an exception class per status, each with its `status_code`."""
    if isinstance(status := getattr(error, "status_code", None), int):
        if status in (429, 503):
            heed(error.headers.get("Retry-After"))  # type: ignore[attr-defined]
        return by_status(VENDOR, status)
    if isinstance(error, URLError) and isinstance(error.reason, ConnectionRefusedError):
        return VendorUnavailable(VENDOR, "no connection")
    return None


class Delivery(Protocol):
    """An inbound webhook: the headers and the raw body."""

    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...


def verify(delivery: Delivery) -> str:
    """Check the signature over time stamp and raw body; the batch is known by its body's hash.

    https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
    """
    from sendgrid.helpers.eventwebhook import EventWebhook

    webhook = EventWebhook(load(SendGridWebhookSettings).sendgrid_verification_key)
    signature = delivery.headers.get(_SIGNATURE, "")
    timestamp = delivery.headers.get(_TIMESTAMP, "")
    try:
        genuine = webhook.verify_signature(delivery.body.decode(), signature, timestamp)
    except ValueError:
        genuine = False
    if not genuine:
        raise Unauthenticated("bad-signature", "The webhook's signature does not match.")
    return hashlib.sha256(delivery.body).hexdigest()


def read(body: bytes) -> Iterator[Report]:
    """The events of a stored batch that are about messages of ours and their fate."""
    try:
        events = json.loads(body)
    except ValueError:
        raise Invalid("bad-webhook", "The webhook is not JSON.") from None
    for event in events if isinstance(events, list) else ():
        if isinstance(event, dict):
            yield from _report(event)


def _report(event: Mapping[str, Any]) -> Iterator[Report]:
    status = _STATUSES.get(event.get("event", ""))
    try:
        clinic, message = ClinicId(str(event["clinic"])), MessageId(str(event["message"]))
    except (KeyError, ValueError):
        return
    if status is not None:
        yield Report(
            clinic_id=clinic,
            message_id=message,
            status=status,
            provider=VENDOR,
            provider_id=str(event.get("sg_message_id", "")),
            failure=_failure(event),
            complains=event["event"] == "spamreport",
        )


def _failure(event: Mapping[str, Any]) -> MessageFailure | None:
    """A bounce of type `blocked` and a dropped mail were turned away for now, not unknown."""
    if event["event"] == "dropped" or event.get("type") == "blocked":
        return MessageFailure.BLOCKED
    return MessageFailure.BOUNCED if event["event"] == "bounce" else None
