"""What the billing context asks of the billing provider and of the marketing platform."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from shared.domains.billing.model import RawObject, Resource


class BillingProvider(Protocol):
    """Objects are handed over as the provider writes them."""

    def changed(self, resource: Resource, since: datetime | None) -> list[RawObject]:
        """All objects changed after `since` (all there are for None), deleted ones too.

        Of transactions only those that failed. Oldest change first.
        """
        ...

    def retrieve(self, resource: Resource, vendor_id: str) -> RawObject | None:
        """One object as it is now; None when there is none."""
        ...

    def transactions(self, ids: Sequence[str]) -> list[RawObject]:
        """Those of the transactions that there are."""
        ...

    def collect(self, invoice_id: str, key: str) -> None:
        """Try to collect an invoice once per `key`. A decline is no error: the invoice tells."""
        ...

    def stop_dunning(self, invoice_id: str, key: str) -> None:
        """Give up collecting; nothing happens where nothing is being collected."""
        ...


class HasBilling(Protocol):
    """The vendors of a function that talks to the billing provider."""

    @property
    def billing(self) -> BillingProvider: ...


class Marketing(Protocol):
    """A marketing platform that knows people by our ids alone; a `key` used again does nothing."""

    def track(self, user_id: str, event: str, key: str, data: dict[str, str | int]) -> None: ...

    def start_workflow(self, user_id: str, workflow: str, key: str) -> None: ...


class HasMarketing(Protocol):
    """The vendors of a function that talks to the marketing platform."""

    @property
    def marketing(self) -> Marketing: ...
