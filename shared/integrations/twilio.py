"""SMS by Twilio's official client, and Twilio's webhooks.

Twilio has no idempotency key. Every message therefore ends with its reference, and a call whose
outcome is unknown is looked up among the messages to that number
(https://www.twilio.com/docs/messaging/api/message-resource#read-multiple-message-resources, newest
first). The status call-back's address names clinic and message, so that a report finds its message
even before the answer to the call did.
"""

import hashlib
import logging
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from shared.domains.notifications.model import MessageStatus
from shared.domains.notifications.ports import OPTED_OUT, Envelope, OptOut, Report
from shared.events.messages import MessageFailure
from shared.integrations.vendor_call import HOOKS, TIMEOUT, by_status, calling
from shared.kernel.errors import Invalid, Unauthenticated, VendorError, VendorRefused
from shared.kernel.ids import ClinicId, MessageId
from shared.kernel.phi import Phi
from shared.platform.settings import Settings, load
from shared.platform.wiring import function_url

VENDOR, BACKUP = "twilio", "twilio-backup"
_UNSUBSCRIBED = 21610
_LOOK_AT_MOST = 100
_STOP = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "OPTOUT", "REVOKE"})
_START = frozenset({"START", "YES", "UNSTOP"})
_STATUSES = {
    "accepted": MessageStatus.ACCEPTED,
    "queued": MessageStatus.ACCEPTED,
    "sending": MessageStatus.ACCEPTED,
    "sent": MessageStatus.ACCEPTED,
    "delivered": MessageStatus.DELIVERED,
    "read": MessageStatus.DELIVERED,
    "undelivered": MessageStatus.FAILED,
    "failed": MessageStatus.FAILED,
    "canceled": MessageStatus.FAILED,
}

# httpx logs the address of every request, and the look-up's holds a phone number.
logging.getLogger("httpx").setLevel(logging.WARNING)


class TwilioSettings(Settings):
    """TWILIO_BACKUP_SERVICE_SID is a messaging service that takes over when the number's route is
    unavailable; without it there is one provider of SMS."""

    twilio_url: str = "https://api.twilio.com"
    twilio_account_sid: str
    twilio_auth_token: str
    twilio_number: str
    twilio_backup_service_sid: str | None = None
    public_webhooks_url: str | None = None


class TwilioWebhookSettings(Settings):
    """What Twilio signs its webhooks with."""

    twilio_auth_token: str


class Twilio:
    """A sender of SMS: from the account's number, or from a messaging service."""

    def __init__(self, name: str = VENDOR, service_sid: str | None = None) -> None:
        self._settings = load(TwilioSettings)
        self._name = name
        number = self._settings.twilio_number
        self._from = {"messaging_service_sid": service_sid} if service_sid else {"from_": number}

    @property
    def name(self) -> str:
        return self._name

    def close(self) -> None:
        self._http.close()

    @cached_property
    def _http(self) -> httpx.Client:
        return httpx.Client(timeout=TIMEOUT, event_hooks=HOOKS)

    @cached_property
    def _client(self) -> Any:
        from twilio.rest import Client

        settings = self._settings
        client = Client(
            settings.twilio_account_sid,
            settings.twilio_auth_token,
            http_client=_Transport(self._http),
        )
        client.api.base_url = settings.twilio_url
        return client

    def send(self, envelope: Envelope) -> str:
        with calling(self._name, self._translate):
            message = self._client.messages.create(
                to=envelope.to.reveal(),
                body=f"{envelope.text} {_mark(envelope)}",
                status_callback=self._callback(envelope),
                **self._from,
            )
            return str(message.sid)

    def find(self, envelope: Envelope, called_at: datetime) -> str | None:  # noqa: ARG002
        with calling(self._name, self._translate):
            to = envelope.to.reveal()
            for message in self._client.messages.list(to=to, limit=_LOOK_AT_MOST):
                if (message.body or "").endswith(_mark(envelope)):
                    return str(message.sid)
        return None

    def _callback(self, envelope: Envelope) -> str:
        base = self._settings.public_webhooks_url or function_url("webhooks")
        about = {"clinic": str(envelope.clinic_id), "message": str(envelope.message_id)}
        return f"{base}/twilio/status?{urlencode(about)}"

    def _translate(self, error: Exception) -> VendorError | None:
        from twilio.base.exceptions import TwilioRestException

        if not isinstance(error, TwilioRestException):
            return None
        if error.code == _UNSUBSCRIBED:
            return VendorRefused(self._name, OPTED_OUT)
        return by_status(self._name, error.status, str(error.code or ""))


def senders() -> tuple[Twilio, ...]:
    """The ways to send an SMS, in the order they are tried."""
    service = load(TwilioSettings).twilio_backup_service_sid
    return (Twilio(), Twilio(BACKUP, service)) if service else (Twilio(),)


def _mark(envelope: Envelope) -> str:
    return f"({envelope.reference})"


class _Transport:
    """What the official client sends by: httpx with our time-outs, and nothing repeated."""

    is_async = False

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def request(self, method: str, url: str, **given: Any) -> Any:
        from twilio.http.response import Response

        answer = self._http.request(
            method,
            url,
            params=given.get("params"),
            data=given.get("data"),
            headers=given.get("headers"),
            auth=given.get("auth"),
        )
        return Response(answer.status_code, answer.text)


class Delivery(Protocol):
    """An inbound webhook: the public address, the headers and the raw body."""

    @property
    def url(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...


def verify(delivery: Delivery) -> str:
    """Check the signature over address and form; the id of what is reported.

    https://www.twilio.com/docs/usage/webhooks/webhooks-security. A status call-back has no id of
    its own: message and status make one; an inbound message is known by its SmsMessageSid.
    """
    from twilio.request_validator import RequestValidator

    form = _form(delivery.body)
    validator = RequestValidator(load(TwilioWebhookSettings).twilio_auth_token)
    signature = delivery.headers.get("X-Twilio-Signature", "")
    if not validator.validate(delivery.url, form, signature):
        raise Unauthenticated("bad-signature", "The webhook's signature does not match.")
    sid = form.get("SmsMessageSid") or form.get("MessageSid")
    if not sid:
        raise Invalid("bad-webhook", "The webhook names no message.")
    status = form.get("MessageStatus", "received")
    return hashlib.sha256(f"{sid}/{status}".encode()).hexdigest()


def kept(delivery: Delivery) -> bytes:
    """What is stored of a webhook: the form, and the address's query as further fields of it."""
    query = urlsplit(delivery.url).query.encode()
    return b"&".join(part for part in (delivery.body, query) if part)


def read(body: bytes) -> Iterator[Report | OptOut]:
    """A stored webhook as a report or a wish; nothing for what concerns no message of ours."""
    form = _form(body)
    if "MessageStatus" in form:
        yield from _report(form)
    elif "Body" in form:
        yield from _wish(form)


def _report(form: Mapping[str, str]) -> Iterator[Report]:
    status = _STATUSES.get(form["MessageStatus"])
    try:
        clinic, message = ClinicId(form["clinic"]), MessageId(form["message"])
    except (KeyError, ValueError):
        return
    if status is not None:
        failed = status is MessageStatus.FAILED
        failure = MessageFailure.UNDELIVERED if failed else None
        yield Report(clinic, message, status, VENDOR, form["MessageSid"], failure)


def _wish(form: Mapping[str, str]) -> Iterator[OptOut]:
    word = form.get("OptOutType") or form["Body"].strip().upper()
    if word in _STOP | _START:
        yield OptOut(Phi(form["From"]), word in _STOP)


def _form(body: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True))
    except UnicodeDecodeError:
        raise Invalid("bad-webhook", "The webhook is not a form.") from None
