"""Where vendors are spoken with: webhooks completed, retries and ends told, payments tracked."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.domains.billing import commands, service, store
from shared.domains.billing.commands import InvoiceReport, Reports
from shared.domains.billing.model import Resource, collectible
from shared.domains.billing.ports import BillingProvider, HasBilling, HasMarketing
from shared.events.billing import (
    ChargebeeWebhookReceived,
    InvoiceDunningExhausted,
    InvoicePaid,
    InvoicePaymentFailed,
    InvoiceRetryDue,
    InvoiceStatus,
)
from shared.kernel.errors import Invalid, NotFound, OutcomeUnknown, VendorUnavailable
from shared.kernel.ids import CustomerId
from shared.kernel.work import Effect, Work

# Webhooks


@dataclass(frozen=True)
class Incomplete:
    """What a webhook said, and what it left out: whose an invoice is, why attempts failed."""

    reports: Reports
    customers: frozenset[CustomerId]
    transactions: frozenset[str]


def _take_webhook(event: ChargebeeWebhookReceived, work: Work) -> Incomplete | None:
    """Take a webhook over at once, unless the provider must be asked for more."""
    body = store.webhook_body(event.webhook_id, work)
    if body is None:
        raise NotFound("webhook-pruned", "The webhook is not kept any more.")
    notice = commands.read_notice(body)
    reports = commands.read(notice.raws)
    where = service.homes(reports, work)
    customers, transactions = _gaps(reports, where, work)
    if customers or transactions:
        return Incomplete(reports, customers, transactions)
    _take_over(reports, work, where=where, new_method=notice.new_method)
    return None


def _gaps(
    reports: Reports, where: service.Homes, work: Work
) -> tuple[frozenset[CustomerId], frozenset[str]]:
    homeless = {one.customer_id for one in reports.invoices if where.of(one) is None}
    missing = reports.unexplained
    untold = [_untold(one, missing, where, work) for one in reports.invoices if missing]
    return frozenset(homeless), frozenset().union(*untold)


def _untold(
    invoice: InvoiceReport, missing: frozenset[str], where: service.Homes, work: Work
) -> frozenset[str]:
    """Of the declined attempts whose reason is missing, those of the invoice that are new here."""
    failed = [one.txn_id for one in invoice.failures]
    clinic = where.of(invoice)
    if clinic is None or missing.isdisjoint(failed):
        return missing.intersection(failed)
    with work.within(clinic):
        known = store.attempts(invoice.id, work)
    return missing.intersection(failed[known:])


def _complete(request: Incomplete, vendors: HasBilling, key: str) -> Reports:  # noqa: ARG001
    provider = vendors.billing
    customers = [provider.retrieve(Resource.CUSTOMER, str(one)) for one in request.customers]
    transactions = provider.transactions(sorted(request.transactions))
    return request.reports.joined(
        commands.read(
            {
                Resource.CUSTOMER: [raw for raw in customers if raw is not None],
                Resource.TRANSACTION: transactions,
            }
        )
    )


def _take_over(
    reports: Reports,
    work: Work,
    *,
    where: service.Homes | None = None,
    new_method: bool = False,
) -> None:
    """Raises `Invalid` for an object that makes no sense or is nobody's: the webhook is parked."""
    strays = service.apply(reports, work, where=where, new_method=new_method).strays
    if strays:
        said = "; ".join(f"{one.named}: {one.reason}" for one in strays)
        raise Invalid("webhook-not-ours", f"Nothing was taken over. {said}.")


def _record_webhook(reports: Reports, event: ChargebeeWebhookReceived, work: Work) -> None:  # noqa: ARG001
    _take_over(reports, work)


webhook = Effect(_take_webhook, _complete, _record_webhook)
"""Calling again is safe: it only asks."""


# Retries, and the end of them


@dataclass(frozen=True)
class Collection:
    """Collect this invoice; `declined` attempts were made before."""

    vendor_id: str
    declined: int


def _prepare_collection(event: InvoiceRetryDue, work: Work) -> Collection | None:
    """None when it was settled meanwhile, or when this attempt was made already."""
    invoice = store.invoice(event.invoice_id, work)
    if invoice is None or not invoice.collectible or invoice.attempts + 1 != event.attempt:
        return None
    return Collection(invoice.vendor_id, invoice.attempts)


def explained(reports: Reports, provider: BillingProvider) -> Reports:
    """With the reasons of all declined attempts."""
    raws = provider.transactions(sorted(reports.unexplained))
    return reports.joined(commands.read({Resource.TRANSACTION: raws}))


def as_it_is(invoice_id: str, provider: BillingProvider) -> Reports:
    """An invoice, its declined attempts explained, as the provider has it now."""
    raw = provider.retrieve(Resource.INVOICE, invoice_id)
    return explained(commands.read({Resource.INVOICE: [] if raw is None else [raw]}), provider)


def _after(invoice_id: str, provider: BillingProvider) -> Reports:
    """The same, once something was told: a failure to read it must not look as if nothing was."""
    try:
        return as_it_is(invoice_id, provider)
    except VendorUnavailable as error:
        raise OutcomeUnknown(error.vendor, error.reason) from error


def _collect(request: Collection, vendors: HasBilling, key: str) -> Reports:
    vendors.billing.collect(request.vendor_id, key)
    return _after(request.vendor_id, vendors.billing)


def _find_collection(request: Collection, vendors: HasBilling, _: datetime) -> Reports | None:
    """What the invoice says of an attempt whose answer was lost; None when it was not made."""
    found = as_it_is(request.vendor_id, vendors.billing)
    made = [
        invoice
        for invoice in found.invoices
        if len(invoice.failures) > request.declined or invoice.status is InvoiceStatus.PAID
    ]
    return found if made else None


def _prepare_end(event: InvoiceDunningExhausted, work: Work) -> str | None:
    invoice = store.invoice(event.invoice_id, work)
    unpaid = invoice is not None and collectible(invoice.status, invoice.dunning, invoice.deleted)
    return invoice.vendor_id if invoice is not None and unpaid else None


def _end(invoice_id: str, vendors: HasBilling, key: str) -> Reports:
    vendors.billing.stop_dunning(invoice_id, key)
    return _after(invoice_id, vendors.billing)


def _record(reports: Reports, event: Any, work: Work) -> None:  # noqa: ARG001
    service.apply(reports, work)


collection = Effect(_prepare_collection, _collect, service.take_answer, _find_collection)
end_of_dunning = Effect(_prepare_end, _end, _record)
"""Stopping what is stopped changes nothing, so calling again is safe."""


# Marketing


def _prepare_tracking(event: InvoicePaid, work: Work) -> InvoicePaid:  # noqa: ARG001
    return event


def _track(event: InvoicePaid, vendors: HasMarketing, key: str) -> None:
    data: dict[str, str | int] = {
        "invoice_id": str(event.invoice_id),
        "amount": event.amount.amount,
        "currency": event.amount.currency,
    }
    vendors.marketing.track(str(event.customer_id), "payment_succeeded", key, data)


def _prepare_recovery(event: InvoicePaymentFailed, work: Work) -> InvoicePaymentFailed | None:
    """Only the first decline of an invoice that is still open: nobody is recovered twice."""
    invoice = store.invoice(event.invoice_id, work)
    wanted = event.attempt == 1 and invoice is not None and invoice.collectible
    return event if wanted else None


def _recover(event: InvoicePaymentFailed, vendors: HasMarketing, key: str) -> None:
    vendors.marketing.start_workflow(str(event.customer_id), "payment_recovery", key)


def _nothing(outcome: None, event: Any, work: Work) -> None:
    """The platform keeps what it was told."""


tracking = Effect(_prepare_tracking, _track, _nothing)
recovery = Effect(_prepare_recovery, _recover, _nothing)
