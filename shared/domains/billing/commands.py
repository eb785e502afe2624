"""What the billing provider reports, read from its own JSON objects (Chargebee API v2).

Only what is used here is read; names, addresses and cards are left where they are.
Source: https://apidocs.chargebee.com/docs/api?prod_cat_ver=2
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic import ValidationError as Unfit

from shared.domains.billing.model import Dunning, RawObject, Resource, collectible, decline_of
from shared.events.billing import Decline, InvoiceStatus, SubscriptionStatus
from shared.kernel.errors import Invalid
from shared.kernel.ids import ClinicId, ContractId, CustomerId
from shared.kernel.model import Model
from shared.kernel.money import Currency

_METHOD_EVENTS = frozenset({"payment_source_updated", "card_updated"})


def _uuid_or_none(value: Any) -> UUID | None:
    """People can type into a custom field: what is no id counts as absent."""
    try:
        return UUID(value)
    except (TypeError, ValueError, AttributeError):
        return None


VendorId = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,200}$")]
Amount = Annotated[int, Field(ge=0, lt=2**53)]
Version = Annotated[int, Field(ge=0, lt=2**63)]
Clinic = Annotated[ClinicId | None, BeforeValidator(_uuid_or_none)]
Contract = Annotated[ContractId | None, BeforeValidator(_uuid_or_none)]


class _Report(Model):
    model_config = ConfigDict(frozen=True, extra="ignore")

    resource_version: Version
    updated_at: datetime
    deleted: bool = False


class CustomerReport(_Report):
    """A customer. Its id at the provider is our own customer id."""

    id: CustomerId
    cf_clinic_id: Clinic = None
    primary_payment_source_id: VendorId | None = None


class SubscriptionItem(Model):
    """One line of a subscription."""

    item_price_id: VendorId
    item_type: str


class SubscriptionReport(_Report):
    """A subscription with its custom fields."""

    id: VendorId
    customer_id: CustomerId
    cf_clinic_id: Clinic = None
    cf_contract_id: Contract = None
    status: SubscriptionStatus
    subscription_items: tuple[SubscriptionItem, ...] = ()
    current_term_end: datetime | None = None

    @property
    def item_price_id(self) -> str | None:
        """The price of its plan; the rest are addons."""
        plans = [item for item in self.subscription_items if item.item_type == "plan"]
        return plans[0].item_price_id if plans else None


class Payment(Model):
    """A transaction linked to an invoice: an attempt to collect it, or a payment made elsewhere."""

    txn_id: VendorId
    txn_status: str
    txn_date: datetime
    txn_amount: Amount | None = None


class InvoiceReport(_Report):
    """An invoice. Amounts are minor units of `currency_code`."""

    id: VendorId
    customer_id: CustomerId
    subscription_id: VendorId | None = None
    status: InvoiceStatus
    dunning_status: Dunning | None = None
    total: Amount
    amount_paid: Amount
    amount_due: Amount
    currency_code: Currency
    date: datetime
    due_date: datetime | None = None
    paid_at: datetime | None = None
    linked_payments: tuple[Payment, ...] = ()

    @property
    def failures(self) -> list[Payment]:
        """The declined attempts, first to last."""
        failed = [one for one in self.linked_payments if one.txn_status == "failure"]
        return sorted(failed, key=lambda one: one.txn_date)

    @property
    def collectible(self) -> bool:
        return collectible(self.status, self.dunning_status, self.deleted)


class TransactionReport(Model):
    """A transaction, of which only the reason of its failure matters."""

    id: VendorId
    error_code: str | None = None

    @property
    def decline(self) -> Decline:
        return decline_of(self.error_code)


_MACHINE_MADE = re.compile(
    r"[0-9]{1,12}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[A-Za-z0-9]{16,24}"
)


class Stray(Model):
    """An object that cannot be taken over, and why (no PHI)."""

    model_config = ConfigDict(frozen=True)

    resource: Resource
    vendor_id: str
    reason: str

    @property
    def named(self) -> str:
        """What logs may call it: an id that somebody typed may be an address, so it is hashed."""
        known = _MACHINE_MADE.fullmatch(self.vendor_id)
        shown = self.vendor_id if known else f"#{sha256(self.vendor_id.encode()).hexdigest()[:12]}"
        return f"{self.resource.value} {shown}"


class Reports(Model):
    """Objects the provider reported together. `declines` are by transaction id."""

    model_config = ConfigDict(frozen=True)

    customers: tuple[CustomerReport, ...] = ()
    subscriptions: tuple[SubscriptionReport, ...] = ()
    invoices: tuple[InvoiceReport, ...] = ()
    declines: dict[str, Decline] = {}
    strays: tuple[Stray, ...] = ()

    @property
    def unexplained(self) -> frozenset[str]:
        """The declined attempts, by transaction id, whose reason did not come along."""
        failed = {one.txn_id for invoice in self.invoices for one in invoice.failures}
        return frozenset(failed - self.declines.keys())

    def joined(self, other: "Reports") -> "Reports":
        return Reports(
            customers=self.customers + other.customers,
            subscriptions=self.subscriptions + other.subscriptions,
            invoices=self.invoices + other.invoices,
            declines=self.declines | other.declines,
            strays=self.strays + other.strays,
        )


_KINDS: dict[Resource, type[Model]] = {
    Resource.CUSTOMER: CustomerReport,
    Resource.SUBSCRIPTION: SubscriptionReport,
    Resource.INVOICE: InvoiceReport,
    Resource.TRANSACTION: TransactionReport,
}


def read(raws: Mapping[Resource, Iterable[RawObject]]) -> Reports:
    """Read objects by kind; those that make no sense become strays."""
    found: dict[Resource, list[Any]] = {resource: [] for resource in Resource}
    strays = []
    for resource, objects in raws.items():
        for raw in objects:
            try:
                found[resource].append(_KINDS[resource].model_validate(raw))
            except Unfit as error:
                strays.append(Stray(resource=resource, vendor_id=_id(raw), reason=_wrong(error)))
    return Reports(
        customers=tuple(found[Resource.CUSTOMER]),
        subscriptions=tuple(found[Resource.SUBSCRIPTION]),
        invoices=tuple(found[Resource.INVOICE]),
        declines={one.id: one.decline for one in found[Resource.TRANSACTION]},
        strays=tuple(strays),
    )


def _id(raw: RawObject) -> str:
    """The object's id as far as it can be printed."""
    given = raw.get("id") if isinstance(raw, Mapping) else None
    text = "".join(letter for letter in str(given) if "!" <= letter <= "~")
    return text[:200] or "unknown"


def _wrong(error: Unfit) -> str:
    """The names of the fields that are wrong, never their values."""
    fields = sorted({str(part["loc"][0]) if part["loc"] else "object" for part in error.errors()})
    return f"unreadable: {', '.join(fields)}"


class Notice(Model):
    """A webhook: one event of the provider with the objects as they were then.

    Source: https://apidocs.chargebee.com/docs/api/events
    """

    model_config = ConfigDict(extra="ignore")

    event_type: str
    content: dict[str, Any]

    @property
    def new_method(self) -> bool:
        """Whether a payment method kept its id and got other details."""
        return self.event_type in _METHOD_EVENTS

    @property
    def raws(self) -> dict[Resource, list[RawObject]]:
        return {kind: [self.content[kind]] for kind in Resource if kind in self.content}


def read_notice(body: bytes) -> Notice:
    """Raises `Invalid`."""
    try:
        return Notice.model_validate_json(body)
    except Unfit as error:
        raise Invalid("webhook-unreadable", f"The webhook is {_wrong(error)}.") from None
