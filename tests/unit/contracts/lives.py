"""Contracts and plans to try the rules on."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from shared.domains.contracts import model
from shared.domains.contracts.model import Contract, Plan
from shared.kernel.ids import ContractId, CustomerId

BERLIN = ZoneInfo("Europe/Berlin")
START = date(2026, 3, 10)


def plan(code: str = "monthly", **changes: Any) -> Plan:
    values: dict[str, Any] = {
        "treatment": "hair-loss",
        "item_price_id": f"hair-loss-{code}-EUR",
        "monthly_item_price_id": "hair-loss-monthly-EUR",
        "term_months": 6,
        "upfront": False,
        "active": True,
    }
    return Plan(code=code, **values | changes)


def noon(day: date, zone: ZoneInfo = BERLIN) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=zone).astimezone(UTC)


def requested(starts_on: date = START, of: Plan | None = None, zone: ZoneInfo = BERLIN) -> Contract:
    """A contract asked for at noon of its first day."""
    made = of or plan()
    ids = ContractId.new(), CustomerId.new()
    return model.request(*ids, made, "sub-1", starts_on, noon(starts_on, zone), zone)


def active(starts_on: date = START, of: Plan | None = None, zone: ZoneInfo = BERLIN) -> Contract:
    """One that has begun."""
    at = noon(starts_on, zone)
    begun = model.activate(model.link(requested(starts_on, of, zone), at), at, zone)
    assert begun is not None
    return begun


def after(days: int, since: date = START) -> datetime:
    """Noon in Berlin, so many days later."""
    return noon(since + timedelta(days=days))
