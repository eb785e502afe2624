"""Commands of which one half is there and the other is not."""

from collections.abc import Iterator
from contextlib import closing

from emulators.demo.stage import connect

_EVENTS = "(SELECT type, payload::jsonb AS said FROM platform.outbox)"
_HALVES = {
    "a customer nobody was told of": f"""
        SELECT c.id FROM customers.customers c WHERE NOT EXISTS (
          SELECT 1 FROM {_EVENTS} e
          WHERE e.type = 'customer.registered' AND e.said->>'customer_id' = c.id::text)""",
    "a customer others were told of, but who is not there": f"""
        SELECT e.said FROM {_EVENTS} e WHERE e.type = 'customer.registered' AND NOT EXISTS (
          SELECT 1 FROM customers.customers c WHERE c.id::text = e.said->>'customer_id')""",
    "a contract's version nobody was told of": f"""
        SELECT c.id, c.version FROM contracts.contracts c WHERE NOT EXISTS (
          SELECT 1 FROM {_EVENTS} e WHERE e.type LIKE 'contract.%'
            AND e.said->>'contract_id' = c.id::text AND (e.said->>'version')::int = c.version)""",
    "a contract's version others were told of, but which is not there": f"""
        SELECT e.said FROM {_EVENTS} e WHERE e.type LIKE 'contract.%' AND NOT EXISTS (
          SELECT 1 FROM contracts.contracts c WHERE c.id::text = e.said->>'contract_id'
            AND c.version >= (e.said->>'version')::int)""",
    "an active contract without the timer of its end": """
        SELECT c.id FROM contracts.contracts c WHERE c.status = 'active' AND NOT EXISTS (
          SELECT 1 FROM platform.timers t
          WHERE t.kind = 'contract.renewal' AND t.subject = c.id)""",
    "an event that was never sent": "SELECT id, type FROM platform.outbox WHERE sent_at IS NULL",
    "an intent that was never closed": """
        SELECT handler, event_id, state FROM platform.intents WHERE state NOT IN ('done', 'refused')
        """,
    "a message that was given up": "SELECT function, handler, reason FROM platform.dead_letters",
}


def halves(admin_url: str) -> Iterator[str]:
    """One line for each that is found."""
    with closing(connect(admin_url)) as database:
        for what, query in _HALVES.items():
            for row in database.run(query):
                yield f"{what}: {', '.join(map(str, row))}"
