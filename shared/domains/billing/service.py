"""Use cases of the billing context: taking over what the provider reports, and the retry ladder."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from shared.domains.billing import model, store
from shared.domains.billing.commands import (
    CustomerReport,
    InvoiceReport,
    Payment,
    Reports,
    Stray,
    SubscriptionReport,
)
from shared.domains.billing.model import RETRY, Dunning, Invoice, Plan, Resource
from shared.events.billing import (
    Decline,
    InvoiceChanged,
    InvoiceDunningExhausted,
    InvoiceFact,
    InvoicePaid,
    InvoicePaymentFailed,
    InvoiceRetryDue,
    InvoiceStatus,
    PaymentMethodUpdated,
    SubscriptionChanged,
)
from shared.kernel.ids import ClinicId, CustomerId, InvoiceId, SubscriptionId
from shared.kernel.money import Money
from shared.kernel.work import Timer, Work

Report = TypeVar("Report", SubscriptionReport, InvoiceReport)


def subscription_id(vendor_id: str, clinic_id: ClinicId) -> SubscriptionId:
    """Our id of a provider's subscription; it follows from theirs, whichever report comes first."""
    return SubscriptionId.derive(clinic_id, vendor_id)


def invoice_id(vendor_id: str, clinic_id: ClinicId) -> InvoiceId:
    """Our id of a provider's invoice."""
    return InvoiceId.derive(clinic_id, vendor_id)


# Taking over one object, in its clinic


def apply_customer(report: CustomerReport, work: Work, *, new_method: bool = False) -> None:
    """Store whose customer it is; says so when there is another payment method."""
    if store.save_account(report, work.clinic_id, work) or new_method:
        work.emit(PaymentMethodUpdated(clinic_id=work.clinic_id, customer_id=report.id))


def apply_subscription(report: SubscriptionReport, work: Work) -> bool:
    """Store a subscription unless the row is as new; answers whether it was newer."""
    row_id = subscription_id(report.id, work.clinic_id)
    version = store.save_subscription(row_id, report, work)
    if version is None:
        return False
    work.emit(
        SubscriptionChanged(
            clinic_id=work.clinic_id,
            subscription_id=row_id,
            customer_id=report.customer_id,
            contract_id=report.cf_contract_id,
            status=report.status,
            version=version,
        )
    )
    return True


def apply_invoice(report: InvoiceReport, declines: dict[str, Decline], work: Work) -> bool:
    """Store an invoice unless the row is as new, and tell what was not told before.

    Every declined attempt is told once, also one that a later report brings along; so are a payment
    in full, and that the provider itself has given up. `declines` are by transaction id: one whose
    transaction the provider does not have any more counts as soft.
    """
    row_id = invoice_id(report.id, work.clinic_id)
    owner = report.subscription_id
    parent = subscription_id(owner, work.clinic_id) if owner else None
    reasons = [declines.get(failed.txn_id, Decline.SOFT) for failed in report.failures]
    latest = declines.get(report.failures[-1].txn_id) if reasons else None
    saved = store.save_invoice(row_id, parent, report, latest, work)
    if saved is None:
        return False
    for fact in _facts(row_id, report, reasons, saved, work.clinic_id):
        work.emit(fact)
    if reasons and not report.collectible:
        work.cancel(RETRY, row_id)
    return True


def _facts(
    row_id: InvoiceId,
    report: InvoiceReport,
    reasons: list[Decline],
    saved: store.Saved,
    clinic_id: ClinicId,
) -> Iterator[InvoiceFact]:
    """What a newer version of an invoice says that was not said before."""
    of: dict[str, Any] = {
        "clinic_id": clinic_id,
        "invoice_id": row_id,
        "customer_id": report.customer_id,
        "version": saved.version,
    }
    due = Money(amount=report.amount_due, currency=report.currency_code)
    yield InvoiceChanged(**of, status=report.status)
    for attempt, (failed, decline) in enumerate(zip(report.failures, reasons, strict=True), 1):
        if attempt > saved.attempts_before:
            tried = _tried(failed, due)
            yield InvoicePaymentFailed(**of, amount=tried, attempt=attempt, decline=decline)
    if report.status is InvoiceStatus.PAID and not saved.paid_told_before:
        paid = Money(amount=report.amount_paid, currency=report.currency_code)
        yield InvoicePaid(**of, amount=paid)
    if report.dunning_status is Dunning.EXHAUSTED and not saved.exhausted_before:
        yield InvoiceDunningExhausted(**of, amount=due)


def _tried(failed: Payment, due: Money) -> Money:
    """What an attempt was to collect: of a report that comes late, less may be due by now."""
    amount = due.amount if failed.txn_amount is None else failed.txn_amount
    return Money(amount=amount, currency=due.currency)


# Taking over many, each in its clinic


@dataclass
class Applied:
    """What became of a batch: how many objects were newer, and which have no place here."""

    newer: int = 0
    strays: list[Stray] = field(default_factory=list)


@dataclass(frozen=True)
class Homes:
    """Which clinic each object of a batch belongs to; `accounts` are the customers stored."""

    clinics: frozenset[ClinicId]
    customers: dict[CustomerId, ClinicId]
    accounts: dict[CustomerId, store.Account]

    def of(self, report: CustomerReport | SubscriptionReport | InvoiceReport) -> ClinicId | None:
        if isinstance(report, InvoiceReport):
            return self.customers.get(report.customer_id)
        return report.cf_clinic_id if report.cf_clinic_id in self.clinics else None


def homes(reports: Reports, work: Work) -> Homes:
    """Customers carry `cf_clinic_id`, subscriptions too; an invoice goes by its customer."""
    named = {invoice.customer_id for invoice in reports.invoices}
    named.update(customer.id for customer in reports.customers)
    clinics, accounts = store.places(named, work)
    known = {customer_id: account.clinic_id for customer_id, account in accounts.items()}
    for one in reports.subscriptions:
        if one.cf_clinic_id in clinics and one.cf_clinic_id:
            known.setdefault(one.customer_id, one.cf_clinic_id)
    for customer in reports.customers:
        if customer.cf_clinic_id in clinics and customer.cf_clinic_id:
            known[customer.id] = customer.cf_clinic_id
    return Homes(clinics, known, accounts)


def apply(
    reports: Reports,
    work: Work,
    *,
    where: Homes | None = None,
    stored: Mapping[ClinicId, store.Sights] | None = None,
    new_method: bool = False,
) -> Applied:
    """Take over what is newer. Rows are locked by kind, clinic and id, so that no two batches wait
    for each other in a circle; what is nobody's is answered and stops no other. `where` and
    `stored` are what the caller has looked up of the batch in this transaction.
    """
    applied = Applied(strays=list(reports.strays))
    if not (reports.customers or reports.subscriptions or reports.invoices):
        return applied
    where = where or homes(reports, work)
    fresh = reports.customers if new_method else _fresh(reports.customers, where)
    for clinic, customers in _by_clinic(fresh, where, Resource.CUSTOMER, applied):
        with work.within(clinic):
            for customer in customers:
                apply_customer(customer, work, new_method=new_method)
    subscriptions = _by_clinic(reports.subscriptions, where, Resource.SUBSCRIPTION, applied)
    invoices = _by_clinic(reports.invoices, where, Resource.INVOICE, applied)
    if stored is None:
        stored = _stored(dict(subscriptions), dict(invoices), work)
    for clinic, newer in _newer(Resource.SUBSCRIPTION, subscriptions, stored):
        with work.within(clinic):
            for one in newer:
                applied.newer += apply_subscription(one, work)
    for clinic, latest in _newer(Resource.INVOICE, invoices, stored):
        with work.within(clinic):
            for invoice in latest:
                applied.newer += apply_invoice(invoice, reports.declines, work)
    return applied


AnyReport = TypeVar("AnyReport", CustomerReport, SubscriptionReport, InvoiceReport)


def _by_clinic(
    reports: Iterable[AnyReport], where: Homes, resource: Resource, applied: Applied
) -> list[tuple[ClinicId, list[AnyReport]]]:
    grouped: dict[ClinicId, list[AnyReport]] = defaultdict(list)
    for report in sorted(reports, key=lambda one: (str(one.id), one.resource_version)):
        clinic = where.of(report)
        if clinic is None:
            reason = _homeless(report)
            applied.strays.append(Stray(resource=resource, vendor_id=str(report.id), reason=reason))
        else:
            grouped[clinic].append(report)
    return sorted(grouped.items())


def _homeless(report: CustomerReport | SubscriptionReport | InvoiceReport) -> str:
    if isinstance(report, InvoiceReport):
        return "its customer belongs to no clinic known here"
    return "cf_clinic_id names no clinic known here" if report.cf_clinic_id else "no cf_clinic_id"


def _fresh(reports: Iterable[CustomerReport], where: Homes) -> list[CustomerReport]:
    known = where.accounts
    return [
        one
        for one in reports
        if one.id not in known or one.resource_version > known[one.id].resource_version
    ]


def _stored(
    subscriptions: Mapping[ClinicId, list[SubscriptionReport]],
    invoices: Mapping[ClinicId, list[InvoiceReport]],
    work: Work,
) -> dict[ClinicId, store.Sights]:
    found = {}
    for clinic in sorted(subscriptions.keys() | invoices.keys()):
        ids = {
            Resource.SUBSCRIPTION: [one.id for one in subscriptions.get(clinic, ())],
            Resource.INVOICE: [one.id for one in invoices.get(clinic, ())],
        }
        with work.within(clinic):
            found[clinic] = store.sights(ids, work)
    return found


def _newer(
    resource: Resource,
    owned: list[tuple[ClinicId, list[Report]]],
    stored: Mapping[ClinicId, store.Sights],
) -> Iterator[tuple[ClinicId, list[Report]]]:
    """Leave out what is stored already, so that reading a span twice locks nothing."""
    for clinic, reports in owned:
        ours = stored[clinic][resource]
        newer = [
            one
            for one in reports
            if one.id not in ours or one.resource_version > ours[one.id].resource_version
        ]
        if newer:
            yield clinic, newer


# Collecting what was declined


def plan_retry(event: InvoicePaymentFailed, work: Work) -> None:
    """Set the timer of the next attempt, or end the ladder. An attempt that is not the latest any
    more, and an invoice that is settled meanwhile, leave everything as it is.
    """
    invoice = store.invoice(event.invoice_id, work, lock=True)
    if invoice is not None and invoice.collectible and invoice.attempts == event.attempt:
        _follow(model.after_decline(invoice, work.now), work)


def retry_declined(event: PaymentMethodUpdated, work: Work) -> None:
    """Try what was declined for good at once, a single time: the payment method is another."""
    for invoice in store.declined_for_good(event.customer_id, work):
        plan = model.after_new_method(invoice, work.now)
        if plan is not None:
            _follow(plan, work)


def retry(timer: Timer, work: Work) -> None:
    """The time has come; an invoice that was settled meanwhile is left alone."""
    invoice = store.invoice(InvoiceId(int=timer.subject.int), work)
    if invoice is None or not invoice.collectible:
        return
    work.emit(
        InvoiceRetryDue(
            clinic_id=work.clinic_id,
            invoice_id=invoice.id,
            customer_id=invoice.customer_id,
            version=invoice.version,
            attempt=invoice.attempts + 1,
        )
    )


def take_answer(reports: Reports, event: InvoiceRetryDue, work: Work) -> None:
    """Take over what the provider made of a retry. Without an attempt there is no decline that
    would plan the next one, so it is planned here.
    """
    apply(reports, work)
    invoice = store.invoice(event.invoice_id, work, lock=True)
    if invoice is not None and invoice.collectible and invoice.attempts < event.attempt:
        _follow(model.after_no_attempt(invoice, work.now), work)


def _follow(plan: Plan, work: Work) -> None:
    invoice: Invoice = plan.invoice
    version = store.save_plan(invoice, work)
    if plan.retry_at is not None:
        work.schedule(RETRY, invoice.id, plan.retry_at)
        return
    work.cancel(RETRY, invoice.id)
    work.emit(
        InvoiceDunningExhausted(
            clinic_id=work.clinic_id,
            invoice_id=invoice.id,
            customer_id=invoice.customer_id,
            version=version,
            amount=invoice.due,
        )
    )
