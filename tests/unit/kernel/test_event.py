"""An event cannot carry what may be PHI: such a class does not come into being."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any, Optional

import pytest
from pydantic import ValidationError, create_model

from shared.events.customers import CustomerRegistered, CustomerUpdated
from shared.kernel.event import Event
from shared.kernel.ids import ClinicId, CustomerId
from shared.kernel.money import Money
from shared.kernel.phi import Phi


class Colour(StrEnum):
    RED = "red"


def define(kind: Any, subject: str = "customer_id") -> Any:
    """An event class with a field of this type."""
    fields: Any = {"customer_id": (CustomerId, ...), "field": (kind, ...)}
    keywords = {"type": "probe.defined", "subject": subject}
    return create_model("ProbeDefined", __base__=Event, __cls_kwargs__=keywords, **fields)


@pytest.mark.parametrize(
    "kind",
    [
        *(str, bytes, float, object, Any, dict, list, Phi[str]),
        *(str | None, Optional[str], tuple[str, ...], list[str], dict[str, int]),  # noqa: UP045
        *(tuple[CustomerId, str], tuple[tuple[str, ...], ...], int | str),
    ],
    ids=str,
)
def test_a_field_that_may_hold_text_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match="may carry PHI"):
        define(kind)


@pytest.mark.parametrize(
    "kind",
    [
        *(CustomerId, Colour, Money, date, datetime, int, bool),
        *(Colour | None, tuple[Colour, ...], tuple[CustomerId, int] | None),
    ],
    ids=str,
)
def test_ids_enums_money_dates_and_numbers_are_taken(kind: Any) -> None:
    assert define(kind).topic == "probe-events"


def test_the_subject_is_one_of_the_fields() -> None:
    with pytest.raises(TypeError, match="must name the field"):
        define(int, subject="nothing")


def test_an_event_without_a_subject_is_refused() -> None:
    with pytest.raises(TypeError, match="must name the field"):

        class Subjectless(Event, type="probe.subjectless"):
            version: int


def registered(**changes: Any) -> dict[str, Any]:
    own = {"clinic_id": ClinicId.new(), "customer_id": CustomerId.new(), "version": 1}
    return own | changes


def test_an_event_survives_its_json() -> None:
    event = CustomerRegistered(**registered())
    assert CustomerRegistered.model_validate_json(event.model_dump_json()) == event


def test_an_events_ids_keep_their_kind() -> None:
    event = CustomerRegistered.model_validate_json(
        CustomerRegistered(**registered()).model_dump_json()
    )
    assert type(event.subject) is CustomerId


@pytest.mark.parametrize(
    "changes", [{"name": "Ada"}, {"customer_id": "ada"}, {"version": "many"}], ids=str
)
def test_what_does_not_belong_into_an_event_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CustomerRegistered(**registered(**changes))


def test_enums_refuse_other_words() -> None:
    with pytest.raises(ValidationError):
        CustomerUpdated(**registered(changed=("Ada Example",)))


def test_an_event_cannot_be_changed() -> None:
    event = CustomerRegistered(**registered())
    with pytest.raises(ValidationError):
        event.version = 2  # type: ignore[misc]
