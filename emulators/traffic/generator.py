"""Traffic: several workers, each with people of its own, call the portal API."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from random import Random
from typing import Any, Protocol

import httpx

from emulators.demo import journey
from emulators.demo.checkout import Checkout
from emulators.demo.portal import Person, Portal, PortalError
from emulators.demo.stage import CLINIC_IDS, OPENING, ZONES
from emulators.seed import customers as seeded
from emulators.traffic import mix, promises
from emulators.traffic.ledger import Call, Sent
from emulators.traffic.people import Account, Member

_TOKEN_SECONDS = 3000.0
"""ID tokens live an hour; people sign in anew a little earlier."""
_MOST_CUSTOMERS = 4096
_OPENING_WORKERS = 4
_BREATH = 0.05
"""Seconds to wait after a call without an answer, so that an outage is not just counted."""


class Reached(Protocol):
    """A running local cloud, in this process or in another. `now` is the virtual instant."""

    @property
    def env(self) -> dict[str, str]: ...

    @property
    def now(self) -> datetime: ...

    @property
    def admin_url(self) -> str: ...


class Place(Protocol):
    """Where the portal is; `emulators.demo.stage.Stage` is one."""

    @property
    def cloud(self) -> Reached: ...

    @property
    def portal(self) -> Portal: ...


class Refused(Exception):
    """A call that had to succeed did not; the message says which."""


class Traffic:
    """People of two clinics at their portals. The same seed makes the same choices, as far as the
    answers are the same; every customer belongs to one worker for the length of a run.
    """

    def __init__(self, stage: Place, seed: int, patience: float = 30) -> None:
        """`patience` is how many real seconds a call may take before it counts as unanswered."""
        self.stage = stage
        self.seed = seed
        self.ledger: list[Sent] = []
        self._patience = patience
        self._runs = 0
        self._members: list[Member] = []
        self._came = 0
        self._seeds = seeded(_MOST_CUSTOMERS, seed)
        self._operator = Account(Person("operator@example.com", CLINIC_IDS[0]), exists=True)
        self._admins = [
            Account(Person(journey.admin_of(clinic_id), clinic_id), exists=True)
            for clinic_id in CLINIC_IDS
        ]

    def open(self, customers: int = 20) -> None:
        """Open the clinics and let so many sign up, each with a contract. Raises `Refused`."""
        journey.open_clinics(self.stage.portal)
        with self._shift(_OPENING_WORKERS) as shifts:
            shares = [_share(customers, _OPENING_WORKERS, shift.number) for shift in shifts]
            _all(shifts, [partial(_Worker.admit, count=share or 0) for share in shares])

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
        with self._shift(workers) as shifts:
            shares = [_share(calls, workers, shift.number) for shift in shifts]
            _all(shifts, [partial(_Worker.work, calls=one, deadline=deadline) for one in shares])
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
                self._came = max(shift.came for shift in shifts)


def _all(shifts: list["_Worker"], work: list[Callable[["_Worker"], None]]) -> None:
    """Let every worker do its work in a thread; raises what the first of them raised."""
    with ThreadPoolExecutor(len(shifts)) as pool:
        for done in [pool.submit(part, shift) for shift, part in zip(shifts, work, strict=True)]:
            done.result()


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
        self.number = number
        self._random = Random(f"traffic {traffic.seed} {traffic._runs} {number}")  # noqa: S311
        self._members = traffic._members[number::workers]
        self._admins = [replace(one, person=replace(one.person)) for one in traffic._admins]
        self._operator = replace(traffic._operator, person=replace(traffic._operator.person))
        self.came = traffic._came
        self._fresh = iter(range(traffic._came + number, _MOST_CUSTOMERS, workers))
        self.newcomers: list[Member] = []

    def newcomer(self) -> Member | None:
        """Somebody new, who does not have an account yet; None when all have come."""
        index = next(self._fresh, None)
        if index is None:
            return None
        self.came = index + 1
        seed = self._traffic._seeds[index]
        member = Member(Person(seed.email, CLINIC_IDS[seed.clinic]), seed=seed)
        self._members.append(member)
        self.newcomers.append(member)
        return member

    def admit(self, count: int) -> None:
        """Let so many sign up, each with a contract. Raises `Refused`."""
        for _ in range(count):
            member = self.newcomer()
            if member is None:
                raise Refused(f"there are no more than {_MOST_CUSTOMERS} customers")
            for call in (mix.register(member), mix.first_contract(member)):
                sent = self.ask(member, call)
                if not sent.acknowledged:
                    raise Refused(f"{sent.route} of {member.seed.id}: {sent.status} {sent.answer}")

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
            call = mix.staffs_next(admin.person, operator.person, self.number, self._random)
            self.ask(operator if call.email == operator.person.email else admin, call)
        else:
            comes = lot < mix.STAFF + mix.NEWCOMERS or not self._members
            member = (self.newcomer() if comes else None) or self._random.choice(self._members)
            self.ask(member, mix.customers_next(member, self._random))

    def ask(self, account: Account, call: Call) -> Sent:
        """Make a call, after what has to come before it; every step is in the ledger.

        Answers the last step: the call, or what went wrong before it.
        """
        if self._token_is_old(account):
            signed_in = self._sign_in(account)
            if not signed_in.acknowledged:
                return signed_in
        if isinstance(account, Member) and call.route == "contract_request":
            bought, call = self._bought(account, call)
            if not bought.acknowledged:
                return bought
        person = account.person
        sent = self._record(call, lambda: self._answer(person, call))
        if isinstance(account, Member):
            account.learn(sent)
        return sent

    def _answer(self, person: Person, call: Call) -> tuple[int, Any]:
        response = self._portal.send(person, call.method, call.path, call.body)
        return response.status_code, response.json() if response.content else None

    def _token_is_old(self, account: Account) -> bool:
        return self._now().timestamp() - account.signed_at > _TOKEN_SECONDS

    def _sign_in(self, account: Account) -> Sent:
        """Get a new token, and an account before the first."""
        person = account.person
        call = mix.call(person, "account")
        if account.exists:
            sent = self._record(call, _done(lambda: self._portal.sign_in(person)))
        else:
            sent = self._record(call, _done(lambda: self._portal.sign_up(person)))
            # Refused: an account that was made by a call without an answer.
            account.exists = not sent.unknown
        if sent.acknowledged:
            account.signed_at = sent.at.timestamp()
        return sent

    def _bought(self, member: Member, call: Call) -> tuple[Sent, Call]:
        """Buy the subscription for a contract; the request with it."""
        person, zone = member.person, ZONES[CLINIC_IDS.index(member.person.clinic_id)]
        begins = self._now() + OPENING

        def buy() -> str:
            if not member.billed:
                self._checkout.introduce(member.seed, person.id, person.clinic_id)
                member.billed = True
            plan = call.body["plan"]
            return self._checkout.subscribe(person.id, person.clinic_id, plan, begins)

        sent = self._record(mix.call(person, "checkout"), _done(buy))
        # Refused: a customer who was made there by a call without an answer.
        member.billed = member.billed or not sent.unknown
        starts_on = begins.astimezone(zone).date().isoformat()
        body = call.body | {"subscription_id": sent.answer, "starts_on": starts_on}
        return sent, replace(call, body=body)

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
