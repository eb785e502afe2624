"""Vendors stood in for at their ports: they keep what they were told and honour keys as they do.

What a vendor decides (a card is declined, a pause refused, a mail bounces) follows from the seed
and what it is about, never from when it was asked: it is the same in every run of the seed. That it
is away, answers late, or acts and stays silent comes from the lots of the task that asks.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlencode

from shared.domains.notifications.ports import Envelope
from shared.domains.support.model import CustomerRecord, Priority
from shared.kernel import clock
from shared.kernel.errors import OutcomeUnknown, VendorRefused, VendorUnavailable
from shared.kernel.ids import TicketId
from shared.kernel.phi import Phi
from tests.reliability.simulation import task as tasks
from tests.reliability.simulation.chance import share

Webhook = Callable[[str, str, bytes], None]
"""Sends (vendor, path, body) some time."""


@contextmanager
def asked(vendor: str) -> Iterator[None]:
    """One call: what is done in the block is what the vendor does."""
    task = tasks.current()
    lot = task.lots.random() / task.faults if task is not None and task.faults else 1.0
    if task is not None and lot < 1.0:
        task.reached(f"{vendor}: is asked")
    if lot < 0.25:
        raise VendorUnavailable(vendor, "503")
    if lot < 0.4:
        raise OutcomeUnknown(vendor, "it did nothing and stayed silent")
    yield
    if task is not None:
        task.exposed = False
    if lot < 0.65:
        raise OutcomeUnknown(vendor, "it acted and stayed silent")
    if task is not None and lot < 1.0:
        task.wait(timedelta(seconds=task.lots.choice((5, 120))))
        task.reached(f"{vendor}: answers late")


@dataclass(frozen=True)
class Sent:
    """One message that a provider took."""

    provider: str
    envelope: Envelope
    id: str
    at: datetime


@dataclass
class Messenger:
    """SendGrid, Twilio or FCM. Its reports come as webhooks: taken, then delivered or bounced."""

    name: str
    seed: int
    webhook: Webhook
    sent: list[Sent] = field(default_factory=list)

    def send(self, envelope: Envelope) -> str:
        with asked(self.name):
            if self._fate(envelope, "refused") < 0.03:
                raise VendorRefused(self.name, "not a valid recipient")
            taken = Sent(self.name, envelope, f"{self.name}-{len(self.sent)}", clock.now())
            self.sent.append(taken)
            self._report(taken)
        return taken.id

    def find(self, envelope: Envelope, called_at: datetime) -> str | None:
        """FCM cannot be asked; SendGrid's feed lags by a minute."""
        with asked(self.name):
            if self.name == "fcm":
                return None
            found = [one for one in self.sent if one.envelope.message_id == envelope.message_id]
            if self.name == "sendgrid" and clock.now() - called_at < timedelta(minutes=1):
                found = [one for one in found if share(self.seed, one.id, "in feed") < 0.5]
                if not found:
                    raise OutcomeUnknown(self.name, "it may not be in the activity feed yet")
            return found[0].id if found else None

    def _fate(self, envelope: Envelope, what: str) -> float:
        return share(self.seed, what, self.name, envelope.subject, envelope.text)

    def _report(self, sent: Sent) -> None:
        bounced = self._fate(sent.envelope, "bounced") < 0.1
        about = {
            "clinic": str(sent.envelope.clinic_id),
            "message": str(sent.envelope.message_id),
        }
        if self.name == "sendgrid":
            for event in ("processed", "bounce" if bounced else "delivered"):
                row = about | {"event": event, "sg_message_id": sent.id}
                self.webhook("sendgrid", "/sendgrid", json.dumps([row]).encode())
        elif self.name == "twilio":
            for status in ("sent", "undelivered" if bounced else "delivered"):
                form = urlencode({"MessageSid": sent.id, "MessageStatus": status})
                self.webhook("twilio", f"/twilio/status?{urlencode(about)}", form.encode())


@dataclass
class Marketing:
    """Iterable: an event under a known key replaces the first."""

    told: dict[str, tuple[str, str, str]] = field(default_factory=dict)

    def track(self, user_id: str, event: str, key: str, data: dict[str, str | int]) -> None:
        with asked("iterable"):
            self.told[key] = (user_id, event, json.dumps(data, sort_keys=True))

    def start_workflow(self, user_id: str, workflow: str, key: str) -> None:
        self.track(user_id, f"{workflow}_started", key, {"workflow": workflow})


@dataclass
class Ticket:
    """A ticket as the desk has it."""

    number: int
    opened: str
    notes: list[str] = field(default_factory=list)
    solved: bool = False


@dataclass
class Desk:
    """Zendesk: one record per external id, one ticket per idempotency key, each note once."""

    records: dict[str, tuple[str, str]] = field(default_factory=dict)
    tickets: dict[TicketId, list[Ticket]] = field(default_factory=dict)
    _numbers: int = 0

    def keep_customer(self, customer: CustomerRecord) -> int:
        with asked("zendesk"):
            email = customer.email.reveal() if customer.email else ""
            self.records[str(customer.customer_id)] = (customer.name.reveal(), email)
        return int(hashlib.sha256(customer.customer_id.bytes).hexdigest()[:8], 16)

    def find_ticket(self, ticket_id: TicketId) -> int | None:
        with asked("zendesk"):
            found = self.tickets.get(ticket_id, [])
            return found[0].number if found else None

    def open_ticket(
        self,
        ticket_id: TicketId,
        requester: CustomerRecord | None,
        subject: str,
        text: str,
        priority: Priority,
    ) -> int:
        with asked("zendesk"):
            known = self.tickets.setdefault(ticket_id, [])
            if known and known[0].opened != text:
                raise OutcomeUnknown("zendesk", "the ticket was asked for before, in other words")
            if not known:
                self._numbers += 1
                known.append(Ticket(self._numbers, text))
        return known[0].number

    def add_note(
        self, number: int, text: str, priority: Priority | None = None, solve: bool = False
    ) -> None:
        with asked("zendesk"):
            every = [one for found in self.tickets.values() for one in found]
            (ticket,) = (one for one in every if one.number == number)
            said = ticket.opened.startswith(text) or text in ticket.notes
            if not said:
                ticket.notes.append(text)
            ticket.solved = ticket.solved or solve


def stop(number: Phi[str], sid: str, word: str, webhook: Webhook) -> None:
    """Somebody texts STOP or START."""
    form = urlencode({"SmsMessageSid": sid, "From": number.reveal(), "Body": word})
    webhook("twilio", "/twilio/incoming", form.encode())
