"""What support is told, and where a ticket is in its life."""

from dataclasses import dataclass, replace
from enum import StrEnum

from shared.events.billing import InvoiceDunningExhausted, InvoiceFact, InvoicePaymentFailed
from shared.kernel.ids import ClinicId, CustomerId, InvoiceId, TicketId
from shared.kernel.phi import Phi


class TicketStatus(StrEnum):
    """Where we know a ticket to be; what agents do with it in between is theirs."""

    OPENING = "opening"
    OPEN = "open"
    SOLVED = "solved"


class Priority(StrEnum):
    """Zendesk's names (https://developer.zendesk.com/api-reference/ticketing/tickets/tickets)."""

    HIGH = "high"
    URGENT = "urgent"


@dataclass(frozen=True)
class CustomerRecord:
    """All that the support provider holds of a customer: whom an agent may answer."""

    customer_id: CustomerId
    name: Phi[str]
    email: Phi[str] | None


@dataclass(frozen=True)
class Ticket:
    """The one ticket about an invoice; `vendor_id` is the provider's number, once known."""

    id: TicketId
    customer_id: CustomerId
    invoice_id: InvoiceId
    vendor_id: int | None
    status: TicketStatus
    version: int


@dataclass(frozen=True)
class Note:
    """Something to be said on a ticket, in ids and codes alone.

    `raises` is a priority to set, where the fact calls for one.
    """

    text: str
    raises: Priority | None = None


@dataclass(frozen=True)
class Telling:
    """A note, the ticket it belongs on, and whether the ticket is to be solved with it."""

    ticket: Ticket
    clinic_id: ClinicId
    requester: CustomerRecord | None
    note: Note
    solves: bool


@dataclass(frozen=True)
class Told:
    """What came of a telling: the ticket's number (None: there is none), and whether it solved."""

    number: int | None
    solved: bool


SETTLED = Note("The invoice is settled.")


def begun(event: InvoiceFact) -> Ticket:
    """The ticket of an invoice; it has one id, whichever fact calls for it first."""
    return Ticket(
        id=TicketId.derive(event.invoice_id, "payment"),
        customer_id=event.customer_id,
        invoice_id=event.invoice_id,
        vendor_id=None,
        status=TicketStatus.OPENING,
        version=1,
    )


def note(event: InvoiceFact) -> Note:
    """What to say about a fact of an invoice; the same words whenever it is said."""
    if isinstance(event, InvoicePaymentFailed):
        return Note(f"Collection attempt {event.attempt} was declined ({event.decline.value}).")
    if isinstance(event, InvoiceDunningExhausted):
        return Note("Every collection attempt was declined.", raises=Priority.URGENT)
    return SETTLED


def told(ticket: Ticket, outcome: Told) -> Ticket:
    """The ticket after something was told; a solved one stays solved.

    One that was never opened, because its invoice was settled first, has no number.
    """
    solved = outcome.solved or ticket.status is TicketStatus.SOLVED
    status = TicketStatus.SOLVED if solved else TicketStatus.OPEN
    number = outcome.number or ticket.vendor_id
    return replace(ticket, vendor_id=number, status=status, version=ticket.version + 1)


def subject(ticket: Ticket) -> str:
    return f"Payment of invoice {ticket.invoice_id}"


def opening(telling: Telling) -> str:
    """The first words of a ticket: what happened, then where to look."""
    ticket = telling.ticket
    return (
        f"{telling.note.text}\n\n"
        f"Invoice {ticket.invoice_id}\nCustomer {ticket.customer_id}\nClinic {telling.clinic_id}"
    )
