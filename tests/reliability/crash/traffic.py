"""The life of a street by a seed: what neighbours do, and which vendors fail meanwhile."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from random import Random

from emulators.demo import journey
from emulators.demo.stage import Player
from emulators.seed import SeedCustomer
from tests.journeys.street import RENEWAL, Street, person
from tests.reliability.crash.poison import Poison

Act = Callable[[], None]
LAST_DAY = 37
_TERM_ENDS = (RENEWAL - journey.BEGINS) / timedelta(days=1)
_VENDORS = {
    "chargebee": "/subscriptions/",  # what is told, not what is read every minute
    "sendgrid": "",
    "zendesk": "",
    "iterable": "",
    "twilio": "",
}
_UNKNOWN, _KNOWN = ("error", "fail-after-success"), ("429", "down")
"""Faults after which nobody knows whether the vendor did it, and those after which it did not."""


@dataclass
class Town:
    """A street whose life follows from a seed.

    The instants are working hours, so that nothing crosses into quiet hours by coming a bit later.
    """

    street: Street
    seed: int
    late: Act
    """Happens before the last time that everything which can happen does."""

    def __post_init__(self) -> None:
        self.random = Random(f"town {self.seed}")
        self.stage = self.street.stage

    def live(self) -> None:
        """Five weeks, until everything has come to rest."""
        self.street.open()
        self._break_vendors()
        players = self._move_in()
        acts = self._wishes(players) + self._accidents(players[1])
        for day, act in sorted(acts, key=lambda entry: entry[0]):
            self.street.pass_until(day)
            act()
        self.street.pass_until(LAST_DAY)
        self._drain()

    def _neighbours(self) -> list[SeedCustomer]:
        """One for each way of life, in any order."""
        choose = self.random.choice
        often = ("monthly", "quarterly")
        found = [
            person(1, choose(often)),
            person(2, "6month"),
            person(3, choose(often), choose(("soft_decline_twice", "hard_decline"))),
            person(5, choose(often)),
            person(6, choose((*often, "6month"))),
            person(7, "monthly"),
        ]
        return self.random.sample(found, len(found))

    def _move_in(self) -> dict[int, Player]:
        """Everybody by their number. They sign up on the same morning."""
        players = {}
        for seed in self._neighbours():
            players[int(seed.id[-5:])] = self.street.move_in(seed)
            self.stage.cloud.advance(minutes=self.random.randrange(15))
        return players

    def _wishes(self, players: dict[int, Player]) -> list[tuple[float, Act]]:
        """What neighbours ask for, and on which day."""
        ask, about, pausing = self.street.ask, self.street.about, self._day(3, 14)
        phone = {"phone": "+491713920099"}
        ends = {"at_term": self.random.random() < 0.5}
        plan = {"plan": "hair-loss-6month-EUR", "takes_effect": "end_of_term"}
        cancel, change = (
            partial(
                ask, players[number], "POST", f"/contracts/{players[number].contract_id}/{what}"
            )
            for number, what in ((6, "cancellation"), (7, "plan"))
        )
        return [
            (self._day(2, 20), partial(ask, players[1], "PATCH", "/customers/me", phone)),
            (pausing, partial(about, players[5], "pause")),
            (pausing + self.random.randint(2, 8), partial(about, players[5], "resume")),
            (self._day(5, 25), partial(cancel, ends)),
            (self._day(2, 25), partial(change, plan)),
        ]

    def _accidents(self, renewing: Player) -> list[tuple[float, Act]]:
        """What cannot be handled, and when the operator has it tried again."""
        poison, early = Poison(self.stage), self._day(1, 4)
        put_right = _TERM_ENDS + 0.5 / 24
        return [
            (early, poison.speak_too_early),
            (early + 1, poison.misspeak),
            (early + 2, poison.come),
            (early + 3, poison.replay),
            (27, partial(poison.misplace, renewing)),
            (28, self._break_vendors),
            (28, self.late),
            (put_right, partial(poison.put_right, renewing)),
            (put_right, poison.replay),
        ]

    def _day(self, first: int, last: int) -> float:
        """A working hour of some day after the beginning, which is at nine (UTC)."""
        return self.random.randint(first, last) + self.random.randrange(6 * 60) / 1440

    def _break_vendors(self) -> None:
        """Each vendor fails three times; what it was told must not be lost or told again."""
        for vendor, path in _VENDORS.items():
            for kind in (*self.random.sample(_UNKNOWN, 2), self.random.choice(_KNOWN)):
                self.stage.cloud.fault(vendor, kind, count=1, path=path)

    def _drain(self) -> None:
        """Let time pass until nothing waits."""
        for _ in range(20):
            self.stage.cloud.advance(minutes=30)
            if not self.stage.one(_WAITING):
                break
        self.stage.listen()


_WAITING = """
    SELECT (SELECT count(*) FROM platform.outbox WHERE sent_at IS NULL)
         + (SELECT count(*) FROM platform.intents WHERE state NOT IN ('done', 'refused'))"""
