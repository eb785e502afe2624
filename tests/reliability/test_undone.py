"""What Postgres undid for a passing reason is done once more, before anybody hears of it."""

from collections.abc import Callable, Iterator

import pytest
from pg8000.exceptions import DatabaseError
from sqlalchemy import text

from shared.events.customers import CustomerRegistered
from shared.kernel import clock
from shared.kernel.ids import EventId
from shared.kernel.work import Effect, Work
from shared.platform import outbox, postgres, steps
from shared.platform.unit_of_work import sql
from shared.runtime import parking
from tests.conftest import House
from tests.reliability.probe import Probe

ADA = {"given_name": "Ada", "family_name": "Byron", "email": "ada@example.com"}
DEADLOCK = "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$"
CONFLICT = "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$"
LOST = "SELECT pg_terminate_backend(pg_backend_pid())"
FAILURE = "SELECT 1 / 0"


def declare(probe: Probe, *failures: str) -> Callable[[], int]:
    """A reaction that leaves a note and then fails in these ways, each once; how often it ran."""
    left, ran = list(failures), []

    @probe.agent.reacts(CustomerRegistered)
    def probe_notes(_: CustomerRegistered, work: Work) -> None:
        ran.append(1)
        probe.note(work)
        if left:
            sql(work).execute(text(left.pop(0)))

    return lambda: len(ran)


@pytest.mark.parametrize("failure", [DEADLOCK, CONFLICT, LOST])
def test_a_reaction_that_postgres_undid_takes_effect_at_once(probe: Probe, failure: str) -> None:
    ran = declare(probe, failure)
    assert probe.deliver(EventId.new()) == 204
    assert (ran(), probe.notes) == (2, 1)


@pytest.mark.parametrize("failure", [DEADLOCK, LOST])
def test_what_a_vendor_answered_is_recorded_although_postgres_undid_it(
    probe: Probe, failure: str
) -> None:
    failures = [failure]

    def record(_: str, __: CustomerRegistered, work: Work) -> None:
        probe.note(work)
        if failures:
            sql(work).execute(text(failures.pop()))

    effect = Effect[str, str](lambda *_: "request", lambda _, vendor, key: vendor.call(key), record)
    probe.agent.effects("probe_tells", effect, CustomerRegistered)
    assert probe.deliver(EventId.new()) == 204
    assert (probe.vendor.asked, probe.notes, probe.intent()) == (["call"], 1, "done")


def test_what_is_undone_again_comes_again(probe: Probe) -> None:
    ran = declare(probe, DEADLOCK, DEADLOCK)
    event_id = EventId.new()
    assert probe.deliver(event_id, attempt=99) == 503
    assert (ran(), probe.notes, probe.parked()) == (2, 0, [])
    assert probe.deliver(event_id, attempt=100) == 204
    assert probe.notes == 1


def test_what_would_fail_again_is_not_done_again(probe: Probe) -> None:
    ran = declare(probe, FAILURE)
    assert probe.deliver(EventId.new()) == 500
    assert ran() == 1


@pytest.fixture
def cut_off(house: House) -> Iterator[None]:
    """Commits of reactions lose their connections."""

    def watch(point: str) -> None:
        if point == "inbox.commit:before":
            house.rows(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE usename = 'clinicloop_app'"
            )

    steps.use(watch)
    yield
    steps.use(None)


@pytest.mark.usefixtures("cut_off")
def test_what_was_lost_while_it_was_committed_is_not_done_again(probe: Probe) -> None:
    ran = declare(probe)
    assert probe.deliver(EventId.new()) == 503
    assert ran() == 1


@pytest.fixture
def altered(house: House) -> Iterator[Callable[[str, str, str], None]]:
    """Changes a column's type, and back in the end."""
    done = []

    def alter(table: str, column: str, kind: str) -> None:
        done.append((table, column))
        house.rows(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE {kind}")

    yield alter
    for table, column in done:
        house.rows(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE text")


def test_a_request_is_answered_when_a_table_changed_under_its_plans(
    house: House, altered: Callable[[str, str, str], None]
) -> None:
    token = house.id_token("ada")
    assert house.portal("POST", "/customers", token, ADA).status_code == 201
    assert house.portal("GET", "/customers/me", token).status_code == 200
    altered("customers.customers", "locale", "varchar(40)")
    answer = house.portal("GET", "/customers/me", token)
    assert (answer.status_code, answer.get_json()["given_name"]) == (200, "Ada")
    assert house.portal("PATCH", "/customers/me", token, {"locale": "de"}).status_code == 200


def test_a_statement_prepared_by_name_is_planned_anew_when_its_table_changed(
    altered: Callable[[str, str, str], None],
) -> None:
    def claim() -> int:
        return len(postgres.read_once(outbox.claim_statement(clock.now())))

    assert claim() == 0
    altered("platform.outbox", "payload", "varchar")
    with pytest.raises(DatabaseError) as refused:
        claim()
    assert parking.passes(refused.value)
    assert claim() == 0
