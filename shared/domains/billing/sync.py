"""Reading the provider by the clock: every minute what changed, every night to compare.

An object that makes no sense or is nobody's here goes to `billing.strays` with its reason and stops
no other; the cursor passes it. It is looked at again when it changes, and at the weekly comparison.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domains.billing import commands, effects, model, service, store
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
    return effects.explained(commands.read(raws), provider)


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
    read_any = reports.customers or reports.subscriptions or reports.invoices
    if read_any and store.has_strays(work):
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
    theirs = _by_clinic(reports, where)
    stored = {}
    found = 0
    for clinic in sorted(theirs.keys() | (where.clinics if night.since is None else set())):
        seen = theirs[clinic]
        with work.within(clinic):
            ours = stored[clinic] = store.sights(None if night.since is None else seen, work)
            drifts = [
                drift
                for resource in _OWN
                for drift in model.compare(
                    resource, ours[resource], seen[resource], night.started - UNDER_WAY
                )
            ]
            found += _tell(clinic, store.save_drifts(drifts, work), work)
    applied = service.apply(reports, work, where=where, stored=stored)
    strays = _keep_strays(applied, reports, work)
    compared = (_COMPARED,) if night.since is not None else (_COMPARED, _COMPARED_WHOLE)
    store.move_cursors(compared, night.started, work)
    return None if found or applied.newer or strays else Idle()


def _by_clinic(
    reports: Reports, where: service.Homes
) -> Mapping[ClinicId, dict[Resource, dict[str, Sight]]]:
    """What the provider has, by the clinic it belongs to."""
    found: dict[ClinicId, dict[Resource, dict[str, Sight]]]
    found = defaultdict(lambda: {resource: {} for resource in _OWN})
    listed: tuple[tuple[Resource, Sequence[SubscriptionReport | InvoiceReport]], ...] = (
        (Resource.SUBSCRIPTION, reports.subscriptions),
        (Resource.INVOICE, reports.invoices),
    )
    for resource, theirs in listed:
        for one in theirs:
            clinic = where.of(one)
            if clinic is not None:
                found[clinic][resource][one.id] = sight(one)
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
