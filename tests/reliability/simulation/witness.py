"""An agent whose handlers forgive nothing: what the machinery repeats, it counts twice.

The product's own handlers mostly look at what is there before they change it. These do not, so that
it shows whether an event takes effect once, whether a vendor without keys is told once, whether a
timer fires once.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.domains.customers import store
from shared.events.billing import InvoiceDunningExhausted, InvoicePaid, InvoicePaymentFailed
from shared.events.contracts import ContractFact
from shared.events.customers import CustomerUpdated
from shared.kernel.event import Event
from shared.kernel.ids import CustomerId
from shared.kernel.money import Money
from shared.kernel.work import Effect, Timer, Work
from shared.runtime.agent import Agent
from tests.reliability.simulation.vendors import asked

_FACTS: tuple[type[Event], ...] = (
    InvoicePaid,
    InvoicePaymentFailed,
    InvoiceDunningExhausted,
    CustomerUpdated,
    *ContractFact.__subclasses__(),
)


@dataclass
class Ear:
    """A vendor without keys that can be asked what it was told."""

    told: Counter[str] = field(default_factory=Counter)

    def tell(self, what: str) -> None:
        with asked("ear"):
            self.told[what] += 1

    def heard(self, what: str) -> bool:
        with asked("ear"):
            return what in self.told


def witness() -> Agent:
    """The agent; it counts under currencies that nobody pays in."""
    agent = Agent("witness", Ear)

    @agent.reacts(*_FACTS)
    def fact_counts(event: Any, work: Work) -> None:
        _count(event.customer_id, "XXR", work)
        work.schedule("witness.later", CustomerId.derive(event.subject, _name(event)), work.now)

    def prepare(event: Any, work: Work) -> str:
        return _name(event)

    def call(what: str, ear: Ear, key: str) -> bool:
        ear.tell(what)
        return True

    def record(outcome: bool, event: Any, work: Work) -> None:
        _count(event.customer_id, "XXE", work)

    def find(what: str, ear: Ear, called_at: datetime) -> bool | None:
        return True if ear.heard(what) else None

    agent.effects("fact_tells", Effect(prepare, call, record, find), *_FACTS)

    @agent.timer("witness.later")
    def later_counts(timer: Timer, work: Work) -> None:
        _count(CustomerId(int=0), "XXT", work)

    return agent


def _count(customer_id: CustomerId, currency: str, work: Work) -> None:
    store.add_value(customer_id, Money(amount=1, currency=currency), work)


def _name(event: Event) -> str:
    return f"{event.type} {event.subject} {event.model_dump_json()}"
