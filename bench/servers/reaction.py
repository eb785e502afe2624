"""Ours: a reaction that changes one row, guarded by the inbox; and one that emits, too."""

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


class BenchCounted(Event, type="bench.counted", subject="contract_id"):
    """What follows from it."""

    clinic_id: ClinicId
    contract_id: ContractId


agent = Agent("reaction")
emitter = Agent("reaction")


@agent.reacts(BenchHappened)
def bench_counts(event: BenchHappened, work: Work) -> None:
    sql(work).execute(_COUNT, {"id": event.counter})


@emitter.reacts(BenchHappened)
def bench_emits(event: BenchHappened, work: Work) -> None:
    bench_counts(event, work)
    work.emit(BenchCounted(clinic_id=event.clinic_id, contract_id=event.contract_id))


reaction = agent.function
emitting = emitter.function
