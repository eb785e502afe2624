"""Ids are sorted by time, typed, and derived the same way every time."""

from collections.abc import Iterator
from itertools import count
from uuid import UUID

import pytest
from pydantic import TypeAdapter, ValidationError

from shared.kernel import ids
from shared.kernel.ids import ClinicId, ContractId, CustomerId, TypedId

VALUE = "0198c0de-0000-7000-8000-00000000beef"


def test_later_ids_sort_later() -> None:
    made = [ContractId.new() for _ in range(1000)]
    assert sorted(made) == made
    assert len(set(made)) == 1000


def test_ids_are_uuids_of_version_seven() -> None:
    assert CustomerId.new().version == 7


def test_the_same_value_of_another_kind_is_another_id() -> None:
    assert ContractId(VALUE) == ContractId(VALUE)
    assert ContractId(VALUE) != CustomerId(VALUE)


def test_an_id_equals_the_plain_uuid_of_its_value() -> None:
    assert ContractId(VALUE) == UUID(VALUE)
    assert hash(ContractId(VALUE)) == hash(UUID(VALUE))


def test_deriving_twice_names_it_alike() -> None:
    origin = CustomerId(VALUE)
    assert ContractId.derive(origin, "first") == ContractId.derive(origin, "first")


def test_purposes_kinds_and_origins_are_told_apart() -> None:
    origin = CustomerId(VALUE)
    derived: set[TypedId] = {
        ContractId.derive(origin, "first"),
        ContractId.derive(origin, "second"),
        CustomerId.derive(origin, "first"),
        ContractId.derive(CustomerId.new(), "first"),
    }
    assert len({one.int for one in derived}) == 4


def test_pydantic_reads_text_and_uuids_as_the_kind() -> None:
    adapter = TypeAdapter(ClinicId)
    for given in (VALUE, UUID(VALUE), ContractId(VALUE), ClinicId(VALUE)):
        assert type(adapter.validate_python(given)) is ClinicId


def test_pydantic_refuses_what_is_no_id() -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(ClinicId).validate_python("berlin")


def test_pydantic_writes_an_id_as_text() -> None:
    assert TypeAdapter(ClinicId).dump_json(ClinicId(VALUE)) == f'"{VALUE}"'.encode()


@pytest.fixture
def counted() -> Iterator[None]:
    ids.use(count(1).__next__)
    yield
    ids.use(None)


def test_a_test_may_say_which_ids_come(counted: None) -> None:
    assert [ClinicId.new().int, ContractId.new().int] == [1, 2]
