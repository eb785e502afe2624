"""Who calls: customers with what they know of their contracts, and a clinic's staff."""

from dataclasses import dataclass, field
from typing import Any

from emulators.demo.portal import Person
from emulators.seed import TREATMENTS, SeedCustomer
from emulators.traffic.ledger import Sent

_OPEN = ("future", "active", "paused")


@dataclass
class Account:
    """Somebody who can sign in; `signed_at` is when they last did, in virtual seconds."""

    person: Person
    exists: bool = False
    signed_at: float = -1e12


@dataclass
class Member(Account):
    """A customer. Only one worker acts for them at a time, so their calls have an order.

    `unsure` means that a write was not acknowledged: what they know may be wrong.
    """

    seed: SeedCustomer = field(kw_only=True)
    registered: bool = False
    billed: bool = False
    unsure: bool = False
    contracts: dict[str, dict[str, Any]] = field(default_factory=dict)
    changes: int = 0

    @property
    def untreated(self) -> list[str]:
        """The treatments for which there is no open contract."""
        treated = {c["treatment"] for c in self.contracts.values() if c["status"] in _OPEN}
        return [one.id for one in TREATMENTS if one.id not in treated]

    def contracts_in(self, *states: str) -> list[dict[str, Any]]:
        return [contract for contract in self.contracts.values() if contract["status"] in states]

    @property
    def open_contracts(self) -> list[dict[str, Any]]:
        return self.contracts_in(*_OPEN)

    def learn(self, sent: Sent) -> None:
        """Take note of an answer."""
        answer = sent.answer
        if sent.acknowledged and sent.route in ("customer_register", "customer_read"):
            self.person.id, self.registered = answer["id"], True
        elif sent.acknowledged and sent.route == "contracts_list":
            self.contracts = {one["id"]: one for one in answer["items"]}
            self.unsure = False
        elif sent.acknowledged and sent.route.startswith("contract_"):
            self.contracts[answer["id"]] = answer
        elif sent.status == 404 and sent.route == "customer_read":
            self.unsure = False  # not registered, surely
        elif sent.request.writes and not sent.acknowledged:
            self.unsure = True  # no answer, or it is not as they thought
