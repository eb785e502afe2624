"""Vendors that slow us down, break, hang or lose their answer are told everything once."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from emulators.demo.stage import Player
from tests.journeys.street import Street, left_over, of_player, person, sent_twice, street

pytestmark = pytest.mark.timeout(180)

PATHS = {
    "chargebee": "/subscriptions/",  # what is told, not what is read every minute
    "sendgrid": "",
    "zendesk": "",
    "iterable": "",
    "twilio": "",
}
_numbers = count(1)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    """A clinic whose next customers have a stolen card, so that every vendor hears of them."""
    with street(tmp_path_factory.mktemp("town")) as made:
        made.open()
        yield made


@pytest.fixture(autouse=True)
def morning(town: Street) -> None:
    """Everybody signs up in a morning: nothing has to wait for quiet hours to end."""
    now = town.stage.cloud.now
    town.stage.cloud.advance(now.replace(hour=9, minute=0) + timedelta(days=now.hour > 9))


@pytest.fixture(scope="module")
def usual(town: Street) -> dict[str, Any]:
    """What becomes of such a customer when nothing breaks."""
    found = life(town, move_in(town))
    assert found["mails"] == {"Willkommen": 1, "Ihre Zahlung ist nicht gelungen": 1}
    assert found["support"] == {"user": 1, "ticket": 1}
    assert found["marketing"] == {"contract_created": 1, "payment_recovery_started": 1}
    assert (found["texts"], found["at chargebee"][0]) == (1, "active")
    return found


def move_in(town: Street) -> Player:
    seed = person(next(_numbers), "monthly", "hard_decline")
    return town.move_in(replace(seed, id=f"cust-{int(seed.id[-5:]) * 5:05}"))


def life(town: Street, player: Player) -> dict[str, Any]:
    """The subscription begins, the first payment fails; what is not said now is said soon."""
    town.stage.cloud.settle()
    town.stage.cloud.advance(hours=2)
    return of_player(town.stage, player)


def expect(town: Street, player: Player, usual: dict[str, Any]) -> None:
    found = life(town, player)
    dated = ("contracts", "at chargebee")  # they begin on different days
    assert {k: v for k, v in found.items() if k not in dated} == {
        k: v for k, v in usual.items() if k not in dated
    }
    ((status, starts_on, _, _),) = found["contracts"]
    assert (status, found["at chargebee"]) == ("active", ("active", starts_on, False))
    assert left_over(town.stage) == {"unsent": 0, "parked": [], "unclosed": []}
    assert sent_twice(town.stage) == []


@pytest.mark.parametrize("kind", ["429", "error", "down", "fail-after-success"])
@pytest.mark.parametrize("vendor", PATHS)
def test_a_fault_of_a_vendor_is_passed_without_loss_or_repetition(
    town: Street, usual: dict[str, Any], vendor: str, kind: str
) -> None:
    cloud = town.stage.cloud
    cloud.fault(vendor, kind, count=2, path=PATHS[vendor])
    player = move_in(town)
    cloud.settle()
    cloud.advance(hours=2)
    assert cloud.faults.in_force() == [], "it was struck"
    expect(town, player, usual)


@pytest.mark.parametrize("vendor", PATHS)
def test_what_a_vendor_did_after_we_died_waiting_is_not_done_again(
    town: Street, usual: dict[str, Any], vendor: str
) -> None:
    cloud = town.stage.cloud
    cloud.fault(vendor, "hang", count=1, path=PATHS[vendor])
    player = move_in(town)
    with ThreadPoolExecutor(1) as pool:
        passing = pool.submit(cloud.advance, hours=2)
        while cloud.faults.in_force():
            assert not passing.done(), "it was never called"
            time.sleep(0.01)
        town.crash("host")
        cloud.heal()
        passing.result()
    expect(town, player, usual)


@pytest.mark.parametrize(
    "away", [("chargebee",), ("sendgrid", "zendesk", "iterable")], ids="+".join
)
def test_ten_minutes_without_a_vendor_are_made_up_for(
    town: Street, usual: dict[str, Any], away: tuple[str, ...]
) -> None:
    cloud = town.stage.cloud
    for vendor in away:
        cloud.fault(vendor, "down", path=PATHS[vendor])
    player = move_in(town)
    cloud.advance(minutes=10)
    assert cloud.faults.in_force() != []
    cloud.heal()
    expect(town, player, usual)
