"""PHI does not leave by accident."""

import copy
import json
import logging
import pickle
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from shared.kernel.phi import Phi

SECRET = "Ada Lovelace"
HIDDEN = Phi(SECRET)


class Person(BaseModel):
    name: Phi[str]


@pytest.mark.parametrize(
    "shown",
    [
        str(HIDDEN),
        repr(HIDDEN),
        f"{HIDDEN}",
        "%s" % HIDDEN,  # noqa: UP031
        repr([HIDDEN]),
        repr({"name": HIDDEN}),
        repr(Person(name=HIDDEN)),
        str(Person(name=HIDDEN)),
        str(KeyError(HIDDEN)),
        logging.Formatter().format(logging.LogRecord("x", 20, "", 1, "%s", (HIDDEN,), None)),
    ],
)
def test_showing_it_shows_nothing(shown: str) -> None:
    assert "[phi]" in shown
    assert SECRET not in shown


def test_it_has_no_attributes_to_be_dumped() -> None:
    with pytest.raises(TypeError):
        vars(HIDDEN)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_cannot_be_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(HIDDEN, protocol)


def test_it_cannot_be_copied() -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        copy.copy(HIDDEN)


def test_json_refuses_it() -> None:
    with pytest.raises(TypeError):
        json.dumps({"name": HIDDEN})


@pytest.mark.parametrize("mode", ["python", "json"])
def test_a_model_that_holds_it_cannot_be_dumped(mode: str) -> None:
    with pytest.raises((TypeError, PydanticSerializationError)) as caught:
        Person(name=HIDDEN).model_dump(mode=mode)
    assert SECRET not in str(caught.value)


def test_a_model_that_holds_it_cannot_become_json() -> None:
    with pytest.raises((TypeError, PydanticSerializationError)) as caught:
        Person(name=HIDDEN).model_dump_json()
    assert SECRET not in str(caught.value)


def test_it_is_revealed_on_purpose() -> None:
    assert Person.model_validate({"name": SECRET}).name.reveal() == SECRET


def test_it_is_taken_as_it_is() -> None:
    assert Person(name=HIDDEN).name is HIDDEN


def test_it_validates_what_it_holds() -> None:
    with pytest.raises(ValidationError):
        Person.model_validate({"name": 7})


def test_its_schema_is_that_of_the_value() -> None:
    assert TypeAdapter(Phi[str]).json_schema() == {"type": "string"}


@pytest.mark.parametrize(("other", "same"), [(Phi(SECRET), True), (Phi("x"), False)])
def test_two_are_equal_when_their_values_are(other: Phi[str], same: bool) -> None:
    assert (other == HIDDEN) is same
    assert (hash(other) == hash(HIDDEN)) is same


@pytest.mark.parametrize("other", [SECRET, None, 7])
def test_it_equals_nothing_in_the_open(other: Any) -> None:
    assert other != HIDDEN
