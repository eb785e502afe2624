"""What support is told, in ids and codes alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domains.support import model
from shared.domains.support.model import Priority, Telling, TicketStatus, Told
from shared.events.billing import (
    Decline,
    InvoiceDunningExhausted,
    InvoiceFact,
    InvoicePaid,
    InvoicePaymentFailed,
)
from shared.kernel.ids import ClinicId, CustomerId, InvoiceId
from shared.kernel.money import Money
from shared.kernel.phi import Phi

CLINIC = ClinicId.new()
AMOUNT = Money(amount=481_516, currency="EUR")
COMMON = {
    "clinic_id": CLINIC,
    "invoice_id": InvoiceId.new(),
    "customer_id": CustomerId.new(),
    "version": 3,
}


def failed(attempt: int = 1, decline: Decline = Decline.SOFT) -> InvoicePaymentFailed:
    own = {"amount": AMOUNT, "attempt": attempt, "decline": decline}
    return InvoicePaymentFailed.model_validate(COMMON | own)


EXHAUSTED = InvoiceDunningExhausted.model_validate(COMMON | {"amount": AMOUNT})
PAID = InvoicePaid.model_validate(COMMON | {"amount": AMOUNT})


def test_every_attempt_is_told_in_words_of_its_own() -> None:
    texts = {model.note(failed(n, decline)).text for n in range(1, 13) for decline in Decline}
    assert len(texts) == 24


def test_no_note_begins_with_another() -> None:
    texts = [model.note(failed(n, decline)).text for n in range(1, 13) for decline in Decline]
    texts += [model.note(EXHAUSTED).text, model.SETTLED.text]
    assert not [(a, b) for a in texts for b in texts if a != b and a.startswith(b)]


def test_only_the_end_of_the_ladder_raises_the_priority() -> None:
    assert model.note(failed()).raises is None
    assert model.note(EXHAUSTED).raises is Priority.URGENT


@pytest.mark.parametrize("event", [failed(), EXHAUSTED, PAID])
def test_one_ticket_per_invoice_whatever_comes_first(event: InvoiceFact) -> None:
    assert model.begun(event) == model.begun(failed(9))


@pytest.mark.parametrize("event", [failed(), EXHAUSTED])
def test_a_ticket_names_ids_but_no_person_and_no_amount(event: InvoiceFact) -> None:
    requester = model.CustomerRecord(event.customer_id, Phi("Ada Example"), Phi("ada@example.com"))
    note, ticket = model.note(event), model.begun(event)
    telling = Telling(ticket, CLINIC, requester, note, solves=False)
    text = model.subject(ticket) + model.opening(telling)
    assert all(str(part) in text for part in (event.invoice_id, event.customer_id, CLINIC))
    assert not [part for part in ("Ada", "example.com", "4815", "EUR") if part in text]


def test_an_opening_begins_with_its_note() -> None:
    telling = Telling(model.begun(EXHAUSTED), CLINIC, None, model.note(EXHAUSTED), solves=False)
    assert model.opening(telling).startswith(telling.note.text)


@given(st.lists(st.booleans(), min_size=1))
def test_a_solved_ticket_stays_solved(solves: list[bool]) -> None:
    ticket = model.begun(EXHAUSTED)
    for solved in solves:
        ticket = model.told(ticket, Told(7, solved))
    assert ticket.status is (TicketStatus.SOLVED if any(solves) else TicketStatus.OPEN)
    assert (ticket.vendor_id, ticket.version) == (7, 1 + len(solves))
