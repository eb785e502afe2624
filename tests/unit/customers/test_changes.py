"""Which changes to a customer are told, and what a change may look like."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from shared.domains.customers import model
from shared.domains.customers.commands import RegisterCustomer, UpdateCustomer
from shared.domains.customers.model import Customer
from shared.events.customers import CustomerField
from shared.kernel.ids import CustomerId
from shared.kernel.phi import Phi

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
ADA = Customer(
    id=CustomerId.new(),
    uid="ada",
    given_name=Phi("Ada"),
    family_name=Phi("Example"),
    email=Phi("ada@example.com"),
    phone=Phi("+4930123456"),
    push_token=None,
    locale="de",
    time_zone="Europe/Berlin",
    version=1,
    created_at=NOW,
    updated_at=NOW,
)


def told(**changes: Any) -> tuple[CustomerField, ...]:
    return model.changed(ADA, model.revise(ADA, NOW, **changes))


def test_both_names_are_one_kind_of_change() -> None:
    assert told(given_name=Phi("A."), family_name=Phi("E.")) == (CustomerField.NAME,)


def test_changes_are_told_in_the_order_of_the_fields() -> None:
    changes = told(time_zone="Etc/UTC", phone=None, email=Phi("a@example.com"))
    assert changes == (CustomerField.EMAIL, CustomerField.PHONE, CustomerField.TIME_ZONE)


def test_the_same_values_are_no_change() -> None:
    assert told(phone=Phi("+4930123456"), locale="de") == ()


def test_another_device_is_not_told() -> None:
    assert told(push_token=Phi("device-1")) == ()


@pytest.mark.parametrize("token", ["", " ", "a b", "x" * 2049, "tökén", "a\n", 7])
def test_what_is_no_push_token_is_refused(token: object) -> None:
    with pytest.raises(ValidationError):
        UpdateCustomer.model_validate({"push_token": token})


@pytest.mark.parametrize("field", ["given_name", "family_name", "email", "locale", "time_zone"])
def test_what_everybody_has_cannot_be_taken_away(field: str) -> None:
    with pytest.raises(ValidationError):
        UpdateCustomer.model_validate({field: None})


def test_a_number_is_kept_in_one_form_and_an_address_in_lower_case() -> None:
    change = UpdateCustomer.model_validate({"phone": "+4930123456", "email": "Ada@Example.COM"})
    assert change.given() == {"phone": Phi("+4930123456"), "email": Phi("ada@example.com")}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "ada@localhost"),
        ("email", "ada example.com"),
        ("phone", "030 123456"),
        ("phone", "+1"),
        ("locale", "german"),
        ("time_zone", "Mars/Olympus"),
        ("time_zone", "../etc/passwd"),
        ("given_name", "   "),
        ("nickname", "Ace"),
    ],
)
def test_bad_data_is_refused(field: str, value: str) -> None:
    good = {"given_name": "Ada", "family_name": "Example", "email": "ada@example.com"}
    RegisterCustomer.model_validate(good)
    with pytest.raises(ValidationError):
        RegisterCustomer.model_validate(good | {field: value})


def test_printing_a_customer_shows_nothing_of_them() -> None:
    shown = repr(model.revise(ADA, NOW, push_token=Phi("device-1")))
    assert not any(word in shown for word in ("Ada", "Example", "4930", "device-1"))
