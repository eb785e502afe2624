"""Traffic: several workers, each with people of its own, call the portal API."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from random import Random
from typing import Any

import httpx

from emulators.demo import journey
from emulators.demo.checkout import Checkout
from emulators.demo.portal import Person, Portal, PortalError
from emulators.demo.stage import CLINIC_IDS, OPENING, ZONES, Stage
from emulators.seed import customers as seeded
from emulators.traffic import mix, promises
from emulators.traffic.ledger import Call, Sent
from emulators.traffic.people import Account, Member

_TOKEN_SECONDS = 3000.0
"""ID tokens live an hour; people sign in anew a little earlier."""
_BREATH = 0.05
"""Seconds to wait after a call without an answer, so that an outage is not just counted."""


class Refused(Exception):
    """A call that had to succeed did not; the message says which."""


class Traffic:
    """People of two clinics at their portals. The same seed makes the same choices, as far as the
    answers are the same; every customer belongs to one worker for the length of a run.
    """

    def __init__(self, stage: Stage, seed: int, patience: float = 30) -> None:
        """`patience` is how many real seconds a call may take before it counts as unanswered."""
        self.stage = stage
        self.seed = seed
        self.ledger: list[Sent] = []
        self._patience = patience
        self._runs = 0
        self._members: list[Member] = []
        self._seeds = seeded(1024, seed)
        self._operator = Account(Person("operator@example.com", CLINIC_IDS[0]), exists=True)
        self._admins = [
            Account(Person(journey.admin_of(clinic_id), clinic_id), exists=True)
            for clinic_id in CLINIC_IDS
        ]

    def open(self, customers: int = 20) -> None:
        """Open the clinics and let so many sign up, each with a contract. Raises `Refused`."""
        journey.open_clinics(self.stage)
        with self._shift(1) as (shift,):
            for _ in range(customers):
                member = shift.newcomer()
                shift.ask(member, mix.register(member))
                shift.ask(member, mix.first_contract(member))
                if not member.contracts:
                    last = self.ledger[-1]
                    raise Refused(f"{last.route} of {member.seed.id}: {last.status} {last.answer}")

    def run(
        self, calls: int | None = None, seconds: float | None = None, workers: int = 4
    ) -> list[Sent]:
        """Let `workers` threads make `calls` calls, or as many as fit into real `seconds`.

        Answers what was sent in this run. A call that fails is an entry like any other.
        """
        if calls is None and seconds is None:
            raise ValueError("say how many calls or how many seconds")
        began = len(self.ledger)
        deadline = time.monotonic() + (86_400 if seconds is None else seconds)
        with self._shift(workers) as shifts, ThreadPoolExecutor(workers) as pool:
            shares = [_share(calls, workers, number) for number in range(workers)]
            for done in [
                pool.submit(shift.work, share, deadline)
                for shift, share in zip(shifts, shares, strict=True)
            ]:
                done.result()
        return self.ledger[began:]

    def missing(self) -> list[str]:
        """What acknowledged writes promised and Postgres does not hold; empty when all is there.

        Raises what the database driver raises when Postgres cannot be reached.
        """
        return promises.missing(self.ledger, self.stage.cloud.admin_url, self.stage.cloud.now)

    @contextmanager
    def _shift(self, workers: int) -> Iterator[list["_Worker"]]:
        """So many workers with the people shared out among them; newcomers join for good."""
        self._runs += 1
        limits = httpx.Limits(max_connections=workers, max_keepalive_connections=workers)
        checkout = Checkout(self.stage.cloud.env, timeout=self._patience)
        with httpx.Client(timeout=self._patience, limits=limits) as http:
            portal = replace(self.stage.portal, http=http)
            shifts = [_Worker(self, portal, checkout, number, workers) for number in range(workers)]
            try:
                yield shifts
            finally:
                checkout.close()
                self._members += [new for shift in shifts for new in shift.newcomers]


def _share(calls: int | None, workers: int, number: int) -> int | None:
    return None if calls is None else calls // workers + (number < calls % workers)


class _Worker:
    """One thread's part of a run."""

    def __init__(
        self, traffic: Traffic, portal: Portal, checkout: Checkout, number: int, workers: int
    ) -> None:
        self._traffic = traffic
        self._portal = portal
        self._checkout = checkout
        self._number = number
        self._random = Random(f"traffic {traffic.seed} {traffic._runs} {number}")  # noqa: S311
        self._members = traffic._members[number::workers]
        self._admins = [replace(one, person=replace(one.person)) for one in traffic._admins]
        self._operator = replace(traffic._operator, person=replace(traffic._operator.person))
        self._fresh = iter(traffic._seeds[len(traffic._members) + number :: workers])
        self.newcomers: list[Member] = []

    def newcomer(self) -> Member:
        """Somebody new, who does not have an account yet."""
        seed = next(self._fresh)
        member = Member(Person(seed.email, CLINIC_IDS[seed.clinic]), seed=seed)
        self._members.append(member)
        self.newcomers.append(member)
        return member

    def work(self, calls: int | None, deadline: float) -> None:
        """Make calls until there were enough or time is up."""
        made = 0
        while (calls is None or made < calls) and time.monotonic() < deadline:
            made += 1
            self._turn()

    def _turn(self) -> None:
        lot = self._random.random() * 100
        if lot < mix.STAFF:
            admin = self._random.choice(self._admins)
            operator = self._operator
            operator.person.clinic_id = admin.person.clinic_id
            call = mix.staffs_next(admin.person, operator.person, self._number, self._random)
            self.ask(operator if call.email == operator.person.email else admin, call)
        elif lot < mix.STAFF + mix.NEWCOMERS or not self._members:
            member = self.newcomer()
            self.ask(member, mix.register(member))
        else:
            member = self._random.choice(self._members)
            self.ask(member, mix.customers_next(member, self._random))

    def ask(self, account: Account, call: Call) -> None:
        """Make a call, after what has to come before it; every step is in the ledger."""
        if not self._signed_in(account):
            return
        if isinstance(account, Member) and call.route == "contract_request":
            prepared = self._bought(account, call)
            if prepared is None:
                return
            call = prepared
        person = account.person
        sent = self._record(call, lambda: self._answer(person, call))
        if isinstance(account, Member):
            account.learn(sent)

    def _answer(self, person: Person, call: Call) -> tuple[int, Any]:
        response = self._portal.send(person, call.method, call.path, call.body)
        return response.status_code, response.json() if response.content else None

    def _signed_in(self, account: Account) -> bool:
        """With a token that is still good; True if the person has one."""
        now = self._now().timestamp()
        if now - account.signed_at < _TOKEN_SECONDS:
            return True
        person = account.person
        call = mix.call(person, "account")
        if not account.exists:
            sent = self._record(call, _done(lambda: self._portal.sign_up(person)))
            # Refused: an account that was made by a call without an answer.
            account.exists = not sent.unknown
        else:
            sent = self._record(call, _done(lambda: self._portal.sign_in(person)))
        if sent.acknowledged:
            account.signed_at = now
        return sent.acknowledged

    def _bought(self, member: Member, call: Call) -> Call | None:
        """The request with the subscription that was just bought for it; None without one."""
        person, zone = member.person, ZONES[CLINIC_IDS.index(member.person.clinic_id)]
        begins = self._now() + OPENING

        def buy() -> str:
            if not member.billed:
                self._checkout.introduce(member.seed, person.id, person.clinic_id)
                member.billed = True
            plan = call.body["plan"]
            return self._checkout.subscribe(person.id, person.clinic_id, plan, begins)

        sent = self._record(mix.call(person, "checkout"), _done(buy))
        if not sent.acknowledged:
            # Refused: a customer who was made there by a call without an answer.
            member.billed = member.billed or not sent.unknown
            return None
        starts_on = begins.astimezone(zone).date().isoformat()
        body = call.body | {"subscription_id": sent.answer, "starts_on": starts_on}
        return replace(call, body=body)

    def _record(self, call: Call, act: Callable[[], tuple[int, Any]]) -> Sent:
        at, began = self._now(), time.perf_counter()
        status: int | None
        try:
            status, answer = act()
        except PortalError as refusal:
            status, answer = refusal.status, str(refusal)
        except httpx.HTTPStatusError as refusal:
            status, answer = refusal.response.status_code, refusal.response.text
        except (httpx.HTTPError, ValueError) as lost:
            status, answer = None, f"{type(lost).__name__}: {lost}"
        sent = Sent(call.route, status, time.perf_counter() - began, call, answer, at)
        self._traffic.ledger.append(sent)
        if status is None:
            time.sleep(_BREATH)
        return sent

    def _now(self) -> datetime:
        return self._traffic.stage.cloud.now


def _done(act: Callable[[], Any]) -> Callable[[], tuple[int, Any]]:
    """A call of which only the outcome is of interest, as one that answers a status."""
    return lambda: (200, act())
