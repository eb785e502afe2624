"""Virtual time: how instants are named, and in what order and how completely they are lived."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from emulators import instants
from emulators.agenda import Unsettled
from emulators.instants import BadInstant
from tests.emulators.conftest import Loop

NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("+1h30m", utc(2026, 1, 31, 10, 30)),
        ("+1mo", utc(2026, 2, 28, 9)),
        ("P6M", utc(2026, 7, 31, 9)),
        ("2027-03-01T09:00Z", utc(2027, 3, 1, 9)),
        ("2027-03-01T09:00+05:30", utc(2027, 3, 1, 3, 30)),
        ("2027-03-01T09:00", utc(2027, 3, 1, 9)),
        ("2027-03-28T01:30[Europe/Berlin]", utc(2027, 3, 28, 0, 30)),
        ("2027-07-01T09:00[America/New_York]", utc(2027, 7, 1, 13)),
        ("2027-07-01[!Europe/Berlin]", utc(2027, 6, 30, 22)),
    ],
)
def test_text_names_an_instant(text: str, meant: datetime) -> None:
    assert instants.target(text, NOW) == meant


def test_skipped_local_time_is_as_long_after_the_gap_began() -> None:
    """RFC 5545, section 3.3.5: by the offset before the gap."""
    skipped = instants.instant("2027-03-28T02:30[Europe/Berlin]")
    assert skipped == instants.instant("2027-03-28T03:30[Europe/Berlin]") == utc(2027, 3, 28, 1, 30)


def test_repeated_local_time_is_the_first() -> None:
    assert instants.instant("2026-10-25T02:30[Europe/Berlin]") == utc(2026, 10, 25, 0, 30)


def test_offset_beside_the_zone_chooses_among_repeated_times() -> None:
    chosen = [
        instants.instant(f"2026-10-25T02:30{offset}[Europe/Berlin]")
        for offset in ("+02:00", "+01:00")
    ]
    assert chosen == [utc(2026, 10, 25, 0, 30), utc(2026, 10, 25, 1, 30)]


def test_utc_beside_a_zone_is_the_instant_itself() -> None:
    assert instants.instant("2026-10-25T01:30Z[Europe/Berlin]") == utc(2026, 10, 25, 1, 30)


@pytest.mark.parametrize(
    "text", ["2026-07-01T09:00+01:00[Europe/Berlin]", "2027-03-28T02:30+01:00[Europe/Berlin]"]
)
def test_offset_that_the_zone_does_not_have_is_refused(text: str) -> None:
    with pytest.raises(BadInstant, match=r"Europe/Berlin is at \+02:00 then, not at \+01:00"):
        instants.target(text, NOW)


@pytest.mark.parametrize(
    "text",
    [
        *("", "+", "P", "PT", "tomorrow", "+1x", "6mo", "+1mo2", "+99999999y", "2027-02-30"),
        *("2027-03-28T01:30[Europe]", "2027-03-28T01:30[../etc/passwd]", "2027-03-28[]"),
        *("2027-03-28T01:30[Berlin]", "[Europe/Berlin]", "0001-01-01[Asia/Tokyo]"),
    ],
)
def test_what_is_no_time_is_refused_with_the_forms_that_are(text: str) -> None:
    with pytest.raises(BadInstant, match=r"is no time: write \+6mo"):
        instants.target(text, NOW)


def test_everything_due_is_lived_in_the_order_of_time(loop: Loop) -> None:
    """Whatever became due only on the way falls into its place."""
    seen: list[int] = []
    agenda = loop.ground.agenda

    async def plan() -> None:
        for day in (3, 1, 5):
            agenda.after(timedelta(days=day).total_seconds(), lambda day=day: happen(day))  # type: ignore[misc]

    async def happen(day: int) -> None:
        seen.append(day)
        if day == 1:
            agenda.after(timedelta(days=1).total_seconds(), lambda: seen.append(2))

    loop.run(plan())
    loop.advance(days=4)
    assert seen == [1, 2, 3]


def test_instant_has_settled_before_time_moves_on(loop: Loop) -> None:
    """Work, the work it starts and what it makes due at once belong to the instant they are of."""
    agenda, clock = loop.ground.agenda, loop.ground.clock
    began = clock.now()
    seen: list[tuple[str, timedelta]] = []

    def note(what: str) -> None:
        seen.append((what, clock.now() - began))

    async def first() -> None:
        await asyncio.sleep(0.05)
        note("first")
        agenda.start(second())

    async def second() -> None:
        await asyncio.sleep(0.05)
        note("second")
        agenda.after(0, lambda: note("third"))

    async def plan() -> None:
        clock.freeze(began)
        agenda.after(60, first)
        agenda.after(61, lambda: note("next"))

    began = clock.now() + timedelta(seconds=1)
    loop.run(plan())
    loop.advance(hours=1)
    minute = timedelta(minutes=1)
    assert seen[:3] == [("first", minute), ("second", minute), ("third", minute)]
    assert seen[3:] == [("next", timedelta(seconds=61))]


def test_work_that_does_not_end_is_named_and_waited_for_anew(loop: Loop) -> None:
    agenda, clock = loop.ground.agenda, loop.ground.clock
    answer = asyncio.Event()

    async def hanging() -> None:
        await answer.wait()

    async def plan() -> datetime:
        clock.freeze()
        agenda.after(60, hanging)
        return clock.now()

    async def advance(timeout: float) -> None:
        await agenda.advance(began + timedelta(days=1), timeout)

    async def come() -> None:
        answer.set()

    began = loop.run(plan())
    with pytest.raises(Unsettled, match=r"still under way: 1 \(1 .*hanging\)"):
        loop.run(advance(0.05))
    assert clock.now() == began + timedelta(minutes=1)
    loop.run(come())
    loop.run(advance(20))
    assert clock.now() == began + timedelta(days=1)


def test_tokens_of_pushes_expire_on_virtual_time(loop: Loop) -> None:
    tokens = loop.ground.tokens
    first = tokens.oidc("invoker@example.com", "https://service")
    loop.advance(minutes=20)
    assert tokens.oidc("invoker@example.com", "https://service") == first
    loop.advance(minutes=20)
    assert tokens.oidc("invoker@example.com", "https://service") != first
