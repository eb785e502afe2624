"""Any order of wishes, days and refusals leaves a customer's contracts in order."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from shared.domains.contracts import model
from shared.domains.contracts.model import OPEN, Contract, Plan, TermEnd
from shared.events.contracts import ContractStatus, PlanChange
from shared.kernel.errors import DomainError
from shared.kernel.ids import ContractId
from tests.unit.contracts.lives import BERLIN, noon, plan, requested

PLANS = {one.code: one for one in (plan("a"), plan("b", term_months=1), plan("c", upfront=True))}


@dataclass(frozen=True)
class Resumption:
    """What `contract.resumed` said."""

    contract: ContractId
    resumed_on: date
    ends_on: date


class Life(RuleBasedStateMachine):
    """One customer's contracts for a treatment, with a ledger of days kept beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.day = date(2027, 8, 30)
        self.rows: dict[ContractId, Contract] = {}
        self.closed: dict[ContractId, Contract] = {}
        self.promised: dict[ContractId, date] = {}
        self.still: dict[ContractId, set[date]] = {}
        self.resumptions: list[Resumption] = []
        self.current = requested().id

    @property
    def now(self) -> datetime:
        return noon(self.day)

    @property
    def contract(self) -> Contract:
        return self.rows[self.current]

    @property
    def status(self) -> ContractStatus:
        return self.contract.status

    def save(self, contract: Contract | None) -> None:
        if contract is not None:
            before = self.rows.get(contract.id)
            assert before is None or contract.version >= before.version
            self.rows[contract.id] = contract

    def begin(self, contract: Contract) -> None:
        assert contract.id not in self.rows, "a second successor"
        self.rows[contract.id], self.current = contract, contract.id
        self.promised[contract.id], self.still[contract.id] = contract.ends_on, set()

    @initialize(ahead=st.integers(0, 3), code=st.sampled_from(sorted(PLANS)))
    def request(self, ahead: int, code: str) -> None:
        first = self.day + timedelta(days=ahead)
        asked = requested()
        self.begin(
            model.request(asked.id, asked.customer_id, PLANS[code], "s", first, self.now, BERLIN)
        )

    @rule(days=st.sampled_from([1, 2, 7, 28, 31, 180]))
    def pass_time(self, days: int) -> None:
        for _ in range(days):
            self.day += timedelta(days=1)
            self.wake()

    def wake(self) -> None:
        """What timers do: begin and end terms."""
        self.save(model.activate(self.contract, self.now, BERLIN))
        sold = PLANS[self.contract.plan]
        match model.at_term_end(self.contract, sold, self.now, BERLIN):
            case TermEnd.CANCEL:
                self.save(model.end(self.contract, ContractStatus.CANCELLED, self.now))
            case TermEnd.COMPLETE:
                self.save(model.end(self.contract, ContractStatus.COMPLETED, self.now))
            case TermEnd.RENEW:
                self.renew()

    def renew(self) -> None:
        ended = self.contract
        follows: Plan = PLANS[ended.next_plan or ended.plan]
        self.save(model.end(ended, ContractStatus.RENEWED, self.now))
        self.begin(model.succeed(ended, follows, self.now))

    @rule()
    def link(self) -> None:
        if self.status is ContractStatus.FUTURE:
            self.save(model.link(self.contract, self.now))
            self.wake()

    @precondition(lambda self: self.status is ContractStatus.ACTIVE)
    @rule()
    def pause(self) -> None:
        self.save(model.pause(self.contract, self.now, BERLIN))

    @precondition(lambda self: self.status is ContractStatus.PAUSED)
    @rule()
    def resume(self) -> None:
        since = self.contract.paused_on
        assert since is not None
        stood = {since + timedelta(days=n) for n in range((self.day - since).days)}
        assert not stood & self.still[self.current], "a day is counted twice"
        self.still[self.current] |= stood
        self.save(model.resume(self.contract, self.now, BERLIN))
        self.resumptions.append(Resumption(self.current, self.day, self.contract.ends_on))
        self.wake()

    @precondition(lambda self: self.resumptions)
    @rule()
    def refuse_resumption(self) -> None:
        said = self.resumptions.pop(0)
        contract = self.rows[said.contract]
        try:
            self.save(model.stand_still(contract, said.resumed_on, said.ends_on, self.now))
        except DomainError:
            assert contract.status in (ContractStatus.RENEWED, ContractStatus.COMPLETED)

    @precondition(lambda self: self.status is ContractStatus.PAUSED)
    @rule()
    def refuse_pause(self) -> None:
        self.save(model.go_on(self.contract, self.now))
        self.wake()

    @rule(code=st.sampled_from(sorted(PLANS)), when=st.sampled_from(PlanChange))
    def change_plan(self, code: str, when: PlanChange) -> None:
        self.attempt(lambda: model.change_plan(self.contract, PLANS[code], when, self.now))

    @rule()
    def take_plan(self) -> None:
        self.save(model.confirm_plan(self.contract, self.contract.plan))

    @rule()
    def refuse_plan(self) -> None:
        self.save(model.restore_plan(self.contract, self.now))

    @rule()
    def cancel_at_term(self) -> None:
        self.attempt(lambda: model.cancel_at_term(self.contract, self.now))

    @rule()
    def undo_cancel(self) -> None:
        self.attempt(lambda: model.undo_cancel(self.contract, self.now))

    @precondition(lambda self: len(self.rows) > 1)
    @rule()
    def cancel(self) -> None:
        self.attempt(lambda: model.cancel(self.contract, self.now))

    def attempt(self, act: object) -> None:
        """A wish may be refused; then nothing changes."""
        assert callable(act)
        try:
            self.save(act())
        except DomainError:
            return

    @invariant()
    def at_most_one_contract_is_open(self) -> None:
        assert sum(one.status in OPEN for one in self.rows.values()) <= 1

    @invariant()
    def closed_contracts_never_change(self) -> None:
        for contract in self.rows.values():
            if contract.status not in OPEN:
                assert self.closed.setdefault(contract.id, contract) == contract

    @invariant()
    def no_day_is_lost(self) -> None:
        for contract in self.rows.values():
            stood = len(self.still[contract.id])
            assert contract.ends_on == self.promised[contract.id] + timedelta(days=stood)

    @invariant()
    def terms_follow_one_another(self) -> None:
        for contract in self.rows.values():
            if contract.predecessor_id is not None:
                assert contract.starts_on == self.rows[contract.predecessor_id].ends_on


Life.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestLife = Life.TestCase
