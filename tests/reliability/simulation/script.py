"""Who lives in a seed's world and what they do: the same in every run of the seed.

Everybody has at most one story a day, told within minutes, so that its events overtake each other.
The next one begins when the last is through: what people do follows what they saw.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from shared.domains.clinics import service as clinics
from shared.domains.clinics.commands import SaveClinic
from shared.domains.contracts import service as contracts
from shared.domains.contracts.commands import (
    CancelContract,
    ChangePlan,
    RequestContract,
    SavePlan,
)
from shared.domains.customers import service as customers
from shared.domains.customers.commands import RegisterCustomer, UpdateCustomer
from shared.events.contracts import PlanChange
from shared.kernel import clock
from shared.kernel.errors import DomainError
from shared.kernel.ids import ClinicId, ContractId, CustomerId
from shared.kernel.work import Work
from shared.platform.unit_of_work import Cause
from shared.runtime.delivery import committed
from tests.reliability.simulation.chance import lots
from tests.reliability.simulation.ground import OPENS
from tests.reliability.simulation.run import Run

BERLIN = ClinicId("0198c0de-0000-7000-8000-000000000001")
KOLKATA = ClinicId("0198c0de-0000-7000-8000-000000000002")
CLINICS = {BERLIN: "Europe/Berlin", KOLKATA: "Asia/Kolkata"}
_HAIR = {"treatment": "hair", "monthly_item_price_id": "hair-EUR"}
PLANS = {
    "monthly": SavePlan(**_HAIR, item_price_id="hair-EUR", term_months=1),
    "upfront": SavePlan(**_HAIR, item_price_id="hair-1-EUR", term_months=1, upfront=True),
    "half": SavePlan(**_HAIR, item_price_id="hair-6-EUR", term_months=6),
}
DAYS = 10
EVENTS_EACH = 130
"""About so many events somebody's days make."""
_MINUTE = timedelta(minutes=1)


def play(run: Run, events: int) -> None:
    """Put everything that happens by itself on the agenda."""
    for number, clinic_id in enumerate(CLINICS):
        run.command(f"clinic {number}", partial(_open, clinic_id))
    for number in range(people(events)):
        Person(run, number).plan(days(events))


def people(events: int) -> int:
    """How many it takes to make so many events: two at least, one in each clinic."""
    return max(2, -(-events // EVENTS_EACH))


def _open(clinic_id: ClinicId) -> None:
    with committed(clinic_id, "portal_api", Cause("simulation")) as work:
        clinics.save(SaveClinic(name="Clinic", time_zone=CLINICS[clinic_id]), work)
        for code, plan in PLANS.items():
            contracts.save_plan(code, plan, work)


def days(events: int) -> int:
    """For how long they do something: a small world has short lives."""
    return min(DAYS, max(2, events // 20))


@dataclass
class Step:
    """Something that happens `after` the one before."""

    after: timedelta
    what: str
    act: Callable[[], Any]


class Person:
    """A customer of one clinic with one subscription and one contract at a time."""

    def __init__(self, run: Run, number: int) -> None:
        self.run = run
        self.number = number
        self.uid = f"person-{number}"
        self.clinic_id = list(CLINICS)[number % 2]
        self.id = CustomerId.derive(self.clinic_id, self.uid)
        self.some = lots(run.seed, "person", number)
        self.subscription = f"sub-{number}-1"
        self.plan_code = self.some.choice(list(PLANS))
        self._invoices = 0
        self._devices = 0

    def plan(self, days: int) -> None:
        at = OPENS + timedelta(hours=2) + self.some.random() * timedelta(hours=3)
        self._tell(at, "arrives", self._arrives())
        for day in range(1, days + 1):
            at = OPENS + timedelta(days=day, hours=4 + self.some.random() * 5)
            if self.some.random() < 0.85:
                story = self.some.choices(_STORIES, _WEIGHTS)[0]
                self._tell(at, f"day {day} {story.__name__}", story(self))

    def _tell(self, at: datetime, story: str, steps: Iterator[Step]) -> None:
        for number, step in enumerate(steps):
            at += step.after
            name = f"{self.uid} {story} {number} {step.what}"
            self.run.agenda.at(at, partial(self._do, name, step.act))

    def _do(self, name: str, act: Callable[[], Any]) -> None:
        def answered() -> None:
            try:
                act()
            except DomainError as error:
                self.run.answers[name] = error.code

        self.run.trail.note(clock.now(), name, str(self.id))
        self.run.command(name, answered)

    def _soon(self) -> timedelta:
        return self.some.random() * 10 * _MINUTE

    # What people ask

    def _asks(self, what: str, ask: Callable[[Work], Any]) -> Step:
        def act() -> None:
            with committed(self.clinic_id, "portal_api", Cause(f"portal {self.uid}")) as work:
                ask(work)

        return Step(self._soon(), what, act)

    def _asks_of_contract(self, what: str, ask: Callable[[ContractId, Work], Any]) -> Step:
        return self._asks(what, lambda work: ask(self.run.known[f"contract {self.number}"], work))

    def _arrives(self) -> Iterator[Step]:
        provider, subscription, plan = self.run.provider, self.subscription, self.plan_code
        price = PLANS[plan].item_price_id
        yield Step(timedelta(), "pays", lambda: provider.customer(self.id, self.clinic_id))
        yield Step(
            _MINUTE / 6, "subscribes",
            lambda: provider.subscribe(subscription, self.id, self.clinic_id, price),
        )  # fmt: skip
        command = RegisterCustomer.model_validate(
            {
                "given_name": "Ada",
                "family_name": f"Canary {self.number}",
                "email": f"ada-{self.number}@example.test",
                "phone": f"+49151123{self.number:05}",
                "locale": self.some.choice(["de-DE", "en"]),
                "time_zone": self.some.choice(["Europe/Berlin", "Asia/Kolkata", "America/Lima"]),
            }
        )
        yield self._asks("registers", lambda work: customers.register(self.uid, command, work))
        yield self._new_device()
        yield self._wants(plan, subscription)

    def _wants(self, plan: str, subscription: str) -> Step:
        day = (OPENS + timedelta(days=self.some.choice([0, 0, 0, 3]))).date()

        def want(work: Work) -> None:
            asked = RequestContract(
                plan=plan, subscription_id=subscription, starts_on=max(day, work.now.date())
            )
            made = contracts.request(self.id, asked, work)
            self.run.known[f"contract {self.number}"] = made.id

        return self._asks("wants a contract", want)

    def _new_device(self) -> Step:
        self._devices += 1
        return self._updates(push_token=f"device-{self.number}-{self._devices}")

    def _updates(self, **values: str) -> Step:
        command = UpdateCustomer.model_validate(values)
        return self._asks(
            f"updates {' '.join(values)}", lambda work: customers.update(self.uid, command, work)
        )

    def pauses(self) -> Iterator[Step]:
        yield self._asks_of_contract("pauses", lambda id_, work: contracts.pause(id_, None, work))

    def resumes(self) -> Iterator[Step]:
        yield self._asks_of_contract("resumes", lambda id_, work: contracts.resume(id_, None, work))

    def hesitates(self) -> Iterator[Step]:
        """Pauses and resumes at once."""
        if not self.run.provider.unpausable(self.subscription):
            yield from self.pauses()
            yield from self.resumes()

    def changes_plan(self) -> Iterator[Step]:
        command = ChangePlan(
            plan=self.some.choice(list(PLANS)), takes_effect=self.some.choice(list(PlanChange))
        )
        yield self._asks_of_contract(
            "changes the plan", lambda id_, work: contracts.change_plan(id_, command, None, work)
        )

    def wavers(self) -> Iterator[Step]:
        """Cancels with the term, and thinks better of it."""
        command = CancelContract(at_term=True)
        yield self._asks_of_contract(
            "cancels at term", lambda id_, work: contracts.cancel(id_, command, None, work)
        )
        if self.some.random() < 0.7:
            yield self._asks_of_contract(
                "keeps it", lambda id_, work: contracts.undo_cancel(id_, None, work)
            )

    def leaves(self) -> Iterator[Step]:
        command = CancelContract(at_term=False)
        yield self._asks_of_contract(
            "cancels now", lambda id_, work: contracts.cancel(id_, command, None, work)
        )

    def moves(self) -> Iterator[Step]:
        """Changes their data a few times in a row."""
        for _ in range(self.some.randint(1, 3)):
            new = self.some.randrange(10**6)
            values = {
                "email": f"ada-{self.number}-{new}@example.test",
                "family_name": f"Canary {new}",
                "phone": f"+49151{new:08}",
            }
            name = self.some.choice([*values, "device"])
            yield self._new_device() if name == "device" else self._updates(**{name: values[name]})

    # What happens at the billing provider

    def _invoiced(self, card: str) -> tuple[str, Step]:
        self._invoices += 1
        id_ = f"{card}-{self.number}-{self._invoices}"
        total = 100 * self.some.randint(10, 500)
        provider, subscription = self.run.provider, self.subscription
        return id_, Step(
            self._soon(), f"is invoiced {id_}",
            lambda: provider.invoice(id_, self.id, subscription, total),
        )  # fmt: skip

    def _charged(self, id_: str) -> Step:
        provider = self.run.provider
        return Step(_MINUTE / 20, f"is charged {id_}", lambda: provider.charge(id_))

    def pays(self) -> Iterator[Step]:
        id_, made = self._invoiced("good")
        yield made
        yield self._charged(id_)

    def is_short(self) -> Iterator[Step]:
        id_, made = self._invoiced("soft")
        yield made
        yield self._charged(id_)

    def lost_the_card(self) -> Iterator[Step]:
        id_, made = self._invoiced("hard")
        yield made
        yield self._charged(id_)

    def pays_by_hand(self) -> Iterator[Step]:
        """An attempt is declined, and minutes later they pay: what follows may begin or not."""
        id_, made = self._invoiced("hasty")
        provider = self.run.provider
        yield made
        yield self._charged(id_)
        yield Step(self._soon() / 2, f"pays {id_}", lambda: provider.paid_elsewhere(id_))

    def has_another_card(self) -> Iterator[Step]:
        method = f"pm_{self.some.randrange(10**6)}"
        provider = self.run.provider
        yield Step(self._soon(), "pays otherwise", lambda: provider.new_method(self.id, method))

    def is_revised(self) -> Iterator[Step]:
        """The provider changes the subscription a few times in a row."""
        provider, subscription = self.run.provider, self.subscription
        for _ in range(self.some.randint(2, 4)):
            end = int(clock.now().timestamp()) + self.some.randrange(10**6)
            yield Step(
                self._soon() / 10,
                "subscription is changed",
                partial(
                    provider.change, subscription, "subscription_changed", current_term_end=end
                ),
            )

    def is_thrown_out(self) -> Iterator[Step]:
        provider, subscription = self.run.provider, self.subscription
        yield Step(
            self._soon(), "subscription is cancelled",
            lambda: provider.change(subscription, "subscription_cancelled", status="cancelled"),
        )  # fmt: skip


_WEIGHTED: dict[Callable[[Person], Iterator[Step]], int] = {
    Person.pauses: 8,
    Person.resumes: 10,
    Person.hesitates: 8,
    Person.changes_plan: 8,
    Person.wavers: 8,
    Person.leaves: 1,
    Person.moves: 10,
    Person.pays: 16,
    Person.is_short: 12,
    Person.lost_the_card: 6,
    Person.pays_by_hand: 6,
    Person.has_another_card: 6,
    Person.is_revised: 6,
    Person.is_thrown_out: 1,
}
_STORIES, _WEIGHTS = list(_WEIGHTED), list(_WEIGHTED.values())
