"""Watchers of the agenda look before time moves and after it has."""

from datetime import datetime, timedelta

from tests.emulators.conftest import Loop


def test_watcher_looks_on_both_sides_of_every_step(loop: Loop) -> None:
    agenda, clock = loop.ground.agenda, loop.ground.clock
    clock.freeze()
    start = clock.now()
    seen: list[datetime] = []

    async def plan() -> None:
        agenda.after(60, lambda: None)
        agenda.watch(lambda: seen.append(clock.now()))

    loop.run(plan())
    loop.advance(minutes=2)
    steps = [start, start + timedelta(minutes=1), start + timedelta(minutes=2)]
    assert sorted(set(seen)) == steps
    assert seen.count(steps[1]) >= 2


def test_entry_of_a_watcher_fires_on_the_way(loop: Loop) -> None:
    agenda, clock = loop.ground.agenda, loop.ground.clock
    clock.freeze()
    due = clock.now() + timedelta(minutes=1)
    fired: list[datetime] = []

    async def plan() -> None:
        def look() -> None:
            end()
            agenda.at(due, lambda: fired.append(clock.now()))

        end = agenda.watch(look)

    loop.run(plan())
    loop.advance(minutes=2)
    assert fired == [due]


def test_ended_watch_looks_no_more(loop: Loop) -> None:
    seen: list[None] = []

    async def plan() -> None:
        loop.ground.agenda.watch(lambda: seen.append(None))()

    loop.run(plan())
    loop.advance(minutes=2)
    assert seen == []
