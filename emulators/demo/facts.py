"""What must be true after the journey, each fact read off two independent places."""

import statistics
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from emulators.demo.stage import Player, Stage


@dataclass(frozen=True)
class Fact:
    """A statement, what it should be and what it is."""

    says: str
    wanted: Any
    found: Any

    @property
    def right(self) -> bool:
        return bool(self.wanted == self.found)


def show(found: Iterable[Fact], console: Console) -> bool:
    """Print the table; True when all are right."""
    facts = list(found)
    table = Table(title="Checked facts", title_justify="left", show_edge=False)
    for heading, right in (("fact", "left"), ("wanted", "right"), ("found", "right"), ("", "left")):
        table.add_column(heading, justify=right)  # type: ignore[arg-type]
    for fact in facts:
        mark = "[green]right[/green]" if fact.right else "[red]WRONG[/red]"
        table.add_row(fact.says, _short(fact.wanted), _short(fact.found), mark)
    console.print(table)
    wrong = sum(not fact.right for fact in facts)
    console.print(f"{len(facts)} facts, {wrong} wrong", style="red" if wrong else "green")
    return not wrong


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def check(stage: Stage) -> list[Fact]:
    """All facts, in the order of the journey."""
    parts: tuple[Callable[[Stage], list[Fact]], ...] = (
        _signed, _lives, _accidents, _money, _ladder, _messages, _mirrors, _machinery,
    )  # fmt: skip
    return [fact for part in parts for fact in part(stage)]


def _signed(stage: Stage) -> list[Fact]:
    count = len(stage.players)
    cold, median = stage.marks["welcome"][0], statistics.median(stage.marks["welcome"])
    seconds, quick = f"median {median:.2f} s, the first, cold, {cold:.2f} s", median < 1
    welcome = [sent for sent in stage.sent("iterable") if "welcome" in str(sent).lower()]
    customers = stage.one("SELECT count(*) FROM customers.customers")
    users = {s.body.get("external_id", s.to) for s in stage.sent("zendesk") if "user" in s.kind}
    mails = _templates(stage)["contract_welcome"]
    return [
        Fact(f"Welcome mails within a second of the insert ({seconds})", True, quick),
        Fact("Customers of both clinics", count, customers),
        Fact(
            "Contracts the billing provider knows (contract.created)",
            count,
            stage.counted("contract.created"),
        ),
        Fact("Welcome mails", count, mails),
        Fact("Welcome events in Iterable", count, len(welcome)),
        Fact("Customer records in Zendesk", count, len(users)),
    ]


def _templates(stage: Stage) -> Counter[str]:
    """How many messages of each template a provider accepted."""
    found = stage.rows(
        "SELECT template, count(*) AS n FROM notifications.messages "
        "WHERE status IN ('accepted', 'delivered', 'failed') GROUP BY template"
    )
    return Counter({row["template"]: row["n"] for row in found})


def _lives(stage: Stage) -> list[Fact]:
    now = stage.cloud.now
    rows = {str(row["id"]): row for row in stage.rows("SELECT * FROM contracts.contracts")}
    expected = Counter(player.expected(now) for player in stage.players)
    found = Counter(rows[player.contract_id]["status"] for player in stage.players)
    wrong = [p for p in stage.players if rows[p.contract_id]["status"] != p.expected(now)]
    renewed = {p.contract_id for p in stage.players if p.expected(now) == "renewed"}
    successors = Counter(
        str(row["predecessor_id"]) for row in rows.values() if row["predecessor_id"]
    )
    single = sum(successors[contract] == 1 for contract in renewed)
    facts = [
        Fact(f"First contracts that are {status}", expected[status], found[status])
        for status in sorted(expected)
    ]
    return [
        *facts,
        Fact("Contracts in another state than their life asks", 0, len(wrong)),
        Fact("Renewed contracts with exactly one successor", len(renewed), single),
        Fact("Contracts that succeed another one", len(renewed), successors.total()),
        Fact("cf_contract_id at Chargebee of contracts that run", 0, _wrong_links(stage, rows)),
        Fact("Completed upfront terms reset to monthly, metadata cleared", 0, _not_reset(stage)),
    ]


def _wrong_links(stage: Stage, rows: dict[str, Any]) -> int:
    subscriptions = stage.at_chargebee("subscription")
    return sum(
        subscriptions[row["subscription_id"]].get("cf_contract_id") != str(row["id"])
        for row in rows.values()
        if row["status"] in ("future", "active", "paused")
    )


def _not_reset(stage: Stage) -> int:
    now = stage.cloud.now
    subscriptions = stage.at_chargebee("subscription")
    return sum(
        not _is_reset(subscriptions[player.subscription_id], player)
        for player in stage.players
        if player.expected(now) == "completed"
    )


def _is_reset(subscription: dict[str, Any], player: Player) -> bool:
    monthly = f"{player.seed.treatment}-monthly-EUR"
    items = {item["item_price_id"] for item in subscription["subscription_items"]}
    return items == {monthly} and not subscription.get("cf_contract_id")


def _accidents(stage: Stage) -> list[Fact]:
    special = {player.special: player for player in stage.players if player.special}
    by_id = "SELECT status FROM contracts.contracts WHERE id = :id"
    heirs = "SELECT count(*) FROM contracts.contracts WHERE predecessor_id = :id"
    stale, lost = special["stale"].contract_id, special["lost"].contract_id
    return [
        Fact("The late canceller's renewal was a queued task", True, stage.marks["queued"]),
        Fact("  and the stale task did nothing", "cancelled", stage.one(by_id, id=stale)),
        Fact("  nor made a successor", 0, stage.one(heirs, id=stale)),
        Fact("A lost renewal was caught by the daily check", "renewed", stage.one(by_id, id=lost)),
    ]


def _money(stage: Stage) -> list[Fact]:
    theirs = {
        one["id"]: (one["status"], one["total"], one["resource_version"])
        for one in stage.at_chargebee("invoice").values()
    }
    ours = {
        row["vendor_id"]: (row["status"], row["total"], row["resource_version"])
        for row in stage.rows("SELECT * FROM billing.invoices")
    }
    paid = sum(total for status, total, _ in theirs.values() if status == "paid")
    value = stage.one("SELECT coalesce(sum(amount), 0)::bigint FROM customers.lifetime_values")
    settled = sum(status == "paid" for status, _, _ in theirs.values())
    differ = [key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key)]
    return [
        Fact("Invoices at Chargebee and here", len(theirs), len(ours)),
        Fact("Invoices that differ in state, total or version", [], differ),
        Fact("invoice.paid, once for each paid invoice", settled, stage.counted("invoice.paid")),
        Fact("Lifetime value of all customers (cents)", paid, value),
        Fact("Nightly reports that found a drift", 0, stage.counted("billing.drift_found")),
    ]


def _ladder(stage: Stage) -> list[Fact]:
    failed = {
        event["payload"]["invoice_id"]
        for event in stage.told
        if event["type"] == "invoice.payment_failed"
    }
    tickets = stage.one("SELECT count(*) FROM support.tickets")
    exhausted = stage.rows("SELECT status FROM billing.invoices WHERE exhausted_at IS NOT NULL")
    told = stage.counted("invoice.dunning_exhausted")
    ended = Counter(row["status"] for row in exhausted)
    due = stage.one(
        "SELECT count(*) FROM billing.invoices i WHERE status = 'payment_due' AND NOT EXISTS "
        "(SELECT 1 FROM platform.timers t WHERE t.subject = i.id AND t.state = 'scheduled')"
    )
    return [
        Fact("Invoices with a declined payment have one ticket each", len(failed), tickets),
        Fact("Exhausted invoices were told once", len(exhausted), told),
        Fact("  and ended as not_paid", len(exhausted), ended["not_paid"]),
        Fact("Invoices due without a retry ahead", 0, due),
    ]


def _messages(stage: Stage) -> list[Fact]:
    now = stage.cloud.now
    templates = _templates(stage)
    ids = Counter(sent.body["custom_args"]["message"] for sent in stage.sent("sendgrid"))
    states = Counter(player.expected(now) for player in stage.players)
    return [
        Fact("Confirmations of renewal", states["renewed"], templates["contract_renewed"]),
        Fact("Confirmations of completion", states["completed"], templates["contract_completed"]),
        Fact("Confirmations of cancellation", states["cancelled"], templates["contract_cancelled"]),
        Fact("Mails sent twice", 0, sum(n > 1 for n in ids.values())),
    ]


def _mirrors(stage: Stage) -> list[Fact]:
    facts = []
    for collection, query in (
        ("contracts", "SELECT id, status, version FROM contracts.contracts"),
        ("invoices", "SELECT id, status, version FROM billing.invoices"),
        ("subscriptions", "SELECT id, status, version FROM billing.subscriptions"),
    ):
        rows = {str(row["id"]): row["status"] for row in stage.rows(query)}
        mirror = {key: doc["status"] for key, doc in stage.mirrored(collection).items()}
        wrong = sum(rows.get(key) != mirror.get(key) for key in rows.keys() | mirror.keys())
        facts.append(Fact(f"Mirrored {collection} that differ (of {len(rows)})", 0, wrong))
    return facts


def _machinery(stage: Stage) -> list[Fact]:
    unsent = stage.one("SELECT count(*) FROM platform.outbox WHERE sent_at IS NULL")
    parked = [
        f"{row['handler']}: {row['reason']}"
        for row in stage.rows("SELECT handler, reason FROM platform.dead_letters")
    ]
    unclosed = stage.one(
        "SELECT count(*) FROM platform.intents WHERE state NOT IN ('done', 'refused')"
    )
    return [
        Fact("Events still unsent", 0, unsent),
        Fact("Messages parked as dead letters", [], parked),
        Fact("Vendor calls without an outcome", 0, unclosed),
    ]
