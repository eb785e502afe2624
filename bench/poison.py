"""How long healthy messages take with a hundredth of poison among them, against none.

From Google's publisher through the local Pub/Sub to the product's agents: the 99th percentile of
the time from publish to acknowledgement, which follows the effect. A message that fails in an
unexpected way holds up its own ordering key for 15 s, as it must: what came behind it is counted
with the rest.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.kit import Result, compare
from emulators.pubsub.deliveries import Delivery, Outcome
from tests.reliability.poison.run import Ward, ward

MESSAGES = 200
SHARE = 0.01
PER_KEY = 3
"""An invoice's life has about so many events."""
PER_SECOND = 40
ROUNDS = 4


def run() -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as folder, ward(Path(folder), 7, frozen=False) as made:
        yield compare(
            "poison",
            ("1 % poison", lambda: _measured(made, SHARE)),
            ("no poison", lambda: _measured(made, 0)),
            unit="ms p99",
            limit=2.0,
            at_least=False,
            rounds=ROUNDS,
            notes={"messages a second": PER_SECOND, "messages a round": MESSAGES},
        )


def _measured(made: Ward, share: float) -> float:
    """The 99th percentile of healthy messages in a round, in milliseconds."""
    messages = made.mix(MESSAGES, share, PER_KEY)
    began = time.perf_counter()
    for number, one in enumerate(messages):
        time.sleep(max(began + number / PER_SECOND - time.perf_counter(), 0))
        made.publish([one])
    made.rest()
    healthy = {one.message.message_id for one in messages if not one.sort}
    took = _latencies(made, healthy)
    subscriptions = 3  # invoice_handler, notification_agent, support_agent
    if len(took) != subscriptions * len(healthy):
        raise AssertionError(f"{len(took)} acknowledged, {len(healthy)} healthy messages")
    return statistics.quantiles(took, n=100)[98] * 1000


def _latencies(made: Ward, messages: set[str]) -> list[float]:
    """Seconds until each subscription acknowledged each message."""

    async def look() -> list[Delivery]:
        pubsub: Any = made.cloud.cloud.engines["pubsub"]
        return list(pubsub.deliveries())

    ends = {
        (one.message_id, one.subscription): one.delivered_at - one.publish_time
        for one in made.cloud.run(look())
        if one.message_id in messages and one.outcome is Outcome.ACKED
    }
    return [span.total_seconds() for span in ends.values()]
