"""Ours: an agent with one reaction that changes one row, guarded by the inbox."""

from sqlalchemy import text

from shared.kernel.event import Event
from shared.kernel.ids import ClinicId, ContractId
from shared.kernel.work import Work
from shared.platform.unit_of_work import sql
from shared.runtime.agent import Agent

_COUNT = text("UPDATE bench.counters SET hits = hits + 1 WHERE id = :id")


class BenchHappened(Event, type="bench.happened", subject="contract_id"):
    """A fact to be counted."""

    clinic_id: ClinicId
    contract_id: ContractId
    counter: int


agent = Agent("reaction")


@agent.reacts(BenchHappened)
def bench_counts(event: BenchHappened, work: Work) -> None:
    sql(work).execute(_COUNT, {"id": event.counter})


reaction = agent.function
