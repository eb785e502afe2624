"""The use cases of notifications: events become messages, messages are sent, reports come back."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from shared.domains.notifications import store
from shared.domains.notifications.model import (
    Message,
    MessageStatus,
    Rule,
    message_id,
    rules_for,
    sendable_at,
)
from shared.domains.notifications.ports import (
    OPTED_OUT,
    Contact,
    Envelope,
    OptOut,
    Recipients,
    Report,
    Sender,
    Vendors,
)
from shared.domains.notifications.templates import variables_of
from shared.domains.notifications.texts import REGISTRY
from shared.events.contracts import ContractCreated
from shared.events.messages import (
    Channel,
    MessageAccepted,
    MessageDelivered,
    MessageExpired,
    MessageFact,
    MessageFailed,
    MessageFailure,
    MessageQueued,
)
from shared.kernel import clock
from shared.kernel.errors import VendorUnavailable
from shared.kernel.ids import WebhookId
from shared.kernel.phi import Phi
from shared.kernel.work import Effect, Timer, Work

SEND_TIMER = "message.send"
Read = Callable[[bytes], Iterable[Report | OptOut]]
"""How a provider's module reads its webhook."""


# Events become messages


def queue_messages(event: Any, recipients: Recipients, work: Work) -> None:
    """Make the messages that the rules want of an event: one per channel that reaches somebody.

    The same fact told twice makes nothing new.
    """
    contact = recipients.contact(event.customer_id, work)
    if contact is None:
        return
    for channel, rule in rules_for(event.type).items():
        if _address(contact, channel) is not None:
            message = _compose(event, channel, rule, contact, work)
            if store.add(message, work):
                _release(message, contact, work)


def _compose(event: Any, channel: Channel, rule: Rule, contact: Contact, work: Work) -> Message:
    template = REGISTRY.get(rule.template, channel)
    return Message(
        clinic_id=work.clinic_id,
        id=message_id(event, channel),
        customer_id=event.customer_id,
        channel=channel,
        topic=rule.topic,
        urgency=rule.urgency,
        template=rule.template,
        locale=contact.locale,
        variables=variables_of(event, template),
        any_hour=rule.any_hour,
        status=MessageStatus.DEFERRED,
        created_at=work.now,
        updated_at=work.now,
        due_at=work.now,
        expires_at=work.now + rule.expires_after,
    )


def _release(message: Message, contact: Contact, work: Work) -> None:
    """Queue the message, or what else is right now: suppress, expire or defer it."""
    if not _allowed(message, work):
        store.save(message.changed(work.now, status=MessageStatus.SUPPRESSED), work)
        return
    at = sendable_at(message, ZoneInfo(contact.time_zone), work.now)
    if at == work.now:
        queued = message.changed(work.now, status=MessageStatus.QUEUED, due_at=at)
        store.save(queued, work)
        work.emit(_fact(MessageQueued, queued))
    else:
        _hold(message, at, work)


def _hold(message: Message, until: datetime | None, work: Work) -> None:
    """Defer the message to an instant, or let it expire when there is none."""
    if until is None:
        expired = message.changed(work.now, status=MessageStatus.EXPIRED)
        store.save(expired, work)
        work.emit(_fact(MessageExpired, expired))
        return
    deferred = message.changed(work.now, status=MessageStatus.DEFERRED, due_at=until)
    store.save(deferred, work)
    work.schedule(SEND_TIMER, message.id, until)


def release_message(timer: Timer, recipients: Recipients, work: Work) -> None:
    """A deferred message's time has come; everything is decided anew."""
    message = store.load(timer.subject, work)
    if message is None or message.status is not MessageStatus.DEFERRED:
        return
    contact = recipients.contact(message.customer_id, work)
    if contact is None or _address(contact, message.channel) is None:
        store.save(message.changed(work.now, status=MessageStatus.SUPPRESSED), work)
    else:
        _release(message, contact, work)


def _allowed(message: Message, work: Work) -> bool:
    chosen = store.choices(message.customer_id, work)
    return chosen.allow(message.topic, message.channel, message.urgency)


def _address(contact: Contact, channel: Channel) -> Phi[str] | None:
    match channel:
        case Channel.EMAIL:
            return contact.email
        case Channel.SMS:
            return contact.phone
        case Channel.PUSH:
            return contact.push_token


# Messages are sent


@dataclass(frozen=True)
class Sending:
    """A message ready to leave, with what is needed to see whether it still may."""

    message: Message
    envelope: Envelope
    zone: ZoneInfo


@dataclass(frozen=True)
class Taken:
    """A provider has the message."""

    provider: str
    provider_id: str


@dataclass(frozen=True)
class Held:
    """Nothing was sent: too early (`until`), or pointless by now (None)."""

    until: datetime | None


def message_sending(recipients: Recipients) -> Effect[Sending, Taken | Held]:
    """The effect of `MessageQueued`: the message leaves once.

    A call whose outcome is unknown is looked up at every provider before anything is repeated.
    Where a provider was unavailable for long, quiet hours and expiry are looked at again.
    """

    def prepare(event: MessageQueued, work: Work) -> Sending | None:
        return _prepare(event, recipients, work)

    return Effect(prepare, _send, _record, _find, _refuse)


def _prepare(event: MessageQueued, recipients: Recipients, work: Work) -> Sending | None:
    message = store.load(event.message_id, work)
    if message is None or not message.to_be_sent:
        return None
    contact = recipients.contact(message.customer_id, work)
    address = _address(contact, message.channel) if contact else None
    first = message.status is MessageStatus.QUEUED
    if contact is None or address is None or (first and not _allowed(message, work)):
        store.save(message.changed(work.now, status=MessageStatus.SUPPRESSED), work)
        return None
    sending = message.changed(
        work.now,
        status=MessageStatus.SENDING,
        attempts=message.attempts + 1,
    )
    store.save(sending, work)
    template = REGISTRY.get(message.template, message.channel)
    text = template.render(message.locale, message.variables)
    envelope = Envelope(
        clinic_id=message.clinic_id,
        message_id=message.id,
        reference=message.reference,
        to=address,
        subject=text.subject,
        text=text.body,
    )
    return Sending(sending, envelope, ZoneInfo(contact.time_zone))


def _send(sending: Sending, vendors: Vendors, _: str) -> Taken | Held:
    now = clock.now()
    at = sendable_at(sending.message, sending.zone, now)
    if at != now:
        return Held(at)
    return _first_to_take(vendors.senders[sending.message.channel], sending.envelope)


def _first_to_take(senders: Sequence[Sender], envelope: Envelope) -> Taken:
    """Ask providers in order. Only one that surely did nothing is followed by the next."""
    for sender in senders[:-1]:
        try:
            return Taken(sender.name, sender.send(envelope))
        except VendorUnavailable:
            continue
    return Taken(senders[-1].name, senders[-1].send(envelope))


def _find(sending: Sending, vendors: Vendors, called_at: datetime) -> Taken | None:
    for sender in vendors.senders[sending.message.channel]:
        provider_id = sender.find(sending.envelope, called_at)
        if provider_id is not None:
            return Taken(sender.name, provider_id)
    return None


def _record(outcome: Taken | Held, event: MessageQueued, work: Work) -> None:
    message = store.load(event.message_id, work)
    if message is None:
        return
    if isinstance(outcome, Taken):
        _advance(message, MessageStatus.ACCEPTED, outcome.provider, outcome.provider_id, None, work)
    elif message.to_be_sent:
        _hold(message, outcome.until, work)


def _refuse(reason: str, event: MessageQueued, work: Work) -> None:
    """The provider will not have it. One that knows of a STOP we missed tells us so."""
    message = store.load(event.message_id, work)
    if message is None or not message.to_be_sent:
        return
    opted_out = reason == OPTED_OUT
    if opted_out:
        store.stop(message.customer_id, message.channel, True, work.now, work)
    failure = MessageFailure.BLOCKED if opted_out else MessageFailure.REFUSED
    failed = message.changed(work.now, status=MessageStatus.FAILED, failure=failure)
    store.save(failed, work)
    work.emit(_fact(MessageFailed, failed, failure=failure))


# Reports come back


def take_reports(read: Read, webhook_id: WebhookId, recipients: Recipients, work: Work) -> None:
    """Apply a stored webhook of a provider; what is old news, or not about us, changes nothing."""
    stored = store.webhook(webhook_id, work)
    if stored is None:
        return
    body, received_at = stored
    for report in read(body):
        if isinstance(report, OptOut):
            _take_opt_out(report, received_at, recipients, work)
        else:
            with work.within(report.clinic_id):
                _take_report(report, received_at, work)


def _take_report(report: Report, received_at: datetime, work: Work) -> None:
    message = store.load(report.message_id, work)
    if message is None:
        return
    if report.complains:
        store.stop(message.customer_id, message.channel, True, received_at, work)
    _advance(message, report.status, report.provider, report.provider_id, report.failure, work)


def _take_opt_out(wish: OptOut, received_at: datetime, recipients: Recipients, work: Work) -> None:
    """STOP and START hold for everybody with that number, in every clinic that knows it."""
    for clinic_id in store.all_clinics(work):
        with work.within(clinic_id):
            for customer_id in recipients.having_phone(wish.phone, work):
                store.stop(customer_id, Channel.SMS, wish.stopped, received_at, work)


def _advance(
    message: Message,
    status: MessageStatus,
    provider: str,
    provider_id: str,
    failure: MessageFailure | None,
    work: Work,
) -> None:
    """Move a message on by what a provider says, unless it is further already."""
    if not message.surpassed_by(status):
        return
    advanced = message.changed(
        work.now,
        status=status,
        provider=message.provider or provider,
        provider_id=message.provider_id or provider_id,
        failure=failure,
    )
    store.save(advanced, work)
    if status is MessageStatus.ACCEPTED:
        work.emit(_fact(MessageAccepted, advanced))
    elif status is MessageStatus.DELIVERED:
        work.emit(_fact(MessageDelivered, advanced))
    else:
        failure = failure or MessageFailure.UNDELIVERED
        work.emit(_fact(MessageFailed, advanced, failure=failure))


def _fact(kind: type[MessageFact], message: Message, **more: Any) -> MessageFact:
    return kind(
        clinic_id=message.clinic_id,
        message_id=message.id,
        customer_id=message.customer_id,
        channel=message.channel,
        version=message.version,
        **more,
    )


# Marketing is told


def _welcome(event: ContractCreated, _: Work) -> ContractCreated:
    return event


def _track_welcome(event: ContractCreated, vendors: Vendors, key: str) -> None:
    data: dict[str, str | int] = {
        "contract_id": str(event.contract_id),
        "starts_on": event.starts_on.isoformat(),
        "ends_on": event.ends_on.isoformat(),
    }
    vendors.marketing.track(str(event.customer_id), "contract_created", key, data)


def _nothing_to_record(*_: Any) -> None:
    """Marketing's answer changes nothing here."""


WELCOME_TRACKING: Effect[ContractCreated, None] = Effect(
    _welcome, _track_welcome, _nothing_to_record
)
"""The welcome event of a new contract; repeating it under its key changes nothing there."""
