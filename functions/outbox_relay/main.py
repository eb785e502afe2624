"""The net under publishing: what was not published yet, what Pub/Sub gave up on, what is old."""

from shared.kernel.work import Idle, Work
from shared.runtime import delivery, retention
from shared.runtime.agent import Agent

agent = Agent("outbox_relay", delivery.publisher)
agent.parks_dead_letters()
agent.polls("outbox_drains", "* * * * *", delivery.relaying)


@agent.cron("0 4 * * 0")
def retention_prunes(work: Work) -> Idle | None:
    retention.prune(work)
    return None


outbox_relay = agent.function
