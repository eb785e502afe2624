"""Writes and locks of the contracts context."""

from datetime import date
from typing import Any

from sqlalchemy import bindparam, case, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError

from shared.domains.contracts import tables
from shared.domains.contracts.commands import SavePlan
from shared.domains.contracts.model import OPEN, Contract, Plan
from shared.events.contracts import ContractStatus
from shared.kernel.errors import Conflict, Invalid, NotFound
from shared.kernel.ids import ContractId, CustomerId
from shared.kernel.work import Work
from shared.platform.unit_of_work import clinic_zone as zone
from shared.platform.unit_of_work import clinics, sql

__all__ = ["clinics", "zone"]

_PLAN = [column for column in tables.plans.c if column.name != "clinic_id"]
_CONTRACT = [column for column in tables.contracts.c if column.name != "clinic_id"]
_KNOWN_PLAN = select(*_PLAN).where(tables.plans.c.code == bindparam("code"))
_LOCKED = select(*_CONTRACT).where(tables.contracts.c.id == bindparam("id")).with_for_update()
_SAVE = update(tables.contracts).where(tables.contracts.c.id == bindparam("its_id"))
"""Made once: making a statement takes longer than sending it."""


def read(row: Any) -> Contract:
    values = dict(row._mapping)
    return Contract(**values | {"status": ContractStatus(values["status"])})


def _row(contract: Contract) -> dict[str, Any]:
    return {column.name: getattr(contract, column.name) for column in _CONTRACT}


def plan(code: str, work: Work) -> Plan:
    """Raises `Invalid` for a plan the clinic does not have."""
    found = known_plan(code, work)
    if found is None:
        raise Invalid("unknown-plan", "The clinic has no such plan.")
    return found


def known_plan(code: str, work: Work) -> Plan | None:
    row = sql(work).execute(_KNOWN_PLAN, {"code": code}).one_or_none()
    return Plan(**row._mapping) if row else None


def is_in_use(plan: str, work: Work) -> bool:
    """Whether an open contract has this plan, now or with its next term."""
    rows = tables.contracts.c
    holds = ((rows.plan == plan) | (rows.next_plan == plan)) & rows.status.in_(OPEN)
    return sql(work).execute(select(rows.id).where(holds).limit(1)).first() is not None


def is_held(subscription_id: str, work: Work) -> bool:
    """Whether an open contract runs on this subscription."""
    rows = tables.contracts.c
    holds = (rows.subscription_id == subscription_id) & rows.status.in_(OPEN)
    return sql(work).execute(select(rows.id).where(holds).limit(1)).first() is not None


def save_plan(code: str, command: SavePlan, work: Work) -> Plan:
    values = command.model_dump()
    statement = upsert(tables.plans).values(clinic_id=work.clinic_id, code=code, **values)
    sql(work).execute(
        statement.on_conflict_do_update(index_elements=["clinic_id", "code"], set_=values)
    )
    return plan(code, work)


def add(contract: Contract, work: Work) -> None:
    """Raises `Conflict` when the treatment or the subscription has an open contract."""
    values = {"clinic_id": work.clinic_id} | _row(contract)
    try:
        sql(work).execute(insert(tables.contracts), values)
    except IntegrityError as error:
        if "open_subscription" in str(error.orig):
            detail = "The subscription belongs to an open contract already."
            raise Conflict("subscription-taken", detail) from None
        detail = "There is an open contract for this treatment already."
        raise Conflict("contract-exists", detail) from None


def save(contract: Contract, work: Work) -> None:
    sql(work).execute(_SAVE, {"its_id": contract.id, **_row(contract)})


def lock(contract_id: ContractId, work: Work, owner: CustomerId | None = None) -> Contract:
    """The contract, locked until the transaction ends; of `owner`, if one is named.

    Raises `NotFound`, also for somebody else's.
    """
    row = sql(work).execute(_LOCKED, {"id": contract_id}).one_or_none()
    if row is None or (owner is not None and row.customer_id != owner):
        raise NotFound("contract-not-found", "There is no such contract.")
    return read(row)


def overdue(today: date, work: Work, most: int = 500) -> list[tuple[ContractId, ContractStatus]]:
    """Running contracts that end tomorrow or earlier, and those that should have started."""
    rows = tables.contracts.c
    ending = (rows.status == ContractStatus.ACTIVE) & (rows.ends_on - 1 <= today)
    starting = (rows.status == ContractStatus.FUTURE) & (rows.starts_on <= today) & rows.linked
    query = select(rows.id, rows.status).where(ending | starting).order_by(rows.ends_on)
    return [(row.id, ContractStatus(row.status)) for row in sql(work).execute(query.limit(most))]


def next_due(today: date, work: Work) -> date | None:
    """The first day after `today` on which a contract begins or is to be renewed."""
    rows = tables.contracts.c
    ending = (rows.status == ContractStatus.ACTIVE) & (rows.ends_on - 1 > today)
    starting = (rows.status == ContractStatus.FUTURE) & (rows.starts_on > today) & rows.linked
    day = case((starting, rows.starts_on), else_=rows.ends_on - 1)
    found: date | None = sql(work).execute(select(func.min(day)).where(ending | starting)).scalar()
    return found
