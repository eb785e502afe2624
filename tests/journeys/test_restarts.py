"""Any part may be killed where much is under way: the journey ends with the same facts."""

from pathlib import Path
from typing import Any

import pytest

from tests.journeys.street import facts, street

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The facts of a journey in which nothing breaks."""
    with street(tmp_path_factory.mktemp("undisturbed")) as calm:
        calm.live(lambda: None)
        return facts(calm.stage)


def test_undisturbed_the_journey_ends_well(undisturbed: dict[str, Any]) -> None:
    assert undisturbed["left over"] == {"unsent": 0, "parked": [], "unclosed": []}
    assert undisturbed["invoices that differ"] == undisturbed["mirrors that differ"] == []
    told = undisturbed["told"]
    assert (told["contract.created"], told["contract.renewed"]) == (4, 3)
    assert (told["contract.completed"], told["ticket.opened"]) == (1, 1)
    unlucky = undisturbed["neighbour.3@example.com"]
    assert unlucky["mails"]["Ihre Zahlung ist nicht gelungen"] == unlucky["texts"] == 2
    assert undisturbed["neighbour.5@example.com"]["pushes"]["Zahlung erhalten"] == 1


@pytest.mark.parametrize(
    "parts",
    [
        ("pubsub",),
        ("tasks", "scheduler"),
        ("firestore", "identity"),
        ("chargebee",),
        ("sendgrid", "zendesk", "iterable", "twilio", "fcm"),
        ("postgres",),
        ("host",),
    ],
    ids="+".join,
)
def test_killed_and_restarted_it_ends_with_the_same_facts(
    parts: tuple[str, ...], undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    with street(tmp_path, durable="postgres" in parts) as troubled:
        troubled.live(lambda: troubled.crash(*parts))
        assert facts(troubled.stage) == undisturbed
