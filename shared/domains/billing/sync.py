"""Reading the provider by the clock: every minute what changed, every night to compare.

An object that makes no sense or is nobody's here goes to `billing.strays` with its reason and stops
no other; the cursor passes it. It is looked at again when it changes, and at the weekly comparison.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.domains.billing import commands, model, service, store
from shared.domains.billing.commands import InvoiceReport, Reports, SubscriptionReport
from shared.domains.billing.model import Drift, Resource, Sight
from shared.domains.billing.ports import BillingProvider, HasBilling
from shared.events.billing import BillingDriftFound
from shared.kernel.ids import ClinicId
from shared.kernel.work import Effect, Idle, Work

OVERLAP = timedelta(minutes=5)
"""A change can become visible late, and clocks differ: a reading begins so long before the start of
the last one.
"""

UNDER_WAY = timedelta(minutes=15)
"""What changed so recently may still be on its way here; it is no drift yet."""

LOOK_BACK = timedelta(days=1)
"""A night compares what changed since so long before the night before."""

WHOLE = timedelta(days=6, hours=12)
"""Once that long has passed since everything was compared, a night compares everything."""

_COMPARED, _COMPARED_WHOLE = "comparison", "whole comparison"
_READ = (Resource.CUSTOMER, Resource.SUBSCRIPTION, Resource.INVOICE)
_OWN = (Resource.SUBSCRIPTION, Resource.INVOICE)


def _read(since: Mapping[Resource, datetime | None], provider: BillingProvider) -> Reports:
    """Read all that changed, and why attempts to collect were declined."""
    raws = {resource: provider.changed(resource, since[resource]) for resource in _READ}
    reports = commands.read(raws)
    if any(invoice.failures for invoice in reports.invoices):
        reports = reports.joined(_declines(reports, since[Resource.INVOICE], provider))
    return reports


def _declines(reports: Reports, since: datetime | None, provider: BillingProvider) -> Reports:
    """The failed transactions of the same span, and of invoices those that are older."""
    recent = commands.read({Resource.TRANSACTION: provider.changed(Resource.TRANSACTION, since)})
    older = [
        transaction
        for invoice in reports.invoices
        if any(one.txn_id not in recent.declines for one in invoice.failures)
        for transaction in provider.payments(invoice.id)
    ]
    return recent.joined(commands.read({Resource.TRANSACTION: older}))


# Every minute


@dataclass(frozen=True)
class Span:
    """One reading: when it began, and since when each kind is asked for (None: ever)."""

    started: datetime
    since: Mapping[Resource, datetime | None]


def _prepare_sync(_: None, work: Work) -> Span:
    known = store.cursors(work)
    since = {kind: known[kind] - OVERLAP if kind in known else None for kind in _READ}
    return Span(work.now, since)


def _sync(span: Span, vendors: HasBilling, key: str) -> tuple[Span, Reports]:  # noqa: ARG001
    return span, _read(span.since, vendors.billing)


def _record_sync(outcome: tuple[Span, Reports], _: None, work: Work) -> Idle | None:
    span, reports = outcome
    applied = service.apply(reports, work)
    strays = _keep_strays(applied, reports, work)
    store.move_cursors(_READ, span.started, work)
    return None if applied.newer or strays else Idle()


def _keep_strays(applied: service.Applied, reports: Reports, work: Work) -> int:
    """Keep what has no place; forget what has found one. Answers how many are new."""
    if store.has_strays(work):
        astray = {(stray.resource, stray.vendor_id) for stray in applied.strays}
        read = {
            Resource.CUSTOMER: [str(one.id) for one in reports.customers],
            Resource.SUBSCRIPTION: [one.id for one in reports.subscriptions],
            Resource.INVOICE: [one.id for one in reports.invoices],
        }
        for resource, ids in read.items():
            settled = [one for one in ids if (resource, one) not in astray]
            store.forget_strays(resource, settled, work)
    return store.save_strays(applied.strays, work)


sync = Effect(_prepare_sync, _sync, _record_sync)


# Every night


@dataclass(frozen=True)
class Night:
    """One comparison: of what changed after `since`, or of everything for None."""

    started: datetime
    since: datetime | None


def _prepare_comparison(_: None, work: Work) -> Night:
    """A list of everything grows for ever, so it is asked for by the week. A change that never
    came here is a recent one at the provider: no night misses it.
    """
    known = store.cursors(work)
    last, whole = known.get(_COMPARED), known.get(_COMPARED_WHOLE)
    if last is None or whole is None or work.now - whole > WHOLE:
        return Night(work.now, None)
    return Night(work.now, last - LOOK_BACK)


def _read_night(night: Night, vendors: HasBilling, key: str) -> tuple[Night, Reports]:  # noqa: ARG001
    return night, _read(dict.fromkeys(_READ, night.since), vendors.billing)


def _record_comparison(outcome: tuple[Night, Reports], _: None, work: Work) -> Idle | None:
    """Tell each clinic what differed, and take over what was missing or older here."""
    night, reports = outcome
    where = service.homes(reports, work)
    found = 0
    for clinic in sorted(where.clinics):
        with work.within(clinic):
            drifts = _compare(clinic, where, outcome, work)
            found += _tell(clinic, store.save_drifts(drifts, work), work)
    applied = service.apply(reports, work)
    strays = _keep_strays(applied, reports, work)
    compared = (_COMPARED,) if night.since is not None else (_COMPARED, _COMPARED_WHOLE)
    store.move_cursors(compared, night.started, work)
    return None if found or applied.newer or strays else Idle()


def _compare(
    clinic: ClinicId, where: service.Homes, outcome: tuple[Night, Reports], work: Work
) -> list[Drift]:
    night, reports = outcome
    theirs: dict[Resource, Iterable[Any]] = {
        Resource.SUBSCRIPTION: reports.subscriptions,
        Resource.INVOICE: reports.invoices,
    }
    found: list[Drift] = []
    for resource in _OWN:
        seen = {one.id: sight(one) for one in theirs[resource] if where.of(one) == clinic}
        ours = store.sights(resource, None if night.since is None else seen.keys(), work)
        found += model.compare(resource, ours, seen, night.started - UNDER_WAY)
    return found


def sight(report: SubscriptionReport | InvoiceReport) -> Sight:
    """A report as the comparison sees it; the store says the same of a row."""
    state = report.status.value
    if isinstance(report, InvoiceReport):
        state = f"{state} {report.total} {report.amount_paid} {report.currency_code}"
    return Sight(report.resource_version, state, report.deleted, report.updated_at)


def _tell(clinic: ClinicId, drifts: list[Drift], work: Work) -> int:
    if drifts:
        kinds = [drift.resource for drift in drifts]
        work.emit(
            BillingDriftFound(
                clinic_id=clinic,
                subscriptions=kinds.count(Resource.SUBSCRIPTION),
                invoices=kinds.count(Resource.INVOICE),
            )
        )
    return len(drifts)


comparison = Effect(_prepare_comparison, _read_night, _record_comparison)
