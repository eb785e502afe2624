"""Use cases of the contracts context: what portals ask, and what time brings."""

from shared.domains.contracts import model, queries, store
from shared.domains.contracts.commands import CancelContract, ChangePlan, RequestContract, SavePlan
from shared.domains.contracts.model import ACTIVATION_TIMER, RENEWAL_TIMER, Contract, TermEnd
from shared.domains.contracts.queries import PlanView
from shared.events import contracts as facts
from shared.events.billing import SubscriptionChanged, SubscriptionStatus
from shared.events.contracts import ContractStatus
from shared.kernel.errors import RuleViolated
from shared.kernel.ids import ContractId, CustomerId
from shared.kernel.work import Idle, Timer, Work


def fact(contract: Contract, work: Work) -> dict[str, object]:
    """What every event about `contract` says."""
    return {
        "clinic_id": work.clinic_id,
        "contract_id": contract.id,
        "customer_id": contract.customer_id,
        "version": contract.version,
    }


def request(customer_id: CustomerId, command: RequestContract, work: Work) -> Contract:
    """Insert a contract with status `future` (A7)."""
    plan = store.plan(command.plan, work)
    contract = model.request(
        ContractId.new(),
        customer_id,
        plan,
        command.subscription_id,
        command.starts_on,
        work.now,
        store.zone(work),
    )
    store.add(contract, work)
    work.emit(
        facts.ContractRequested(
            **fact(contract, work), starts_on=contract.starts_on, ends_on=contract.ends_on
        )
    )
    return contract


def save_plan(code: str, command: SavePlan, work: Work) -> PlanView:
    """Define how a treatment is sold. Raises `RuleViolated` for a plan that open contracts have:
    it can only be taken from sale, so that contracts keep the terms they were made with.
    """
    known = store.known_plan(code, work)
    if known is not None and model.differs(known, command) and store.is_in_use(code, work):
        detail = "Open contracts have this plan: make another one, and take this one from sale."
        raise RuleViolated("plan-in-use", detail)
    store.save_plan(code, command, work)
    return queries.plan(code, work)


def created(contract: Contract, work: Work) -> None:
    """The billing provider knows the contract: schedule its life and say so."""
    zone = store.zone(work)
    linked = model.link(contract, work.now)
    renewal_at = model.renewal_at(linked, zone)
    work.schedule(RENEWAL_TIMER, linked.id, renewal_at)
    store.save(linked, work)
    work.emit(
        facts.ContractCreated(
            **fact(linked, work),
            starts_on=linked.starts_on,
            ends_on=linked.ends_on,
            renewal_at=renewal_at,
        )
    )
    begin(linked, work)


def begin(contract: Contract, work: Work) -> None:
    """Activate a contract whose first day has come, or set the timer for that day."""
    zone = store.zone(work)
    active = model.activate(contract, work.now, zone)
    if active is None:
        work.schedule(ACTIVATION_TIMER, contract.id, model.midnight(contract.starts_on, zone))
        return
    store.save(active, work)
    work.emit(facts.ContractActivated(**fact(active, work)))


def reject(contract: Contract, work: Work) -> None:
    """The subscription is not this customer's: the contract never comes to life."""
    rejected = model.reject(contract, work.now)
    store.save(rejected, work)
    work.emit(facts.ContractRejected(**fact(rejected, work)))


def pause(contract_id: ContractId, owner: CustomerId | None, work: Work) -> Contract:
    """Let the term stand still; no renewal comes due meanwhile."""
    paused = model.pause(store.lock(contract_id, work, owner), work.now, store.zone(work))
    store.save(paused, work)
    work.cancel(RENEWAL_TIMER, paused.id)
    work.emit(facts.ContractPaused(**fact(paused, work)))
    return paused


def resume(contract_id: ContractId, owner: CustomerId | None, work: Work) -> Contract:
    zone = store.zone(work)
    resumed = model.resume(store.lock(contract_id, work, owner), work.now, zone)
    store.save(resumed, work)
    work.schedule(RENEWAL_TIMER, resumed.id, model.renewal_at(resumed, zone))
    today = work.now.astimezone(zone).date()
    work.emit(
        facts.ContractResumed(**fact(resumed, work), resumed_on=today, ends_on=resumed.ends_on)
    )
    return resumed


def refuse_pause(event: facts.ContractPaused, work: Work) -> None:
    """The billing provider did not pause it."""
    active = model.go_on(store.lock(event.contract_id, work), work.now)
    if active is not None:
        store.save(active, work)
        work.schedule(RENEWAL_TIMER, active.id, model.renewal_at(active, store.zone(work)))
        work.emit(facts.ContractPauseRefused(**fact(active, work)))


def refuse_resumption(event: facts.ContractResumed, work: Work) -> None:
    """The billing provider did not resume it, mostly because a payment was declined."""
    contract = store.lock(event.contract_id, work)
    paused = model.stand_still(contract, event.resumed_on, event.ends_on, work.now)
    if paused is not None:
        store.save(paused, work)
        work.cancel(RENEWAL_TIMER, paused.id)
        work.emit(facts.ContractResumptionRefused(**fact(paused, work)))


def change_plan(
    contract_id: ContractId, command: ChangePlan, owner: CustomerId | None, work: Work
) -> Contract:
    contract = store.lock(contract_id, work, owner)
    plan = store.plan(command.plan, work)
    changed = model.change_plan(contract, plan, command.takes_effect, work.now)
    store.save(changed, work)
    work.emit(facts.ContractPlanChanged(**fact(changed, work), takes_effect=command.takes_effect))
    return changed


def confirm_plan(contract_id: ContractId, plan: str, work: Work) -> None:
    """The billing provider took the plan."""
    confirmed = model.confirm_plan(store.lock(contract_id, work), plan)
    if confirmed is not None:
        store.save(confirmed, work)


def refuse_plan(contract_id: ContractId, work: Work) -> None:
    """The billing provider did not take the new plan."""
    restored = model.restore_plan(store.lock(contract_id, work), work.now)
    if restored is not None:
        store.save(restored, work)
        work.emit(facts.ContractPlanChangeRefused(**fact(restored, work)))


def cancel(
    contract_id: ContractId, command: CancelContract, owner: CustomerId | None, work: Work
) -> Contract:
    """End a contract now, or let it end with its term."""
    contract = store.lock(contract_id, work, owner)
    if command.at_term:
        ending = model.cancel_at_term(contract, work.now)
        store.save(ending, work)
        work.emit(facts.ContractCancellationScheduled(**fact(ending, work), ends_on=ending.ends_on))
        return ending
    return _cancel_now(contract, work)


def _cancel_now(contract: Contract, work: Work) -> Contract:
    cancelled = model.cancel(contract, work.now)
    store.save(cancelled, work)
    work.cancel(RENEWAL_TIMER, cancelled.id)
    work.cancel(ACTIVATION_TIMER, cancelled.id)
    work.emit(facts.ContractCancelled(**fact(cancelled, work), at_term=False))
    return cancelled


def undo_cancel(contract_id: ContractId, owner: CustomerId | None, work: Work) -> Contract:
    kept = model.undo_cancel(store.lock(contract_id, work, owner), work.now)
    store.save(kept, work)
    work.emit(facts.ContractCancellationUndone(**fact(kept, work)))
    return kept


def activation_due(timer: Timer, work: Work) -> None:
    """The first day of a contract came."""
    begin_if_due(store.lock(ContractId(int=timer.subject.int), work), work)


def begin_if_due(contract: Contract, work: Work) -> None:
    if model.activate(contract, work.now, store.zone(work)) is not None:
        begin(contract, work)


def renewal_due(timer: Timer, work: Work) -> None:
    """The term of a contract is about to end (A9)."""
    end_term(store.lock(ContractId(int=timer.subject.int), work), work)


def end_term(contract: Contract, work: Work) -> None:
    """Renew, complete or cancel, if that is due; anything else is left alone."""
    plan = store.plan(contract.plan, work)
    due = model.at_term_end(contract, plan, work.now, store.zone(work))
    if due is TermEnd.CANCEL:
        cancelled = model.end(contract, ContractStatus.CANCELLED, work.now)
        store.save(cancelled, work)
        work.emit(facts.ContractCancelled(**fact(cancelled, work), at_term=True))
    elif due is TermEnd.COMPLETE:
        completed = model.end(contract, ContractStatus.COMPLETED, work.now)
        store.save(completed, work)
        work.emit(facts.ContractCompleted(**fact(completed, work)))
    elif due is TermEnd.RENEW:
        _renew(contract, work)


def _renew(contract: Contract, work: Work) -> None:
    renewed = model.end(contract, ContractStatus.RENEWED, work.now)
    plan = store.plan(contract.next_plan or contract.plan, work)
    successor = model.succeed(contract, plan, work.now)
    store.save(renewed, work)
    store.add(successor, work)
    work.schedule(RENEWAL_TIMER, successor.id, model.renewal_at(successor, store.zone(work)))
    work.emit(
        facts.ContractRenewed(
            **fact(renewed, work), successor_id=successor.id, ends_on=successor.ends_on
        )
    )
    work.emit(
        facts.ContractSucceeded(
            **fact(successor, work),
            predecessor_id=contract.id,
            starts_on=successor.starts_on,
            ends_on=successor.ends_on,
        )
    )
    begin(successor, work)


def check_daily(work: Work) -> Idle | None:
    """Find contracts whose timer was lost and set it anew (A6).

    Each is then handled by its timer, in a transaction of its own: none holds up another.
    """
    found, ahead = 0, []
    for clinic in store.clinics(work):
        with work.within(clinic):
            zone = store.zone(work)
            today = work.now.astimezone(zone).date()
            for contract_id, status in store.overdue(today, work):
                future = status is ContractStatus.FUTURE
                work.schedule(ACTIVATION_TIMER if future else RENEWAL_TIMER, contract_id, work.now)
                found += 1
            if (day := store.next_due(today, work)) is not None:
                ahead.append(model.midnight(day, zone))
    return None if found else Idle(min(ahead, default=None))


def follow(event: SubscriptionChanged, work: Work) -> None:
    """When the provider ended a subscription by itself, an open contract on it ends too."""
    if event.status is SubscriptionStatus.CANCELLED and event.contract_id is not None:
        contract = store.lock(event.contract_id, work)
        if contract.status in model.OPEN:
            _cancel_now(contract, work)
