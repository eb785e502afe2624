"""Iterable's port over the fake Iterable."""

from collections.abc import Iterator

import pytest

from shared.integrations.iterable import Iterable
from shared.kernel.ids import CustomerId
from tests.conftest import House
from tests.ports.messages import NOWHERE, fails, fresh


@pytest.fixture
def marketing(house: House) -> Iterator[Iterable]:
    with fresh():
        made = Iterable()
        yield made
        made.close()
        house.cloud.heal()


def events(house: House, user: str) -> list[str]:
    return [entry["subject"] for entry in house.cloud.inbox("iterable") if entry["to"] == user]


def test_an_event_under_its_key_counts_once(marketing: Iterable, house: House) -> None:
    user = str(CustomerId.new())
    for _ in range(2):
        marketing.track(user, "contract_created", f"{user}:1", {"endsOn": "2026-09-08"})
    marketing.track(user, "contract_created", f"{user}:2", {"endsOn": "2027-03-08"})
    assert events(house, user) == ["contract_created"] * 2


def test_a_workflow_starts_once_per_key(marketing: Iterable, house: House) -> None:
    user = str(CustomerId.new())
    house.cloud.fault("iterable", "fail-after-success", count=1)
    fails("unknown", lambda: marketing.start_workflow(user, "payment_recovery", f"{user}:1"))
    marketing.start_workflow(user, "payment_recovery", f"{user}:1")
    assert events(house, user) == ["payment_recovery_started"]


@pytest.mark.parametrize(
    ("fault", "kind"), [("429", "unavailable"), ("error", "unknown"), ("down", "unknown")]
)
def test_faults_are_told_apart(marketing: Iterable, house: House, fault: str, kind: str) -> None:
    house.cloud.fault("iterable", fault, count=1)
    fails(kind, lambda: marketing.track("u", "contract_created", "k", {}))


def test_a_wrong_key_is_refused(marketing: Iterable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ITERABLE_API_KEY", "wrong-canary")
    with fresh():
        stranger = Iterable()
        fails("refused", lambda: stranger.track("u", "contract_created", "k", {}))
        stranger.close()


def test_nobody_listening_is_unavailable(
    marketing: Iterable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ITERABLE_URL", NOWHERE)
    with fresh():
        lost = Iterable()
        fails("unavailable", lambda: lost.track("u", "contract_created", "k", {}))
        lost.close()
