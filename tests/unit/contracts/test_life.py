"""What may be done to a contract in which state, and what the billing provider's refusals mean."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domains.contracts import model
from shared.domains.contracts.model import Contract, TermEnd
from shared.events.contracts import ContractStatus, PlanChange
from shared.kernel.errors import Conflict, DomainError, Invalid, RuleViolated
from tests.unit.contracts.lives import BERLIN, START, active, after, plan, requested

NOW, LATER = PlanChange.IMMEDIATELY, PlanChange.END_OF_TERM
CLOSED = sorted(set(ContractStatus) - model.OPEN)
QUARTERLY = plan("quarterly")


def code(refused: pytest.ExceptionInfo[DomainError]) -> str:
    return refused.value.code


def ask(**changes: object) -> Contract:
    asked: dict[str, object] = {"plan": plan(), "starts_on": START, "now": after(0)} | changes
    ids = {"contract_id": requested().id, "customer_id": requested().customer_id}
    return model.request(**ids, **asked, subscription_id="s", zone=BERLIN)  # type: ignore[arg-type]


def test_a_contract_cannot_start_yesterday() -> None:
    with pytest.raises(Invalid) as refused:
        ask(starts_on=START - timedelta(days=1))
    assert code(refused) == "start-in-the-past"


def test_a_contract_cannot_start_in_two_years() -> None:
    with pytest.raises(Invalid) as refused:
        ask(starts_on=START + timedelta(days=730))
    assert code(refused) == "start-too-far"


def test_a_plan_that_is_no_longer_sold_cannot_be_taken() -> None:
    with pytest.raises(RuleViolated) as refused:
        ask(plan=plan(active=False))
    assert code(refused) == "plan-not-sold"


def test_an_unlinked_contract_does_not_begin() -> None:
    assert model.activate(requested(), after(0), BERLIN) is None


@pytest.mark.parametrize("status", CLOSED)
def test_nothing_is_done_to_a_closed_contract(status: ContractStatus) -> None:
    closed = replace(active(), status=status)
    at = after(9)
    acts: tuple[Callable[[], object], ...] = (
        lambda: model.pause(closed, at, BERLIN),
        lambda: model.resume(closed, at, BERLIN),
        lambda: model.change_plan(closed, QUARTERLY, NOW, at),
        lambda: model.cancel(closed, at),
        lambda: model.cancel_at_term(closed, at),
        lambda: model.undo_cancel(closed, at),
        lambda: model.link(closed, at),
        lambda: model.end(closed, ContractStatus.RENEWED, at),
    )
    for act in acts:
        with pytest.raises(RuleViolated) as refused:
            act()
        assert code(refused) == f"contract-{status.value}"
    assert model.at_term_end(closed, plan(), after(999), BERLIN) is None
    assert model.go_on(closed, at) is None
    assert model.restore_plan(replace(closed, former_plan="a"), at) is None
    assert model.confirm_plan(replace(closed, former_plan="a"), closed.plan) is None


@pytest.mark.parametrize(
    ("upfront", "cancels", "becomes"),
    [
        (False, False, TermEnd.RENEW),
        (True, False, TermEnd.COMPLETE),
        (False, True, TermEnd.CANCEL),
        (True, True, TermEnd.CANCEL),
    ],
)
def test_a_term_ends_as_its_plan_and_its_customer_want(
    upfront: bool, cancels: bool, becomes: TermEnd
) -> None:
    sold = plan(upfront=upfront)
    contract = replace(active(of=sold), cancels_at_term=cancels)
    assert model.at_term_end(contract, sold, after(365), BERLIN) is becomes


def test_a_paused_contract_does_not_end() -> None:
    paused = model.pause(active(), after(3), BERLIN)
    assert model.at_term_end(paused, plan(), after(999), BERLIN) is None


def test_renewing_twice_names_the_same_successor() -> None:
    contract = active()
    assert model.succeed(contract, plan(), after(1)) == model.succeed(contract, plan(), after(1))


def test_the_plan_it_has_already_cannot_be_chosen() -> None:
    with pytest.raises(Conflict) as refused:
        model.change_plan(active(), plan(), NOW, after(1))
    assert code(refused) == "same-plan"


def test_a_plan_of_another_treatment_cannot_be_chosen() -> None:
    with pytest.raises(RuleViolated) as refused:
        model.change_plan(active(), plan("other", treatment="skin"), NOW, after(1))
    assert code(refused) == "other-treatment"


def test_choosing_the_present_plan_takes_a_change_with_the_next_term_back() -> None:
    changed = model.change_plan(active(), QUARTERLY, LATER, after(1))
    kept = model.change_plan(changed, plan(), LATER, after(2))
    assert (changed.next_plan, kept.next_plan) == ("quarterly", None)


def test_a_cancellation_at_term_is_undone_once() -> None:
    kept = model.undo_cancel(model.cancel_at_term(active(), after(1)), after(2))
    with pytest.raises(Conflict) as refused:
        model.undo_cancel(kept, after(3))
    assert code(refused) == "not-cancelling"


def test_a_refused_pause_never_was() -> None:
    contract = active()
    kept = model.go_on(model.pause(contract, after(5), BERLIN), after(6))
    assert kept is not None
    assert (kept.status, kept.ends_on, kept.paused_on) == ("active", contract.ends_on, None)


def test_a_refused_pause_of_a_contract_that_was_resumed_is_history() -> None:
    paused = model.pause(active(), after(5), BERLIN)
    assert model.go_on(model.resume(paused, after(6), BERLIN), after(6)) is None


def resumed(on: int) -> Contract:
    """Paused after five days and resumed."""
    return model.resume(model.pause(active(), after(5), BERLIN), after(on), BERLIN)


def test_a_refused_resumption_counts_every_day_it_stood_still_once() -> None:
    contract = resumed(9)
    again = model.stand_still(contract, after(9).date(), contract.ends_on, after(12))
    assert again is not None
    assert again.status is ContractStatus.PAUSED
    on = model.resume(again, after(20), BERLIN)
    assert on.ends_on == active().ends_on + timedelta(days=15)


def test_a_refused_resumption_of_a_contract_paused_anew_is_history() -> None:
    contract = resumed(9)
    paused = model.pause(contract, after(10), BERLIN)
    assert model.stand_still(paused, after(9).date(), contract.ends_on, after(12)) is None


def test_a_refused_resumption_that_was_followed_by_another_is_history() -> None:
    first = resumed(9)
    second = model.resume(model.pause(first, after(10), BERLIN), after(12), BERLIN)
    assert model.stand_still(second, after(9).date(), first.ends_on, after(13)) is None


def test_a_resumption_refused_after_the_term_ended_is_for_people_to_look_at() -> None:
    ended = model.end(resumed(9), ContractStatus.RENEWED, after(200))
    with pytest.raises(RuleViolated) as refused:
        model.stand_still(ended, after(9).date(), ended.ends_on, after(201))
    assert code(refused) == "term-ended"


def test_a_refused_plan_gives_way_to_the_former_one() -> None:
    changed = model.change_plan(active(), QUARTERLY, NOW, after(1))
    restored = model.restore_plan(changed, after(2))
    assert restored is not None
    assert (restored.plan, restored.former_plan) == ("monthly", None)


def test_of_two_plans_refused_in_a_row_the_one_the_provider_has_remains() -> None:
    changed = model.change_plan(active(), QUARTERLY, NOW, after(1))
    twice = model.change_plan(changed, plan("yearly"), NOW, after(1))
    restored = model.restore_plan(twice, after(2))
    assert restored is not None
    assert restored.plan == "monthly"
    assert model.restore_plan(restored, after(2)) is None


def test_a_plan_the_provider_took_is_not_taken_back() -> None:
    changed = model.change_plan(active(), QUARTERLY, NOW, after(1))
    confirmed = model.confirm_plan(changed, "quarterly")
    assert confirmed is not None
    assert confirmed.version == changed.version
    assert model.restore_plan(confirmed, after(2)) is None


def test_taking_a_plan_that_was_changed_again_confirms_nothing() -> None:
    changed = model.change_plan(active(), QUARTERLY, NOW, after(1))
    twice = model.change_plan(changed, plan("yearly"), NOW, after(1))
    assert model.confirm_plan(twice, "quarterly") is None
