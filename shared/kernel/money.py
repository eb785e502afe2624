"""Money as integer minor units of an ISO 4217 currency."""

from typing import Annotated

from pydantic import ConfigDict, StringConstraints

from shared.kernel.model import Model

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]


class Money(Model):
    """An amount in minor units (cents for EUR, yen for JPY) and its currency."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    amount: int
    currency: Currency

    def __add__(self, other: "Money") -> "Money":
        """Raises `ValueError` for another currency."""
        self._require_same(other)
        return Money(amount=self.amount + other.amount, currency=self.currency)

    def __sub__(self, other: "Money") -> "Money":
        """Raises `ValueError` for another currency."""
        self._require_same(other)
        return Money(amount=self.amount - other.amount, currency=self.currency)

    def _require_same(self, other: "Money") -> None:
        if self.currency != other.currency:
            raise ValueError(f"cannot reckon {self.currency} with {other.currency}")
