"""What must be true after a life, promise by promise, as things that can be counted."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from emulators.demo.stage import Stage
from tests.journeys.street import facts

TOGETHER = "State, events, inbox and timers commit together"
REACHES = "Every event reaches every subscriber"
ONCE = "Every event takes effect exactly once"
VENDORS = "A vendor is told once per intent"
POISON = "Poison is parked, replayed, and harms nothing else"
MIRRORS = "Mirrors equal Postgres"
DRAINED = "Nothing is left unsent or unclosed"

Things = dict[str, Counter[str]]
"""By promise: what there is, and how often."""
_AMISS, _TWICE = "amiss: ", "twice: "
"""What must not be in any life begins with one of these."""

_OF_PERSON = {
    "contracts": ONCE,
    "value": ONCE,
    "messages": ONCE,
    "at chargebee": VENDORS,
    "invoices": VENDORS,
    "mails": VENDORS,
    "texts": VENDORS,
    "pushes": VENDORS,
    "support": VENDORS,
    "marketing": VENDORS,
}
_TIMERS = """
    SELECT kind, state, CAST(due_at AS text) AS due FROM platform.timers
    WHERE kind LIKE 'contract.%' AND state IN ('scheduled', 'parked')"""
_INBOX = """
    SELECT inbox.handler, outbox.type FROM platform.inbox JOIN platform.outbox
      ON outbox.id = inbox.event_id
    WHERE outbox.type LIKE 'contract.%' OR outbox.type LIKE 'invoice.pa%'"""
_LETTERS = """
    SELECT function, handler, path, reason, replayed_at IS NOT NULL AS replayed
    FROM platform.dead_letters"""
_CLOSED = """
    SELECT handler, state FROM platform.intents
    WHERE state IN ('done', 'refused') AND handler <> 'webhook_applies'"""
"""How many webhooks there are is the vendor's business."""
_VALUES = "SELECT amount, currency FROM customers.lifetime_values"


def things(stage: Stage) -> Things:
    """Everything that must not depend on what broke on the way; no ids, no times of day."""
    found = facts(stage)
    made: Things = {
        TOGETHER: _together(stage) + _counted("told", found["told"]),
        REACHES: _reaching(stage),
        ONCE: Counter(f"a life of {' '.join(life)}" for life in _lives(stage)),
        VENDORS: Counter(f"{_TWICE}mail {mail}" for mail in found["mails sent twice"]),
        POISON: _rows("letter", stage.rows(_LETTERS)),
        MIRRORS: _mirrored(stage) + _amiss("mirror", found["mirrors that differ"]),
        DRAINED: _rows("closed", stage.rows(_CLOSED)),
    }
    made[ONCE] += _amiss("invoice", found["invoices that differ"])
    made[DRAINED] += _amiss("unclosed", found["left over"]["unclosed"])
    made[ONCE] += _rows("value", stage.rows(_VALUES))
    made[DRAINED] += Counter({f"{_AMISS}unsent": found["left over"]["unsent"]})
    for player in stage.players:
        for what, value in found[player.seed.email].items():
            made[_OF_PERSON[what]] += _counted(f"{player.seed.email} {what}", value)
    return made


def lost(calm: Things, troubled: Things) -> Things:
    """What there is in the calm life alone, and what is amiss in either."""
    return _alone(calm, troubled, _AMISS)


def doubled(calm: Things, troubled: Things) -> Things:
    """What there is in the troubled life alone, and what either did twice."""
    return _alone(troubled, calm, _TWICE)


def _alone(one: Things, other: Things, word: str) -> Things:
    found: Things = {}
    for promise, things in one.items():
        never = _beginning(word, things) + _beginning(word, other[promise])
        found[promise] = (_plain(things) - _plain(other[promise])) + never
    return found


def _plain(things: Counter[str]) -> Counter[str]:
    return things - _beginning(_AMISS, things) - _beginning(_TWICE, things)


def _beginning(word: str, things: Counter[str]) -> Counter[str]:
    return Counter({thing: times for thing, times in things.items() if thing.startswith(word)})


def _together(stage: Stage) -> Counter[str]:
    """Rows that were written beside the state, by the same commits."""
    versions = Counter(
        (event["subject"], event["payload"].get("version"))
        for event in stage.told
        if event["type"].startswith("contract.")
    )
    twice = [key for key, times in versions.items() if times > 1]
    return (
        _rows("timer", stage.rows(_TIMERS))
        + _rows("inbox", stage.rows(_INBOX))
        + Counter(f"{_TWICE}version {version} of {subject} told" for subject, version in twice)
    )


def _reaching(stage: Stage) -> Counter[str]:
    """Each event at each subscription that lets its type through."""
    delivered, found = stage.delivered(), Counter[str]()
    for subscription in stage.cloud.describe("pubsub")["subscriptions"]:
        name, types = subscription["name"], subscription["filter"]
        for event in stage.told:
            if not subscription["topic"].endswith(f"/{event['topic']}"):
                continue
            if types and f'"{event["type"]}"' not in types:
                continue
            if (name, str(event["id"])) not in delivered:
                found[f"{_AMISS}{event['type']} did not reach {name}"] += 1
            elif event["type"].startswith("contract."):
                found[f"{event['type']} reached {name}"] += 1
    return found


def _lives(stage: Stage) -> Iterable[tuple[str, ...]]:
    """What was told of each contract, in order."""
    told: dict[str, list[str]] = defaultdict(list)
    for event in stage.told:
        if event["type"].startswith("contract."):
            told[event["subject"]].append(event["type"])
    return (tuple(life) for life in told.values())


def _mirrored(stage: Stage) -> Counter[str]:
    return Counter(
        f"{collection} shown as {document['status']}"
        for collection in ("contracts", "invoices", "subscriptions", "messages")
        for document in stage.mirrored(collection).values()
    )


def _amiss(what: str, found: Iterable[Any]) -> Counter[str]:
    return Counter(f"{_AMISS}{what} {one}" for one in found)


def _rows(what: str, rows: Iterable[dict[str, Any]]) -> Counter[str]:
    return Counter(f"{what} {' '.join(map(str, row.values()))}" for row in rows)


def _counted(what: str, value: Any) -> Counter[str]:
    """A fact as things: the parts of a whole, or the one thing that it is."""
    if isinstance(value, dict):  # counters too
        return Counter({f"{what}: {part}": times for part, times in value.items()})
    if isinstance(value, int):
        return Counter({what: value})
    parts = value if isinstance(value, list) else [value]
    return Counter(f"{what}: {part}" for part in parts)
