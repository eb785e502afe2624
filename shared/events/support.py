"""Facts about support (topic `ticket-events`, ordered per ticket)."""

from shared.kernel.event import Event
from shared.kernel.ids import ClinicId, CustomerId, TicketId


class TicketOpened(Event, type="ticket.opened", subject="ticket_id"):
    """A ticket exists at the support provider."""

    clinic_id: ClinicId
    ticket_id: TicketId
    customer_id: CustomerId
