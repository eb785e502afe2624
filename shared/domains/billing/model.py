"""Decisions about invoices: what can still be collected, when, and what differs from the provider.

Retries follow the customer's bank: a soft decline (no money today) passes by itself, a hard one
(stolen, expired) needs the customer, and networks charge for repeating it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from shared.events.billing import Decline, InvoiceStatus
from shared.kernel.ids import CustomerId, InvoiceId
from shared.kernel.money import Money

RawObject = Mapping[str, Any]
"""An object as the provider writes it; instants are epoch seconds in UTC."""

RETRY = "invoice.retry"
"""The kind of the timer that tries an invoice again."""

SOFT_LADDER = tuple(timedelta(days=days) for days in (1, 3, 5, 7))
"""How long after the first, second, third, fourth declined attempt a soft one is tried again."""

SAFETY = timedelta(days=7)
"""A hard decline is tried once more after this, in case the bank was wrong."""

NO_ATTEMPT = timedelta(days=1)
PATIENCE = timedelta(days=30)

_HARD = frozenset(
    {
        "card_declined",
        "card_not_supported",
        "currency_not_supported",
        "expired_card",
        "fraudulent",
        "incorrect_number",
        "invalid_account",
        "invalid_card",
        "invalid_number",
        "lost_card",
        "payment_method_not_present",
        "pickup_card",
        "restricted_card",
        "revocation_of_authorization",
        "stolen_card",
    }
)


class Resource(StrEnum):
    """The provider's objects that are read."""

    CUSTOMER = "customer"
    SUBSCRIPTION = "subscription"
    INVOICE = "invoice"
    TRANSACTION = "transaction"


class Dunning(StrEnum):
    """Chargebee's names (https://apidocs.chargebee.com/docs/api/invoices#invoice_dunning_status)."""

    IN_PROGRESS = "in_progress"
    EXHAUSTED = "exhausted"
    STOPPED = "stopped"
    SUCCESS = "success"


class DriftKind(StrEnum):
    """How a row differs from the provider's object."""

    MISSING_HERE = "missing_here"
    MISSING_THERE = "missing_there"
    DIFFERING = "differing"


def decline_of(error_code: str | None) -> Decline:
    """What a failed transaction's `error_code` means. An unknown code is soft: it may pass.

    Source: https://www.chargebee.com/docs/payments/2.0/kb/billing/hard-and-soft-declines
    """
    return Decline.HARD if error_code in _HARD else Decline.SOFT


def collectible(status: InvoiceStatus, dunning: Dunning | None, deleted: bool) -> bool:
    """Whether money is still owed and the provider has not given up."""
    owed = status in (InvoiceStatus.POSTED, InvoiceStatus.PAYMENT_DUE, InvoiceStatus.NOT_PAID)
    given_up = dunning in (Dunning.STOPPED, Dunning.EXHAUSTED)
    return owed and not given_up and not deleted


@dataclass(frozen=True)
class Invoice:
    """An invoice as it stands here. `attempts` counts declined collections.

    `safety_retry` says that the one retry a hard decline gets by itself is planned or made,
    `method_retry` the same of the one that follows another payment method.
    """

    id: InvoiceId
    vendor_id: str
    customer_id: CustomerId
    status: InvoiceStatus
    dunning: Dunning | None
    deleted: bool
    due: Money
    attempts: int
    decline: Decline | None
    failed_at: datetime | None
    safety_retry: bool
    method_retry: bool
    exhausted_at: datetime | None
    version: int

    @property
    def collectible(self) -> bool:
        """Whether it may still be collected: owed, and the ladder has not ended."""
        owed = collectible(self.status, self.dunning, self.deleted)
        return owed and self.exhausted_at is None


@dataclass(frozen=True)
class Plan:
    """The invoice as planned, and when to collect it next; None when the ladder is over."""

    invoice: Invoice
    retry_at: datetime | None


def after_decline(invoice: Invoice, now: datetime) -> Plan:
    """What follows the latest declined attempt."""
    failed_at = invoice.failed_at or now
    if invoice.decline is Decline.HARD:
        if invoice.safety_retry:
            return _over(invoice, now)
        return Plan(replace(invoice, safety_retry=True), failed_at + SAFETY)
    if invoice.attempts > len(SOFT_LADDER):
        return _over(invoice, now)
    return Plan(invoice, failed_at + SOFT_LADDER[invoice.attempts - 1])


def after_new_method(invoice: Invoice, now: datetime) -> Plan | None:
    """Another payment method: an invoice declined for good is tried at once, a single time.

    It takes the place of the safety retry that was planned, which may be planned again. None when
    nothing changes.
    """
    wanted = invoice.decline is Decline.HARD and invoice.collectible and not invoice.method_retry
    return Plan(replace(invoice, method_retry=True, safety_retry=False), now) if wanted else None


def after_no_attempt(invoice: Invoice, now: datetime) -> Plan:
    """The provider collected nothing though asked to: try daily, but not for ever."""
    failed_at = invoice.failed_at or now
    return _over(invoice, now) if now - failed_at > PATIENCE else Plan(invoice, now + NO_ATTEMPT)


def _over(invoice: Invoice, now: datetime) -> Plan:
    return Plan(replace(invoice, exhausted_at=now), None)


@dataclass(frozen=True)
class Sight:
    """What the nightly comparison looks at in a row or in the provider's object."""

    resource_version: int
    state: str
    deleted: bool
    changed_at: datetime

    def __str__(self) -> str:
        return f"{self.state}{' deleted' if self.deleted else ''} @{self.resource_version}"


@dataclass(frozen=True)
class Drift:
    """One difference. `healed` says that the provider's object was taken over."""

    resource: Resource
    vendor_id: str
    kind: DriftKind
    ours: str | None
    theirs: str | None
    healed: bool


def compare(
    resource: Resource, ours: Mapping[str, Sight], theirs: Mapping[str, Sight], since: datetime
) -> list[Drift]:
    """The differences by vendor id. What changed after `since` may still be on its way: no drift.

    A row that is newer than the list is none either: the list was made before it.
    """
    found = []
    for vendor_id in sorted(ours.keys() | theirs.keys()):
        here, there = ours.get(vendor_id), theirs.get(vendor_id)
        kind = _difference(here, there)
        fresh = max(sight.changed_at for sight in (here, there) if sight) > since
        if kind is None or fresh:
            continue
        behind = there is not None and (
            here is None or here.resource_version < there.resource_version
        )
        texts = str(here) if here else None, str(there) if there else None
        found.append(Drift(resource, vendor_id, kind, *texts, healed=behind))
    return found


def _difference(here: Sight | None, there: Sight | None) -> DriftKind | None:
    if there is None:
        return DriftKind.MISSING_THERE if here and not here.deleted else None
    if here is None:
        return None if there.deleted else DriftKind.MISSING_HERE
    if here.resource_version > there.resource_version:
        return None
    same = (here.resource_version, here.state, here.deleted) == (
        there.resource_version,
        there.state,
        there.deleted,
    )
    return None if same else DriftKind.DIFFERING
