"""Reads of the contracts context."""

from datetime import date
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Select, bindparam, select

from shared.domains.contracts import store, tables
from shared.domains.contracts.model import Contract
from shared.events.contracts import ContractStatus
from shared.kernel.errors import NotFound
from shared.kernel.ids import ContractId, CustomerId
from shared.kernel.model import Model
from shared.kernel.work import Work
from shared.platform.unit_of_work import sql

_BY_ID = select(tables.contracts).where(tables.contracts.c.id == bindparam("id"))
_PLANS = select(tables.plans).order_by(tables.plans.c.code)


class ContractView(Model):
    """A contract as portals show it; days are the clinic's."""

    id: ContractId
    customer_id: CustomerId
    plan: str
    next_plan: str | None
    treatment: str
    subscription_id: str
    status: ContractStatus
    starts_on: date
    ends_on: date
    cancels_at_term: bool
    predecessor_id: ContractId | None
    version: int


class ContractPage(Model):
    """Contracts, and the `after` of the next page (None on the last one)."""

    items: list[ContractView]
    next: ContractId | None


class PlanView(Model):
    """A plan as the clinic's admins see it."""

    code: str
    treatment: str
    item_price_id: str
    monthly_item_price_id: str
    term_months: int
    upfront: bool
    active: bool


class PlanList(Model):
    """All plans of a clinic."""

    items: list[PlanView]


def view(contract: Contract) -> ContractView:
    return ContractView.model_validate(contract, from_attributes=True)


def find(contract_id: ContractId, work: Work, owner: CustomerId | None = None) -> ContractView:
    """Raises `NotFound`, also for somebody else's."""
    row = sql(work).execute(_BY_ID, {"id": contract_id}).one_or_none()
    if row is None or (owner is not None and row.customer_id != owner):
        raise NotFound("contract-not-found", "There is no such contract.")
    return ContractView.model_validate(row, from_attributes=True)


def page(owner: CustomerId | None, limit: int, after: UUID | None, work: Work) -> ContractPage:
    """The contracts of one customer, or of the clinic, in the order of their ids."""
    query = _page(owned=owner is not None, resumed=after is not None)
    rows = sql(work).execute(query, {"most": limit + 1, "owner": owner, "after": after})
    found = [ContractView.model_validate(row, from_attributes=True) for row in rows]
    more = len(found) > limit
    return ContractPage(items=found[:limit], next=found[limit - 1].id if more else None)


@cache
def _page(*, owned: bool, resumed: bool) -> Select[Any]:
    rows = tables.contracts
    query = select(rows).order_by(rows.c.id).limit(bindparam("most"))
    if owned:
        query = query.where(rows.c.customer_id == bindparam("owner"))
    if resumed:
        query = query.where(rows.c.id > bindparam("after"))
    return query


def plans(work: Work) -> PlanList:
    rows = sql(work).execute(_PLANS)
    return PlanList(items=[PlanView.model_validate(row, from_attributes=True) for row in rows])


def plan(code: str, work: Work) -> PlanView:
    """Raises `Invalid` for a plan the clinic does not have."""
    return PlanView.model_validate(store.plan(code, work), from_attributes=True)
