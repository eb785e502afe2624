"""What the support context asks of a support provider, and of the other contexts."""

from typing import Protocol

from shared.domains.support.model import CustomerRecord, Priority
from shared.kernel.ids import CustomerId, InvoiceId, TicketId
from shared.kernel.phi import Phi
from shared.kernel.work import Work


class SupportDesk(Protocol):
    """Every call may be repeated: one that finds its work done counts as done."""

    def keep_customer(self, customer: CustomerRecord) -> int:
        """Make or update the customer's record; answers its number."""
        ...

    def find_ticket(self, ticket_id: TicketId) -> int | None:
        """The number of our ticket; found as soon as it exists."""
        ...

    def open_ticket(
        self,
        ticket_id: TicketId,
        requester: CustomerRecord | None,
        subject: str,
        text: str,
        priority: Priority,
    ) -> int:
        """Open the ticket, once per `ticket_id`; answers its number."""
        ...

    def add_note(
        self, number: int, text: str, priority: Priority | None = None, solve: bool = False
    ) -> None:
        """Say `text` on a ticket unless it was said there before; set priority, solve it."""
        ...


class HasDesk(Protocol):
    """The vendors of a function that talks to the support provider."""

    @property
    def desk(self) -> SupportDesk: ...


class Contact(Protocol):
    """How a customer is called and reached."""

    @property
    def given_name(self) -> Phi[str]: ...

    @property
    def family_name(self) -> Phi[str]: ...

    @property
    def email(self) -> Phi[str] | None: ...


class Customers(Protocol):
    """What the customers context knows."""

    def contact(self, customer_id: CustomerId, work: Work) -> Contact | None: ...


class Invoices(Protocol):
    """What the billing context knows."""

    def is_settled(self, invoice_id: InvoiceId, work: Work) -> bool:
        """Whether nothing is to be collected on it any more (paid or voided)."""
        ...
