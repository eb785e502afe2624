"""Money is whole minor units of one currency."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.kernel.money import Money

amounts = st.integers(min_value=-(10**12), max_value=10**12)


@given(amounts, amounts)
def test_what_is_added_can_be_taken_away(one: int, other: int) -> None:
    first, second = Money(amount=one, currency="EUR"), Money(amount=other, currency="EUR")
    assert first + second == second + first
    assert (first + second) - second == first


@pytest.mark.parametrize("reckon", [Money.__add__, Money.__sub__])
def test_currencies_are_never_mixed(reckon: Any) -> None:
    with pytest.raises(ValueError, match="cannot reckon EUR with USD"):
        reckon(Money(amount=1, currency="EUR"), Money(amount=1, currency="USD"))


@pytest.mark.parametrize("currency", ["eur", "EURO", "E", "", "€", "EU1", "EUR\n"])
def test_a_currency_is_three_capital_letters(currency: str) -> None:
    with pytest.raises(ValidationError):
        Money(amount=1, currency=currency)


@pytest.mark.parametrize("amount", [1.5, "1.5", None, "many"])
def test_fractions_of_a_minor_unit_do_not_exist(amount: Any) -> None:
    with pytest.raises(ValidationError):
        Money(amount=amount, currency="EUR")


def test_money_cannot_be_changed() -> None:
    money = Money(amount=1, currency="EUR")
    with pytest.raises(ValidationError):
        money.amount = 2  # type: ignore[misc]
