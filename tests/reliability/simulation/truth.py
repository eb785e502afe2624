"""What must be the same after every run of a seed, and what it is compared by.

Left out are technical times, ids that come from the order of things, and counters of tries. Where
order may show, the weaker truth that holds instead is said at the query.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from shared.kernel.ids import InvoiceId, TicketId
from tests.reliability.simulation.run import Run

Truth = dict[str, Counter[tuple[Any, ...]]]

# Of an invoice that is paid minutes after an attempt was declined, either may be known first: then
# no ticket is opened and nobody is asked back. What was opened is solved, as `wrong` checks of all.
_HASTY = "SELECT id FROM billing.invoices WHERE vendor_id LIKE 'hasty%'"

_TABLES = {
    "customers": """
        SELECT clinic_id, id, uid, given_name, family_name, email, phone, push_token, locale,
          time_zone, version FROM customers.customers""",
    "lifetime values": "SELECT * FROM customers.lifetime_values",
    "plans": "SELECT * FROM contracts.plans",
    "contracts": """
        SELECT clinic_id, customer_id, id, plan, next_plan, former_plan, treatment, subscription_id,
          status, starts_on, ends_on, term_day, paused_on, linked, cancels_at_term, predecessor_id,
          version FROM contracts.contracts""",
    "accounts": "SELECT customer_id, clinic_id, payment_source FROM billing.accounts",
    # `version` counts the reports that were newer when they came, which fewer are out of order;
    # `resource_version` is compared with the provider's own below.
    "subscriptions": """
        SELECT clinic_id, customer_id, vendor_id, id, contract_id, status, item_price_id,
          current_term_end, deleted FROM billing.subscriptions""",
    "invoices": """
        SELECT clinic_id, customer_id, vendor_id, id, subscription_id, status, dunning, total,
          amount_paid, amount_due, currency, paid_told, attempts, decline, safety_retry,
          method_retry, exhausted_at IS NOT NULL, deleted FROM billing.invoices""",
    "strays": "SELECT resource, vendor_id FROM billing.strays",
    "drifts": "SELECT clinic_id, resource, vendor_id, kind FROM billing.drifts",
    # A message's id follows from its fact, which names a version of an invoice: see there. A push
    # is pointless after twelve hours, eleven of which may be quiet: two hours late it may expire.
    "messages": """
        SELECT clinic_id, customer_id, channel, topic, urgency, template, locale, variables::text,
          any_hour, replace(status, 'expired', CASE channel WHEN 'push' THEN 'accepted'
          ELSE 'expired' END), CASE channel WHEN 'push' THEN 'fcm' ELSE provider END, failure
        FROM notifications.messages""",
    "suppressions": """
        SELECT clinic_id, customer_id, channel, stopped FROM notifications.suppressions""",
    "preferences": """
        SELECT clinic_id, customer_id, topic, channel, wanted FROM notifications.preferences""",
    "tickets": f"""
        SELECT clinic_id, customer_id, id, invoice_id, vendor_id IS NOT NULL, status
        FROM support.tickets WHERE invoice_id NOT IN ({_HASTY})""",
    "known to support": "SELECT clinic_id, customer_id, vendor_id FROM support.customers",
    # What is said of a change is not said of one that something newer overtook.
    "facts": f"""
        SELECT clinic_id, ordering_key, type, (payload::jsonb - 'version')::text
        FROM platform.outbox
        WHERE type NOT LIKE '%webhook.received' AND ordering_key NOT IN (
            SELECT id::text FROM notifications.messages
            UNION SELECT id::text FROM support.tickets WHERE invoice_id IN ({_HASTY}))
          AND type NOT IN ('subscription.changed', 'invoice.changed')""",
    "timers": """
        SELECT kind, subject, clinic_id, state, CASE state WHEN 'scheduled' THEN due_at END
        FROM platform.timers WHERE kind LIKE 'contract.%'""",
    "parked": "SELECT function, handler, path, reason FROM platform.dead_letters",
}
_NOTHING = {
    "open tickets of settled invoices": """
        SELECT tickets.invoice_id, tickets.status FROM support.tickets, billing.invoices
        WHERE tickets.invoice_id = invoices.id AND invoices.status = 'paid'
          AND tickets.status <> 'solved'""",
    "unsent": "SELECT id, type FROM platform.outbox WHERE sent_at IS NULL",
    # What a vendor refuses and nobody has an answer to is parked; its intent waits for a replay.
    "unclosed": """
        SELECT handler, event_id, state FROM platform.intents
        WHERE state NOT IN ('done', 'refused') AND NOT EXISTS (
          SELECT 1 FROM platform.dead_letters letters WHERE letters.handler = intents.handler
            AND letters.attributes ->> 'ce-id' = event_id::text)""",
    "undone timers": """
        SELECT kind, subject, state, due_at FROM platform.timers
        WHERE state = 'parked' OR state = 'scheduled' AND kind NOT LIKE 'contract.%'""",
}


def truth(run: Run) -> Truth:
    """What is there after a run, by what it is."""
    found = {name: Counter(map(_plain, run.ground.rows(query))) for name, query in _TABLES.items()}
    found["answers"] = Counter(run.answers.items())
    found |= {name: Counter(rows) for name, rows in _told(run).items()}
    return found


def wrong(run: Run) -> Iterator[str]:
    """What must never be, whatever another run ended with."""
    for name, query in _NOTHING.items():
        for row in run.ground.rows(query):
            yield f"{name}: {_plain(row)}"
    yield from _unlike_the_provider(run)
    yield from _unlike_the_mirror(run)
    yield from (
        f"{what} was told {times} times" for what, times in run.ear.told.items() if times > 1
    )
    for messenger in run.messengers.values():
        sent = Counter(one.envelope.message_id for one in messenger.sent)
        # FCM cannot be asked what it took: a push sent again replaces the first on the device.
        if messenger.name != "fcm":
            yield from (
                f"{messenger.name} sent {id_} {n} times" for id_, n in sent.items() if n > 1
            )
    yield from _unlike_the_desk(run)
    for ticket, opened in run.desk.tickets.items():
        if len(opened) > 1:
            yield f"ticket {ticket} was opened {len(opened)} times"


def _sent(run: Run) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """What each messenger was given, each message once; pushes are left out, see `wrong`."""
    whose = {
        str(row[0]): (str(row[1]), row[2], row[3])
        for row in run.ground.rows(
            "SELECT id, customer_id, template, channel FROM notifications.messages"
        )
    }
    for name, messenger in run.messengers.items():
        if name != "fcm":
            given = {
                (one.envelope.message_id, one.envelope.subject, one.envelope.text)
                for one in messenger.sent
            }
            yield f"{name} sent", [(*whose[str(id_)], *said) for id_, *said in given]


def _told(run: Run) -> dict[str, list[tuple[Any, ...]]]:
    """What each vendor was told, by what it was about."""
    told = dict(_sent(run))
    told["ear was told"] = [(what.partition("{")[0],) for what in run.ear.told]
    hasty = {row[0] for row in run.ground.rows(_HASTY.replace(" id ", " customer_id "))}
    told["marketing was told"] = [
        (user, event, data)
        for user, event, data in run.marketing.told.values()
        if not (event == "payment_recovery_started" and UUID(user) in hasty)
    ]
    told["desk knows"] = [(key, *record) for key, record in run.desk.records.items()]
    settled = {
        TicketId.derive(InvoiceId(int=row[0].int), "payment") for row in run.ground.rows(_HASTY)
    }
    told["desk has"] = [
        (str(id_), ticket.solved, *sorted([ticket.opened.partition("\n")[0], *ticket.notes]))
        for id_, opened in run.desk.tickets.items()
        for ticket in opened
        if id_ not in settled
    ]
    for kind, objects in run.provider.objects.items():
        told[f"provider has {kind}"] = [
            tuple(
                (name, str(value))
                for name, value in sorted(one.items())
                if name in _PROVIDERS and not (kind == "transaction" and name == "date")
            )
            for one in objects.values()
        ]
    return told


_PROVIDERS = {
    "id", "customer_id", "cf_clinic_id", "cf_contract_id", "status", "subscription_items",
    "primary_payment_source_id", "dunning_status", "total", "amount_paid", "amount_due",
    "error_code",
}  # fmt: skip


def _unlike_the_provider(run: Run) -> Iterator[str]:
    for kind, table in (("subscription", "subscriptions"), ("invoice", "invoices")):
        ours = {
            row[0]: (row[1], row[2])
            for row in run.ground.rows(
                f"SELECT vendor_id, status, resource_version FROM billing.{table}"
            )
        }
        for id_, one in run.provider.objects[kind].items():  # type: ignore[index]
            theirs = (one["status"], one["resource_version"])
            if ours.get(id_) != theirs:
                yield f"{kind} {id_} is {ours.get(id_)} here, {theirs} at the provider"


def _unlike_the_desk(run: Run) -> Iterator[str]:
    for id_, status in run.ground.rows("SELECT id, status FROM support.tickets"):
        for ticket in run.desk.tickets.get(TicketId(int=id_.int), []):
            if ticket.solved != (status == "solved"):
                yield f"ticket {id_} is {status} here, solved there: {ticket.solved}"


def _unlike_the_mirror(run: Run) -> Iterator[str]:
    for collection, table in (
        ("contracts", "contracts.contracts"),
        ("subscriptions", "billing.subscriptions"),
        ("invoices", "billing.invoices"),
    ):
        for id_, status, version in run.ground.rows(f"SELECT id, status, version FROM {table}"):
            name = (
                f"projects/clinicloop-simulation/databases/(default)/documents/{collection}/{id_}"
            )
            document = run.documents.held.get(name)
            mirrored = document and (
                document.fields["status"].string_value,
                document.fields["version"].integer_value,
            )
            if mirrored != (status, version):
                yield f"{collection} {id_} is {(status, version)} here, {mirrored} in the mirror"


def _plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(str(value) for value in row)


def differences(wanted: Truth, found: Truth) -> Iterator[str]:
    """Where a run ended otherwise than another, row by row."""
    for name in wanted:
        missing, more = wanted[name] - found[name], found[name] - wanted[name]
        yield from (f"{name}: missing {row}" for row in sorted(missing.elements()))
        yield from (f"{name}: too much {row}" for row in sorted(more.elements()))
