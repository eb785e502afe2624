"""The traffic generator: bounded, seeded, calm under faults, and it notices what was lost."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from emulators.cloud import Options
from emulators.demo.journey import BEGINS
from emulators.demo.portal import Person
from emulators.demo.stage import CLINIC_IDS, Stage
from emulators.running import running
from emulators.seed import customers as seeded
from emulators.traffic import ROUTES, Call, Traffic
from emulators.traffic.mix import customers_next
from emulators.traffic.people import Member

pytestmark = pytest.mark.timeout(120)


CONTRACT = {
    "id": "c",
    "status": "active",
    "treatment": "hair-loss",
    "plan": "hair-loss-monthly-EUR",
    "next_plan": None,
    "cancels_at_term": False,
}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A cloud of this module's own."""
    folder = tmp_path_factory.mktemp("traffic")
    with running(Options(folder, throwaway=True, starts=BEGINS, frozen=True)) as cloud:
        made = Stage(cloud)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture(scope="module")
def traffic(stage: Stage) -> Traffic:
    """An open house of six customers."""
    made = Traffic(stage, seed=7)
    made.open(customers=6)
    return made


def test_every_route_of_the_portal_is_called() -> None:
    document = json.loads(Path("docs/openapi.json").read_text())
    methods = [one for path in document["paths"].values() for one in path.values()]
    assert {one["operationId"].partition("_v1_clinics")[0] for one in methods} == ROUTES


def test_the_same_seed_makes_the_same_choices() -> None:
    def choices(seed: int) -> list[Call]:
        member = Member(Person("a@example.com", CLINIC_IDS[0]), seed=seeded(1, 7)[0])
        member.registered = True
        member.contracts = {"c": CONTRACT}
        random = Random(seed)
        return [customers_next(member, random) for _ in range(50)]

    assert choices(3) == choices(3) != choices(4)


def test_a_run_makes_as_many_calls_as_asked(traffic: Traffic) -> None:
    sent = traffic.run(calls=30, workers=3)
    assert sum(bool(one.request.method) for one in sent) == 30
    assert traffic.ledger[-len(sent) :] == sent


def test_a_run_without_a_bound_is_refused(traffic: Traffic) -> None:
    with pytest.raises(ValueError, match="how many"):
        traffic.run()


def test_all_that_was_acknowledged_is_there(traffic: Traffic) -> None:
    traffic.run(calls=60)
    assert traffic.missing() == []
    assert {"contract_request", "customer_register"} <= {one.route for one in traffic.ledger}


def test_calls_that_fail_are_entries_and_promise_nothing(stage: Stage, traffic: Traffic) -> None:
    with stage.cloud.fault("postgres", "down"):
        failed = traffic.run(calls=12)
    assert {one.status for one in failed if one.request.method} <= {503, None}
    traffic.run(calls=12)
    assert traffic.missing() == []


@pytest.mark.parametrize(
    ("damage", "repair"),
    [
        ("contracts.contracts SET version = version - 1", "version = version + 1"),
        ("contracts.contracts SET ends_on = ends_on + 1", "ends_on = ends_on - 1"),
        ("customers.customers SET email = 'x' || email", "email = substr(email, 2)"),
        ("notifications.preferences SET wanted = NOT wanted", "wanted = NOT wanted"),
        ("platform.outbox SET topic = 'x' || topic", "topic = substr(topic, 2)"),
        ("platform.clinics SET name = 'x' || name", "name = substr(name, 2)"),
        ("contracts.plans SET active = NOT active", "active = NOT active"),
    ],
)
def test_what_was_lost_is_noticed(damage: str, repair: str, stage: Stage, traffic: Traffic) -> None:
    traffic.run(calls=150)
    stage.cloud.settle()
    table = damage.partition(" ")[0]
    rows = stage.rows
    rows(f"UPDATE {damage}")
    try:
        assert traffic.missing() != []
    finally:
        rows(f"UPDATE {table} SET {repair}")
    assert traffic.missing() == []
