"""Whatever the order, the number and the lateness of deliveries: it ends as in order."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest

from shared.domains.customers.service import add_value
from shared.domains.notifications.commands import Preference
from shared.domains.notifications.model import Topic
from shared.domains.notifications.store import prefer
from shared.events.billing import InvoiceChanged, InvoicePaid, InvoiceStatus
from shared.events.messages import Channel
from shared.kernel.ids import CustomerId
from shared.kernel.work import Mirroring, Work
from shared.runtime.agent import Agent
from tests.reliability.simulation.ground import Ground, ground
from tests.reliability.simulation.seeds import try_seed, weather

pytestmark = pytest.mark.timeout(900)
_EVENTS = 40


@pytest.fixture(scope="module")
def stand() -> Iterator[Ground]:
    with ground() as made:
        yield made


def test_fifty_seeds_end_as_they_do_in_order() -> None:
    command = [sys.executable, "-m", "tests.reliability.simulation", "--seeds", "50"]
    played = subprocess.run(
        [*command, "--events", str(_EVENTS)], capture_output=True, text=True, check=False
    )
    assert played.returncode == 0, played.stdout + played.stderr


def _caught(stand: Ground, agent: Agent, table: str) -> bool:
    """Whether one of a dozen seeds ends otherwise in `table` with `agent` among the others.

    Which of them does is up to the threads, too: one alone may end well by chance.
    """
    with_agent = replace(stand, agents=stand.agents | {agent.name: agent})
    for seed in range(1, 13):
        problems = try_seed(with_agent, seed, 80, weather(seed, 5, worst=True)).problems
        if any(problem.startswith(f"{table}:") for problem in problems):
            return True
    return False


def test_a_handler_that_repeats_itself_is_caught(stand: Ground) -> None:
    agent = Agent("careless", SimpleNamespace)

    def count(event: InvoicePaid, work: Work) -> None:
        add_value(event.customer_id, event.amount, work)

    agent.mirrors("value_counts_again", Mirroring(count, lambda *_: None), InvoicePaid)
    assert _caught(stand, agent, "lifetime values")


def test_a_handler_that_believes_the_latest_delivery_is_caught(stand: Ground) -> None:
    agent = Agent("gullible")

    @agent.reacts(InvoiceChanged)
    def preference_follows(event: InvoiceChanged, work: Work) -> None:
        paid = event.status is InvoiceStatus.PAID
        wanted = Preference(topic=Topic.NEWS, channel=Channel.EMAIL, wanted=paid)
        prefer(CustomerId.derive(event.invoice_id, "payer"), [wanted], work)

    assert _caught(stand, agent, "preferences")
