"""What the contracts context asks of a billing provider."""

from dataclasses import dataclass
from typing import Protocol

from shared.kernel.ids import ContractId


@dataclass(frozen=True)
class SubscriptionFacts:
    """A subscription as the provider has it; `customer_id` and `clinic_id` are ours, as text."""

    id: str
    customer_id: str
    clinic_id: str
    status: str
    item_price_id: str


class BillingProvider(Protocol):
    """Every call may be repeated: one that finds its work done counts as done."""

    def subscription_of(self, subscription_id: str) -> SubscriptionFacts | None: ...

    def set_contract(
        self, subscription_id: str, contract_id: ContractId | None, key: str
    ) -> None: ...

    def reset_to_monthly(self, subscription_id: str, item_price_id: str, key: str) -> None: ...

    def change_plan(
        self, subscription_id: str, item_price_id: str, at_term: bool, key: str
    ) -> None: ...

    def pause(self, subscription_id: str, key: str) -> None: ...

    def resume(self, subscription_id: str, key: str) -> None: ...

    def cancel(self, subscription_id: str, at_term: bool, key: str) -> None: ...


class HasBilling(Protocol):
    """The vendors of a function that talks to the billing provider."""

    @property
    def billing(self) -> BillingProvider: ...
