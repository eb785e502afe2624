"""What notifications need from others: contact points, providers that send, marketing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shared.domains.notifications.model import MessageStatus
from shared.events.messages import Channel, MessageFailure
from shared.kernel.ids import ClinicId, CustomerId, MessageId
from shared.kernel.phi import Phi
from shared.kernel.work import Work

OPTED_OUT = "the recipient opted out"
"""The reason of a `VendorRefused` by which a provider says that somebody stopped this channel."""


class Contact(Protocol):
    """How somebody can be reached. `phone` is E.164, `locale` BCP 47, `time_zone` IANA."""

    @property
    def email(self) -> Phi[str] | None: ...
    @property
    def phone(self) -> Phi[str] | None: ...
    @property
    def push_token(self) -> Phi[str] | None: ...
    @property
    def locale(self) -> str: ...
    @property
    def time_zone(self) -> str: ...


class Recipients(Protocol):
    """The customers of the clinic that `work` is in."""

    def contact(self, customer_id: CustomerId, work: Work) -> Contact | None:
        """How to reach a customer; None when there is no such customer."""
        ...

    def having_phone(self, phone: Phi[str], work: Work) -> list[CustomerId]:
        """Who has this number (E.164)."""
        ...


@dataclass(frozen=True)
class Envelope:
    """One rendered message. `reference` is in every SMS and finds it in a provider's records."""

    clinic_id: ClinicId
    message_id: MessageId
    reference: str
    to: Phi[str]
    subject: str
    text: str


class Sender(Protocol):
    """A provider of one channel."""

    @property
    def name(self) -> str: ...

    def send(self, envelope: Envelope) -> str:
        """Hand the message over; the provider's id of it. Raises `VendorError`."""
        ...

    def find(self, envelope: Envelope, called_at: datetime) -> str | None:
        """The provider's id of the message if the call at `called_at` (aware UTC) handed it over.

        Raises `VendorError`.
        """
        ...


class Marketing(Protocol):
    """A marketing platform that knows people by our ids alone."""

    def track(self, user_id: str, event: str, key: str, data: dict[str, str | int]) -> None:
        """Record an event; the same `key` again changes nothing."""
        ...

    def start_workflow(self, user_id: str, workflow: str, key: str) -> None:
        """Start a workflow for a person, once per `key`."""
        ...


@dataclass(frozen=True)
class Vendors:
    """The providers of each channel in the order they are asked, and the marketing platform."""

    senders: Mapping[Channel, Sequence[Sender]]
    marketing: Marketing


@dataclass(frozen=True)
class Report:
    """What a provider says has become of a message.

    `complains` says that the recipient wants no more on this channel.
    """

    clinic_id: ClinicId
    message_id: MessageId
    status: MessageStatus
    provider: str
    provider_id: str
    failure: MessageFailure | None = None
    complains: bool = False


@dataclass(frozen=True)
class OptOut:
    """Somebody texted STOP (or, not `stopped`, START) to our number."""

    phone: Phi[str]
    stopped: bool
