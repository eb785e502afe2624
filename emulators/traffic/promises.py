"""What acknowledged writes promised, looked for in Postgres.

A write without an answer may have happened or not: the value it would have left is as good as the
last acknowledged one. States that time and vendors move on are compared as of their version.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import pg8000.native

from emulators.demo.stage import connect
from emulators.traffic.ledger import Sent

_KEPT = timedelta(days=29)
"""Sent events are cleaned up after 30 days (`OUTBOX_DAYS`)."""
Claims = dict[str, list[Any]]


class Held:
    """The rows that were promised about, by their keys as texts."""

    def __init__(self, database: pg8000.native.Connection) -> None:
        self._database = database
        self.customers = self._by("SELECT * FROM customers.customers", "clinic_id", "email")
        self.contracts = self._by("SELECT * FROM contracts.contracts", "id")
        self.plans = self._by("SELECT * FROM contracts.plans", "clinic_id", "code")
        self.clinics = self._by("SELECT * FROM platform.clinics", "id")
        self.preferences = self._by(
            "SELECT p.*, c.email FROM notifications.preferences p JOIN customers.customers c "
            "ON (c.clinic_id, c.id) = (p.clinic_id, p.customer_id)",
            *("clinic_id", "email", "topic", "channel"),
        )
        self.told = self._by(
            "SELECT payload::jsonb->>'contract_id' AS id, payload::jsonb->>'version' AS version "
            "FROM platform.outbox WHERE topic = 'contract-events'",
            *("id", "version"),
        )

    def _by(self, query: str, *key: str) -> dict[tuple[str, ...], dict[str, Any]]:
        rows = self._database.run(query) or []
        names = [column["name"] for column in self._database.columns or []]
        found = (dict(zip(names, row, strict=True)) for row in rows)
        return {tuple(str(row[name]) for name in key): row for row in found}


def missing(ledger: Iterable[Sent], database_url: str, now: datetime) -> list[str]:
    """What is not there or not as acknowledged, one line for each promise."""
    writes = [sent for sent in ledger if sent.request.writes]
    with closing(connect(database_url)) as database:
        held = Held(database)
    return [
        *_contracts(writes, held, now - _KEPT),
        *_fields(writes, held),
    ]


def _contracts(writes: list[Sent], held: Held, kept_since: datetime) -> Iterator[str]:
    for sent in writes:
        if not (sent.acknowledged and sent.route.startswith("contract_")):
            continue
        promised, what = sent.answer, f"{sent.route} of contract {sent.answer['id']}"
        row = held.contracts.get((promised["id"],))
        if row is None:
            yield f"{what}: there is no such contract"
            continue
        if row["version"] < promised["version"]:
            yield f"{what}: version {row['version']}, promised {promised['version']}"
        if row["version"] == promised["version"]:
            yield from _differences(what, promised, row)
        key = (promised["id"], str(promised["version"]))
        if sent.at > kept_since and key not in held.told:
            yield f"{what}: no event of version {promised['version']}"


def _differences(what: str, promised: dict[str, Any], row: dict[str, Any]) -> Iterator[str]:
    for name, value in promised.items():
        if _plain(row[name]) != value:
            yield f"{what}: {name} is {row[name]}, promised {value}"


def _text(value: Any) -> Any:
    return value if isinstance(value, (bool, int)) else str(value)


def _plain(value: Any) -> Any:
    """A column's value as JSON has it."""
    return value if value is None or isinstance(value, (bool, int)) else str(value)


def _fields(writes: list[Sent], held: Held) -> Iterator[str]:
    """Rows that only their own calls change."""
    for (table, *key), claims in _claims(writes).items():
        row = getattr(held, table).get(tuple(key))
        what = f"{table} {' '.join(key)}"
        if row is None:
            yield f"{what}: not there"
            continue
        for name, allowed in claims.items():
            if row[name] not in allowed:
                yield f"{what}: {name} is {row[name]!r}, promised one of {allowed}"


def _claims(writes: list[Sent]) -> dict[tuple[str, ...], Claims]:
    """By table and key, the values that a field may have; only where one was acknowledged."""
    sure: dict[tuple[str, ...], dict[str, Any]] = defaultdict(dict)
    perhaps: dict[tuple[str, ...], Claims] = defaultdict(lambda: defaultdict(list))
    for sent in writes:
        said = _said(sent)
        if said is not None and sent.acknowledged:
            sure[said[0]] |= said[1]
        elif said is not None and sent.unknown:
            for name, value in said[1].items():
                perhaps[said[0]][name].append(value)
    return {
        subject: {name: [value, *perhaps[subject][name]] for name, value in fields.items()}
        for subject, fields in sure.items()
    }


def _said(sent: Sent) -> tuple[tuple[str, ...], dict[str, Any]] | None:
    """The table and key of the row, and the fields that the call gave it."""
    call = sent.request
    match sent.route:
        case "customer_register" | "customer_update":
            return ("customers", call.clinic_id, call.email), call.body
        case "preferences_set":
            (chosen,) = call.body["preferences"]
            key = ("preferences", call.clinic_id, call.email, chosen["topic"], chosen["channel"])
            return key, {"wanted": chosen["wanted"]}
        case "plan_save":
            return ("plans", call.clinic_id, call.path.rpartition("/")[2]), call.body
        case "clinic_save":
            return ("clinics", call.clinic_id), call.body
        case _:
            return None
