"""Use cases of the support context: customers that support knows, tickets about payments.

Everything told to the provider is looked up there first, so telling it again changes nothing.
"""

from shared.domains.support import model, store
from shared.domains.support.model import CustomerRecord, Priority, Telling, Told
from shared.domains.support.ports import Customers, HasDesk, Invoices
from shared.events.billing import InvoiceFact, InvoicePaid
from shared.events.contracts import ContractCreated
from shared.events.customers import CustomerField, CustomerUpdated
from shared.events.support import TicketOpened
from shared.kernel.errors import NotFound, OutcomeUnknown
from shared.kernel.ids import CustomerId
from shared.kernel.phi import Phi
from shared.kernel.work import Effect, Work

_TOLD = {CustomerField.NAME, CustomerField.EMAIL}


def record_of(customer_id: CustomerId, customers: Customers, work: Work) -> CustomerRecord | None:
    """What support is to know of a customer: the name and the address, nothing else."""
    contact = customers.contact(customer_id, work)
    if contact is None:
        return None
    name = f"{contact.given_name.reveal()} {contact.family_name.reveal()}".strip()
    return CustomerRecord(customer_id, Phi(name), contact.email)


def _is_told(event: ContractCreated | CustomerUpdated, work: Work) -> bool:
    """A customer is told about with the first contract, and kept current from then on."""
    if isinstance(event, ContractCreated):
        return True
    return bool(_TOLD & set(event.changed)) and store.knows_customer(event.customer_id, work)


def customer_record(customers: Customers) -> Effect[CustomerRecord, tuple[CustomerRecord, int]]:
    """Keep the provider's record of a customer as the customers context has it now."""

    def prepare(event: ContractCreated | CustomerUpdated, work: Work) -> CustomerRecord | None:
        if not _is_told(event, work):
            return None
        record = record_of(event.customer_id, customers, work)
        if record is None:
            raise NotFound("customer-not-found", "There is no such customer.")
        return record

    def call(record: CustomerRecord, vendors: HasDesk, _: str) -> tuple[CustomerRecord, int]:
        return record, vendors.desk.keep_customer(record)

    def done(
        outcome: tuple[CustomerRecord, int], event: ContractCreated | CustomerUpdated, work: Work
    ) -> None:
        told, number = outcome
        if record_of(event.customer_id, customers, work) != told:
            # Another delivery may have told the newer data before this one arrived: say it again.
            raise OutcomeUnknown("support desk", "the customer changed meanwhile")
        store.keep_customer(event.customer_id, number, work)

    return Effect(prepare, call, done)


def payment_ticket(customers: Customers, invoices: Invoices) -> Effect[Telling, Told]:
    """Keep one ticket per invoice that could not be collected; solve it when it was paid.

    Facts may come in any order: what counts is whether the invoice is settled now.
    """

    def prepare(event: InvoiceFact, work: Work) -> Telling | None:
        ticket = store.ticket_of(event.invoice_id, work)
        settled = invoices.is_settled(event.invoice_id, work)
        if ticket is None:
            if settled or isinstance(event, InvoicePaid):
                return None
            ticket = model.begun(event)
            store.add_ticket(ticket, work)
        requester = record_of(event.customer_id, customers, work)
        note = model.SETTLED if settled else model.note(event)
        return Telling(ticket, work.clinic_id, requester, note, solves=settled)

    def done(told: Told, event: InvoiceFact, work: Work) -> None:
        ticket = store.ticket_of(event.invoice_id, work)
        if ticket is None or (told.number is None and not told.solved):
            return
        if not told.solved and invoices.is_settled(event.invoice_id, work):
            # Its payment may have found no ticket to solve yet: say this again, now as settled.
            raise OutcomeUnknown("support desk", "the invoice was settled meanwhile")
        store.save_ticket(model.told(ticket, told), work)
        if told.number is not None and ticket.vendor_id is None:
            work.emit(
                TicketOpened(
                    clinic_id=work.clinic_id, ticket_id=ticket.id, customer_id=ticket.customer_id
                )
            )

    return Effect(prepare, _tell, done)


def _tell(telling: Telling, vendors: HasDesk, _: str) -> Told:
    """Open the ticket or add to it; one that does not exist is not opened just to be solved."""
    ticket, note, desk = telling.ticket, telling.note, vendors.desk
    number = ticket.vendor_id or desk.find_ticket(ticket.id)
    if number is not None:
        desk.add_note(number, note.text, note.raises, telling.solves)
    elif not telling.solves:
        opening, priority = model.opening(telling), note.raises or Priority.HIGH
        subject = model.subject(ticket)
        number = desk.open_ticket(ticket.id, telling.requester, subject, opening, priority)
    return Told(number, telling.solves)
