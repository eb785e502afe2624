"""One outage: what was asked meanwhile, what piled up, and what is true after it."""

import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random

from emulators.traffic import Sent
from tests.journeys.street import left_over, wrong_mirrors
from tests.reliability.outages import told
from tests.reliability.outages.town import Town, town

TARGETS = (
    "pubsub",
    "tasks",
    "firestore",
    "chargebee",
    "iterable",
    "zendesk",
    "twilio",
    "sendgrid",
    "fcm",
)
MINUTES = 10
DRAINED_WITHIN = 60
"""Virtual seconds from the return on."""
_GIVES_UP_AFTER = 3 * DRAINED_WITHIN
_ROUNDS = 20
CALLS = 400


@dataclass(frozen=True)
class Outcome:
    """What one outage did. `drained` is in virtual seconds, None if some was left after long;
    `took` in real ones. What is said of it in lists is empty when all is well.
    """

    target: str
    writes: int
    failed: list[str]
    backlog: int
    drained: int | None
    took: float
    disorder: list[str]
    doubled: list[str]
    lost: list[str]
    refused: int
    """Writes that the rules did not allow; they would not in calm, either."""

    @property
    def kept(self) -> bool:
        wrong = (self.failed, self.disorder, self.doubled, self.lost)
        in_time = self.drained is not None and self.drained <= DRAINED_WITHIN
        return in_time and self.writes > 0 and self.backlog > 0 and not any(wrong)


def prove(target: str, seed: int = 1, calls: int = CALLS, customers: int = 24) -> Outcome:
    """Let `target` be away for ten minutes of a fresh town's work."""
    with (
        tempfile.TemporaryDirectory(prefix="clinicloop-outage-") as folder,
        town(Path(folder), seed, customers) as made,
    ):
        return suffer(made, target, calls)


def suffer(place: Town, target: str, calls: int = CALLS) -> Outcome:
    """Take `target` away from a town at work, give it back, and look."""
    cloud = place.stage.cloud
    # Crons run on the minute; the return must not happen to fall on one.
    place.rest(seconds=Random(f"{place.traffic.seed} {target}").randrange(10, 50))
    cloud.fault(target, "down", minutes=MINUTES)
    back = place.now + timedelta(minutes=MINUTES)
    sent: list[Sent] = []
    while place.now < back - timedelta(seconds=1):
        sent += place.work(calls // _ROUNDS, seconds=MINUTES * 60 / _ROUNDS - 1 / _ROUNDS)
    backlog = place.backlog(target)
    began = time.monotonic()
    place.rest(seconds=(back - place.now).total_seconds())
    drained = _drain(place, target)
    took = time.monotonic() - began
    place.rest(seconds=7200)
    writes = [one for one in sent if one.request.writes]
    return Outcome(
        target=target,
        writes=len(writes),
        failed=[f"{one.route}: {one.status} {one.answer}" for one in writes if one.unknown],
        backlog=backlog,
        drained=drained,
        took=took,
        disorder=place.received.disorder(),
        doubled=told.doubled(place.stage),
        lost=list(_lost(place)),
        refused=sum(not one.acknowledged and not one.unknown for one in writes),
    )


def _drain(place: Town, target: str) -> int | None:
    """Virtual seconds until nothing is behind."""
    for second in range(_GIVES_UP_AFTER + 1):
        if place.backlog(target) == 0:
            return second
        place.rest(seconds=1)
    return None


def _lost(place: Town) -> Iterable[str]:
    """What was promised or begun and is not there, some time after."""
    left = left_over(place.stage)
    yield from place.traffic.missing()
    yield from told.untold(place.stage)
    yield from wrong_mirrors(place.stage)
    yield from left["parked"]
    yield from (f"{row['handler']} is {row['state']}" for row in left["unclosed"])
    if left["unsent"]:
        yield f"{left['unsent']} events unsent"
