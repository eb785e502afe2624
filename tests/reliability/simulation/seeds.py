"""A seed played twice, and what came of it."""

import time
from dataclasses import dataclass

from tests.reliability.simulation import script
from tests.reliability.simulation.chance import lots
from tests.reliability.simulation.ground import Ground
from tests.reliability.simulation.run import Run
from tests.reliability.simulation.transport import CALM, Weather
from tests.reliability.simulation.truth import Truth, differences, truth, wrong

_SHOWN = 25


@dataclass(frozen=True)
class Outcome:
    """`problems` are empty where the disturbed run ended as the one in order did.

    `asked` is how many events were asked for, `events` how many there were in order.
    """

    seed: int
    asked: int
    events: int
    deliveries: int
    deaths: int
    crowds: int
    waits: int
    seconds: float
    problems: tuple[str, ...]
    trail: tuple[str, ...]

    @property
    def figures(self) -> tuple[int, ...]:
        return self.events, self.deliveries, self.deaths, self.crowds, self.waits

    def __str__(self) -> str:
        events, deliveries, deaths, crowds, waits = self.figures
        return (
            f"seed {self.seed}: {events} events, {deliveries} deliveries, {deaths} deaths, "
            f"{crowds} crowds, {waits} waits, {self.seconds:.1f} s, {len(self.problems)} problems"
        )


def weather(seed: int, copies: int, *, worst: bool = False) -> Weather:
    """How bad it gets: every seed has its own mixture, or the `worst` of everything."""
    some = lots(seed, "weather")
    pick = max if worst else some.choice
    return Weather(
        copies=copies,
        late=pick((0.02, 0.06, 0.2)),
        crowds=pick((0.01, 0.03, 0.06)),
        together=pick((0.0, 0.05, 0.25)),
        deaths=pick((0.0, 0.05, 0.2)),
        refusals=pick((0.0, 0.03)),
        faults=pick((0.0, 0.1, 0.3)),
        ordered=some.random() < 0.25,
    )


def try_seed(ground: Ground, seed: int, events: int, how: Weather) -> Outcome:
    """Play a seed in order, then disturbed, and compare."""
    began = time.perf_counter()
    calm, wanted = _played(ground, seed, events, CALM)
    problems = [f"in order: {one}" for one in wrong(calm)]
    run, found = _played(ground, seed, events, how)
    problems += wrong(run)
    problems += differences(wanted, found)
    return Outcome(
        seed=seed,
        asked=events,
        events=calm.transport.published,
        deliveries=run.transport.deliveries,
        deaths=run.deaths,
        crowds=run.crowds,
        waits=run.waits,
        seconds=time.perf_counter() - began,
        problems=tuple(problems),
        trail=tuple(_trail(run, problems)) if problems else (),
    )


def shrunk(ground: Ground, outcome: Outcome, how: Weather) -> Outcome:
    """The same seed with as few people as still show a problem: their lives stay the same."""
    people = script.people(outcome.asked)
    for fewer in sorted({2, 4, 8, people // 4, people // 2}):
        if 2 <= fewer < people:
            tried = try_seed(ground, outcome.seed, fewer * script.EVENTS_EACH, how)
            if tried.problems:
                return tried
    return outcome


def _played(ground: Ground, seed: int, events: int, how: Weather) -> tuple[Run, Truth]:
    run = Run(ground, seed, how)
    with run.installed():
        script.play(run, events)
        run.play()
        return run, truth(run)


def _trail(run: Run, problems: list[str]) -> list[str]:
    """What happened to whom the first problem is about."""
    words = set(problems[0].replace("'", " ").replace(",", " ").split())
    ids = {word for word in words if len(word) == 36 and word.count("-") == 4}
    ids -= {str(clinic) for clinic in script.CLINICS}
    about = [
        f"{at:%d %H:%M:%S} {what}"
        for at, what, who in run.trail.lines
        if any(id_ in who or id_ in what for id_ in ids)
    ]
    return about[-_SHOWN:]
