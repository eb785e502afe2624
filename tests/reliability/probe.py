"""An agent that a test declares as it needs, in front of the real database."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from shared.events.customers import CustomerRegistered
from shared.kernel import clock
from shared.kernel.ids import CustomerId, EventId
from shared.kernel.work import Work
from shared.platform.unit_of_work import Cause, transaction
from shared.runtime.agent import Agent
from tests.conftest import BERLIN, House

T = TypeVar("T")
_PATIENCE = 20.0


class Killed(BaseException):
    """The process ends here: nothing that comes after is done."""


@dataclass
class Vendor:
    """A vendor that answers as it is told, and remembers what it was asked and by which key."""

    answers: list[Any] = field(default_factory=list)
    found: list[Any] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    during: Callable[[], Any] = lambda: None
    """Happens while a call is under way."""

    def call(self, key: str) -> Any:
        self.keys.add(key)
        return self._answer("call", self.answers, "taken")

    def find(self) -> Any:
        return self._answer("find", self.found, None)

    def _answer(self, what: str, answers: list[Any], otherwise: Any) -> Any:
        self.asked.append(what)
        self.during()
        answer = answers.pop(0) if answers else otherwise
        if isinstance(answer, BaseException):
            raise answer
        return answer


class Probe:
    """The agent `probe`, told things about one customer; `note` is what its handlers do."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.vendor = Vendor()
        self.agent = Agent("probe", lambda: self.vendor)
        self.customer = CustomerId.new()
        self.event = CustomerRegistered(clinic_id=BERLIN, customer_id=self.customer, version=1)
        house.serve(self.agent)

    def note(self, work: Work) -> None:
        """Leave a mark that commits with `work`."""
        work.schedule("probe.noted", CustomerId.new(), work.now)

    @property
    def notes(self) -> int:
        """How often something took effect."""
        found = self.house.rows("SELECT count(*) AS n FROM platform.timers WHERE kind = :kind",
                                kind="probe.noted")  # fmt: skip
        return int(found[0]["n"])

    def deliver(self, event_id: EventId, attempt: int = 1) -> int:
        """Push the event as Pub/Sub would; answers the status."""
        return self.house.deliver("probe", self.event, BERLIN, event_id, attempt).status_code

    def parked(self) -> list[str]:
        """Why messages were parked."""
        return [row["reason"] for row in self.letters()]

    def letters(self) -> list[dict[str, Any]]:
        return self.house.rows("SELECT * FROM platform.dead_letters ORDER BY created_at")

    def replay(self, letter: dict[str, Any]) -> int:
        path = f"/dead-letters/{letter['id']}"
        return self.house.trigger("probe", path, "operator").status_code

    def intent(self) -> str:
        """The state of the one intent there is."""
        (row,) = self.house.rows("SELECT state FROM platform.intents")
        return str(row["state"])

    def schedule(self, kind: str, **after: float) -> dict[str, Any]:
        """Set the timer of this kind and customer; its row."""
        with transaction(BERLIN, "test", Cause("test")) as work:
            work.schedule(kind, self.customer, clock.now() + timedelta(**after))
        return self.house.timer(kind, self.customer)

    def fire(self, timer: dict[str, Any]) -> int:
        return self.house.fire("probe", timer).status_code


def concurrently(*calls: Callable[[], T]) -> list[T]:
    """The answers of calls made at the same time, each in a thread of its own."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(_PATIENCE) for future in [pool.submit(call) for call in calls]]


def wait_until(holds: Callable[[], Any]) -> None:
    """Come back when it holds; fail when it does not within reason."""
    deadline = time.monotonic() + _PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("it never held")
        time.sleep(0.005)


def blocked(house: House) -> int:
    """How many database sessions wait for another's lock."""
    found = house.rows("SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    return int(found[0]["n"])
