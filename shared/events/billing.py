"""Facts the billing provider reported (topics `invoice-events`, `subscription-events`)."""

from enum import StrEnum

from shared.kernel.event import Event
from shared.kernel.ids import ClinicId, ContractId, CustomerId, InvoiceId, SubscriptionId, WebhookId
from shared.kernel.money import Money


class SubscriptionStatus(StrEnum):
    """Chargebee's names (https://apidocs.chargebee.com/docs/api/subscriptions)."""

    FUTURE = "future"
    IN_TRIAL = "in_trial"
    ACTIVE = "active"
    NON_RENEWING = "non_renewing"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    TRANSFERRED = "transferred"


class InvoiceStatus(StrEnum):
    """Chargebee's names (https://apidocs.chargebee.com/docs/api/invoices)."""

    PAID = "paid"
    POSTED = "posted"
    PAYMENT_DUE = "payment_due"
    NOT_PAID = "not_paid"
    VOIDED = "voided"
    PENDING = "pending"


class Decline(StrEnum):
    """Why a payment failed: soft passes by itself, hard needs the customer."""

    SOFT = "soft"
    HARD = "hard"


class SubscriptionChanged(
    Event,
    type="subscription.changed",
    subject="subscription_id",
):
    """A newer version of a subscription was stored."""

    clinic_id: ClinicId
    subscription_id: SubscriptionId
    customer_id: CustomerId
    contract_id: ContractId | None
    status: SubscriptionStatus
    version: int


class InvoiceFact(Event, subject="invoice_id"):
    """What every fact about an invoice says; never emitted itself."""

    clinic_id: ClinicId
    invoice_id: InvoiceId
    customer_id: CustomerId
    version: int


class InvoiceChanged(InvoiceFact, type="invoice.changed"):
    """A newer version of an invoice was stored."""

    status: InvoiceStatus


class InvoicePaid(InvoiceFact, type="invoice.paid"):
    """An invoice was paid in full. Said once per invoice."""

    amount: Money


class InvoicePaymentFailed(InvoiceFact, type="invoice.payment_failed"):
    """A collection attempt was declined. Said once per attempt (1, 2, ...)."""

    amount: Money
    attempt: int
    decline: Decline


class InvoiceRetryDue(InvoiceFact, type="invoice.retry_due"):
    """The ladder says that now is the time to try again; `attempt` is the one to make."""

    attempt: int


class InvoiceDunningExhausted(InvoiceFact, type="invoice.dunning_exhausted"):
    """The ladder ended without success; nothing more is tried by itself."""

    amount: Money


class PaymentMethodUpdated(
    Event, type="payment_method.updated", subject="customer_id", topic="customer-events"
):
    """A customer of the billing provider pays by another method, or its details changed."""

    clinic_id: ClinicId
    customer_id: CustomerId


class BillingDriftFound(Event, type="billing.drift_found", subject="clinic_id"):
    """The nightly comparison found rows that differ from the provider's."""

    clinic_id: ClinicId
    subscriptions: int
    invoices: int


class ChargebeeWebhookReceived(
    Event, type="chargebee_webhook.received", subject="webhook_id", topic="webhook-events"
):
    """A verified Chargebee webhook was stored raw."""

    webhook_id: WebhookId
