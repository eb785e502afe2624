"""Seven months of a dozen customers, one of each kind of life, on the full local cloud."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.progress import Progress

from emulators.cloud import Options
from emulators.demo import facts, journey
from emulators.demo.facts import Fact
from emulators.demo.stage import Stage
from emulators.running import running
from emulators.seed import SeedCustomer
from emulators.seed import customers as seeded

pytestmark = pytest.mark.timeout(180)

Kind = Callable[[SeedCustomer], object]
REAL_SECONDS = "Welcome mails within a second"
"""The one fact about the speed of this machine: the demo checks it, the tests time nothing."""


def plain(one: SeedCustomer) -> bool:
    """Pays, and just renews."""
    undisturbed = not (one.pauses_month or one.changes_plan_month or one.changes_phone_month)
    return one.card == "ok" and one.renews and not one.upfront and undisturbed


LIVES: dict[str, tuple[Kind, int]] = {
    "renews": (plain, 3),
    "completes": (lambda one: one.upfront and one.renews and one.card == "ok", 1),
    "cancels at once": (lambda one: (one.cancels_month or 0) % 2 == 1, 1),
    "cancels with the term": (lambda one: one.cancels_month in (2, 4), 1),
    "pauses and resumes": (lambda one: one.card == "ok" and one.resumes_month, 1),
    "pauses for good": (lambda one: one.pauses_month and not one.resumes_month, 1),
    "changes plan": (
        lambda one: one.changes_plan_month and one.treatment != "skin-care" and one.card == "ok",
        1,
    ),
    "changes number": (lambda one: one.changes_phone_month and one.card == "ok", 1),
    "pays late": (lambda one: one.card == "ok*2,insufficient_funds*2,ok" and one.renews, 1),
    "never pays": (lambda one: one.card == "always_declined", 1),
}


def cast() -> list[SeedCustomer]:
    """The first of each kind, nobody twice, from both clinics, some with a device."""
    chosen: dict[str, SeedCustomer] = {}
    everybody = seeded(400, 7)
    for kind, wanted in LIVES.values():
        fits = (one for one in everybody if one.id not in chosen and kind(one))
        chosen |= {one.id: one for one, _ in zip(fits, range(wanted), strict=False)}
    return list(chosen.values())


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The stage after the last curtain."""
    folder: Path = tmp_path_factory.mktemp("journey")
    options = Options(folder, throwaway=True, in_memory=True, starts=journey.BEGINS, frozen=True)
    with running(options) as cloud:
        made = Stage(cloud)
        try:
            journey._perform(made, cast(), Progress(disable=True))
            yield made
        finally:
            made.close()


def test_every_kind_of_life_is_in_the_cast() -> None:
    people = cast()
    assert len(people) == sum(wanted for _, wanted in LIVES.values())
    assert {one.clinic for one in people} == {0, 1}
    assert {one.upfront for one in people} == {True, False}


def test_every_fact_is_right(stage: Stage) -> None:
    found: list[Fact] = facts.check(stage)
    assert len(found) > 25
    wrong = [one for one in found if not one.right and not one.says.startswith(REAL_SECONDS)]
    assert wrong == []


def test_every_end_of_a_term_was_reached(stage: Stage) -> None:
    ends = Counter(player.expected(stage.cloud.now) for player in stage.players)
    assert set(ends) >= {"renewed", "completed", "cancelled", "paused"}
    kinds = {event["type"] for event in stage.told}
    assert {"contract.resumed", "contract.plan_changed", "invoice.dunning_exhausted"} <= kinds


def test_devices_got_each_push_message_once(stage: Stage) -> None:
    tags = Counter(sent.body["data"]["message_id"] for sent in stage.sent("fcm"))
    accepted = stage.rows(
        "SELECT id FROM notifications.messages WHERE channel = 'push' AND status = 'accepted'"
    )
    assert tags == {str(row["id"]): 1 for row in accepted}
    assert len(tags) > 0


def test_nothing_was_dropped_on_the_way(stage: Stage) -> None:
    """Every message is at its end, and none is waiting for ever."""
    states = Counter(
        row["status"] for row in stage.rows("SELECT status FROM notifications.messages")
    )
    assert set(states) <= {"delivered", "accepted", "suppressed", "expired", "deferred"}
    late = stage.rows(
        "SELECT id FROM notifications.messages WHERE status = 'deferred' AND due_at < :now",
        now=stage.cloud.now,
    )
    assert late == []
