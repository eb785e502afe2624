"""reminder_scheduler: timers due soon become Cloud Tasks, lost ones anew."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy
from google.api_core.exceptions import AlreadyExists
from google.cloud.tasks_v2 import Task
from werkzeug.test import TestResponse

from shared.kernel import clock
from shared.kernel.ids import ContractId
from shared.platform import postgres
from shared.platform.unit_of_work import Cause, transaction
from tests.conftest import BERLIN, House
from tests.emulators.tasks_client import QUEUE, TasksClient
from tests.reliability.probe import concurrently, wait_until

KIND = "contract.renewal"


@pytest.fixture
def tasks(house: House) -> Iterator[TasksClient]:
    """Cloud Tasks with the queue paused and empty: what is made stays there to be looked at."""
    client = TasksClient(int(house.cloud.env["CLOUD_TASKS_EMULATOR_HOST"].rpartition(":")[2]))
    try:
        client.create_queue()
    except AlreadyExists:
        client.api.purge_queue(name=QUEUE)
    client.api.pause_queue(name=QUEUE)
    yield client
    client.api.purge_queue(name=QUEUE)
    client.api.resume_queue(name=QUEUE)
    client.channel.close()


def schedule(due_at: datetime, contract: ContractId | None = None, kind: str = KIND) -> ContractId:
    contract = contract or ContractId.new()
    with transaction(BERLIN, "test", Cause("test")) as work:
        work.schedule(kind, contract, due_at)
    return contract


def run(house: House) -> TestResponse:
    answer = house.cron("reminder_scheduler", "timers_queue")
    assert answer.status_code == 204
    return answer


def made(tasks: TasksClient) -> list[Task]:
    view = Task.View.FULL
    return list(tasks.api.list_tasks(request={"parent": QUEUE, "response_view": view}))


def bodies(tasks: TasksClient) -> list[Any]:
    return [json.loads(task.http_request.body) for task in made(tasks)]


def idle_until(answer: TestResponse) -> datetime:
    return datetime.fromisoformat(answer.headers["X-Idle-Until"])


def test_a_timer_due_soon_becomes_a_task_for_its_function(house: House, tasks: TasksClient) -> None:
    due = clock.now() + timedelta(hours=3)
    contract = schedule(due)
    run(house)
    (task,) = made(tasks)
    timer = house.timer(KIND, contract)
    assert json.loads(task.http_request.body) == {"timer_id": str(timer["id"]), "version": 1}
    assert abs(task.schedule_time.timestamp() - due.timestamp()) < 0.001  # type: ignore[attr-defined]
    function = house.cloud.env["FUNCTIONS_URL"].format(function="contract_agent")
    assert task.http_request.url == f"{function}/timers"
    assert task.http_request.oidc_token.audience == function


def test_the_next_run_makes_no_second_task(house: House, tasks: TasksClient) -> None:
    schedule(clock.now() + timedelta(hours=3))
    run(house)
    run(house)
    assert len(made(tasks)) == 1


def test_a_timer_far_ahead_waits_in_postgres(house: House, tasks: TasksClient) -> None:
    due = clock.now() + timedelta(days=40)
    schedule(due)
    assert idle_until(run(house)) == due - timedelta(hours=24)
    assert made(tasks) == []


def test_without_timers_there_is_nothing_to_wait_for(house: House, tasks: TasksClient) -> None:
    assert run(house).headers["X-Idle-Until"] == "never"


def test_a_run_that_made_tasks_is_not_idle(house: House, tasks: TasksClient) -> None:
    schedule(clock.now() + timedelta(hours=3))
    assert "X-Idle-Until" not in run(house).headers


def test_a_task_under_way_is_looked_after_once_it_should_have_come(
    house: House, tasks: TasksClient
) -> None:
    due = clock.now() + timedelta(hours=3)
    schedule(due)
    run(house)
    assert idle_until(run(house)) == due + timedelta(minutes=10)


def test_a_moved_timer_gets_another_task(house: House, tasks: TasksClient) -> None:
    contract = schedule(clock.now() + timedelta(hours=3))
    run(house)
    schedule(clock.now() + timedelta(hours=5), contract)
    run(house)
    assert sorted(body["version"] for body in bodies(tasks)) == [1, 2]


def test_a_cancelled_timer_gets_no_task(house: House, tasks: TasksClient) -> None:
    contract = schedule(clock.now() + timedelta(hours=3))
    with transaction(BERLIN, "test", Cause("test")) as work:
        work.cancel(KIND, contract)
    assert run(house).headers["X-Idle-Until"] == "never"
    assert made(tasks) == []


def test_a_lost_task_is_made_anew_after_its_grace(house: House, tasks: TasksClient) -> None:
    due = clock.now() + timedelta(hours=3)
    schedule(due)
    run(house)
    tasks.api.purge_queue(name=QUEUE)
    house.move(due + timedelta(minutes=9))
    run(house)
    assert made(tasks) == []
    house.move(due + timedelta(minutes=11))
    run(house)
    assert [body["version"] for body in bodies(tasks)] == [2]


def test_a_task_made_anew_has_its_grace_too(house: House, tasks: TasksClient) -> None:
    due = clock.now() + timedelta(hours=3)
    schedule(due)
    run(house)
    house.move(due + timedelta(minutes=11))
    run(house)
    house.move(due + timedelta(minutes=13))
    run(house)
    assert sorted(body["version"] for body in bodies(tasks)) == [1, 2]


def test_an_outage_leaves_timers_for_a_later_run(house: House, tasks: TasksClient) -> None:
    contract = schedule(clock.now() + timedelta(hours=3))
    house.cloud.fault("tasks", "error")
    answer = house.cron("reminder_scheduler", "timers_queue")
    assert answer.status_code == 503  # Cloud Scheduler comes again soon
    assert house.timer(KIND, contract)["queued_at"] is None
    house.cloud.heal()
    run(house)
    assert len(made(tasks)) == 1


def test_a_task_whose_answer_was_lost_is_not_made_twice(house: House, tasks: TasksClient) -> None:
    schedule(clock.now() + timedelta(hours=3))
    house.cloud.fault("tasks", "fail-after-success", count=1, path="CreateTask")
    house.cron("reminder_scheduler", "timers_queue")
    run(house)
    assert len(made(tasks)) == 1


def test_an_outage_in_the_midst_keeps_what_was_made(house: House, tasks: TasksClient) -> None:
    first = schedule(clock.now() + timedelta(hours=1))
    schedule(clock.now() + timedelta(hours=2))
    house.cloud.fault("tasks", "slow", late=0.2, count=1)
    house.cloud.fault("tasks", "error")
    run(house)
    house.cloud.heal()
    assert house.timer(KIND, first)["queued_at"] is not None
    assert len(made(tasks)) == 1


def test_many_timers_are_marked_by_as_many_statements_as_one(
    house: House, tasks: TasksClient
) -> None:
    def statements() -> int:
        counted: list[str] = []

        def count(*execution: Any) -> None:
            counted.append(execution[2])

        sqlalchemy.event.listen(postgres.engine(), "before_cursor_execute", count)
        run(house)
        sqlalchemy.event.remove(postgres.engine(), "before_cursor_execute", count)
        return len(counted)

    schedule(clock.now() + timedelta(hours=1))
    one = statements()
    due = [schedule(clock.now() + timedelta(hours=2)) for _ in range(20)]
    assert statements() == one
    assert all(house.timer(KIND, contract)["queued_at"] for contract in due)


def test_a_timer_moved_while_its_task_was_made_is_queued_anew(
    house: House, tasks: TasksClient
) -> None:
    moved = schedule(clock.now() + timedelta(hours=1))
    stayed = schedule(clock.now() + timedelta(hours=2))
    house.cloud.fault("tasks", "hang", path="CreateTask", count=1)

    def move() -> None:
        wait_until(lambda: not house.cloud.faults.in_force())
        schedule(clock.now() + timedelta(hours=3), moved)
        house.cloud.heal()

    concurrently(lambda: run(house), move)
    assert house.timer(KIND, moved)["queued_at"] is None
    assert house.timer(KIND, stayed)["queued_at"] is not None


def test_a_timer_nobody_handles_stops_no_other(house: House, tasks: TasksClient) -> None:
    schedule(clock.now() + timedelta(hours=1), kind="unknown.kind")
    schedule(clock.now() + timedelta(hours=2))
    run(house)
    assert len(made(tasks)) == 1


def test_a_caller_who_is_not_the_scheduler_is_refused(house: House) -> None:
    answer = house.trigger("reminder_scheduler", "/crons/timers_queue", "tasks")
    assert answer.status_code == 401


@pytest.fixture
def parked(house: House, tasks: TasksClient) -> ContractId:
    """The contract of a timer whose wake-up failed for good: nobody knew the contract."""
    contract = schedule(clock.now())
    run(house)
    assert house.fire("contract_agent", house.timer(KIND, contract)).status_code == 204
    assert len(house.rows("SELECT id FROM platform.dead_letters")) == 1
    return contract


def test_a_parked_timer_is_not_taken_for_lost(
    house: House, tasks: TasksClient, parked: ContractId
) -> None:
    house.move(clock.now() + timedelta(minutes=20))
    assert run(house).headers["X-Idle-Until"] == "never"
    assert len(made(tasks)) == 1


def test_a_parked_timer_fires_when_it_is_replayed(house: House, parked: ContractId) -> None:
    house.rows(
        "INSERT INTO contracts.plans (clinic_id, code, treatment, item_price_id,"
        " monthly_item_price_id, term_months, upfront, active)"
        " VALUES (:clinic, 'p', 't', 'i', 'i', 6, false, true)",
        clinic=BERLIN,
    )
    house.rows(
        "INSERT INTO contracts.contracts (clinic_id, id, customer_id, plan, treatment,"
        " subscription_id, status, starts_on, ends_on, term_day, linked, cancels_at_term, version,"
        " created_at, updated_at) VALUES (:clinic, :id, :id, 'p', 't', 's', 'cancelled',"
        " :day, :day, 1, true, false, 1, :now, :now)",
        clinic=BERLIN,
        id=parked,
        day=clock.now().date(),
        now=clock.now(),
    )
    (letter,) = house.rows("SELECT id FROM platform.dead_letters")
    path = f"/dead-letters/{letter['id']}"
    assert house.trigger("contract_agent", path, "operator").status_code == 204
    assert house.timer(KIND, parked)["state"] == "fired"
