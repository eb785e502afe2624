"""What Firestore refuses to store: names, ids, fields, values, masks, transforms; its limits.

Written from https://cloud.google.com/firestore/quotas and the protos' comments.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core import exceptions

from tests.emulators.conformance.conftest import Target
from tests.emulators.firestore_client import Raw, client_of

ONE = {"integer_value": 1}


@pytest.fixture
def raw(firestore_target: Target) -> Iterator[Raw]:
    with client_of(firestore_target.address) as client:
        yield Raw(client)


def nested(depth: int) -> dict[str, Any]:
    """A Value inside of so many maps."""
    value: dict[str, Any] = ONE
    for _ in range(depth):
        value = {"map_value": {"fields": {"m": value}}}
    return value


@pytest.mark.parametrize(
    "path",
    ["c/__id7__", "c/" + "x" * 1500, "c/" + "\u00e4" * 750, "c/a b.c", "/".join(["a/b"] * 100)],
    ids=["numeric", "1500 characters", "1500 bytes", "odd", "100 deep"],
)
def test_name_within_the_limits_is_taken(raw: Raw, path: str) -> None:
    raw.set(path, {"n": ONE})
    (found,) = raw.call("batch_get_documents", documents=[raw.name(path)])
    assert found.found.name == raw.name(path)


@pytest.mark.parametrize(
    "path",
    [
        "c/.",
        "c/..",
        "./d",
        "c/__d__",
        "__c__/d",
        "c",
        "c/d/",
        "c//d/e",
        "c/d/e",
        "c/" + "x" * 1501,
        "x" * 1501 + "/d",
        "/".join(["a/b"] * 101),
    ],
)
def test_impossible_name_is_refused(raw: Raw, path: str) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        raw.set(path, {"n": ONE})


@pytest.mark.parametrize("name", ["", "d", "projects/p", "projects//databases/d/documents/c/d"])
def test_name_outside_of_any_database_is_refused(raw: Raw, name: str) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        raw.commit({"delete": name})


@pytest.mark.parametrize("database", ["", "d", "projects/p", "projects/p/databases/d/x"])
def test_impossible_database_is_refused(raw: Raw, database: str) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        raw.commit({"delete": raw.name("c/d")}, database=database)


@pytest.mark.parametrize(
    "value",
    [
        nested(20),
        {"array_value": {"values": [nested(19)]}},
        {"string_value": "x" * 1_000_000},
        {"geo_point_value": {"latitude": -90, "longitude": 180}},
        {"reference_value": "projects/p/databases/d/documents/a/b"},
        {"array_value": {"values": [{"map_value": {"fields": {"m": {"array_value": {}}}}}]}},
    ],
    ids=["20 maps", "20 levels", "long text", "pole", "reference elsewhere", "array in map"],
)
def test_value_within_the_limits_is_taken(raw: Raw, value: dict[str, Any]) -> None:
    raw.set("c/d", {"f": value})
    (found,) = raw.call("batch_get_documents", documents=[raw.name("c/d")])
    assert set(found.found.fields) == {"f"}


@pytest.mark.parametrize(
    "value",
    [
        {},
        nested(21),
        {"string_value": "x" * 1_048_577},
        {"bytes_value": b"x" * 1_048_577},
        {"geo_point_value": {"latitude": 91}},
        {"geo_point_value": {"longitude": -181}},
        {"reference_value": "elsewhere"},
        {"reference_value": "projects/p/databases/d/documents/a"},
        {"array_value": {"values": [{"array_value": {}}]}},
        {"array_value": {"values": [{}]}},
        {"timestamp_value": {"seconds": 1 << 40}},
    ],
    ids=[
        "unset",
        "21 maps",
        "1 MiB of text",
        "1 MiB of bytes",
        "latitude",
        "longitude",
        "no reference",
        "collection",
        "array in array",
        "unset in array",
        "year 36812",
    ],
)
def test_impossible_value_is_refused(raw: Raw, value: dict[str, Any]) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        raw.set("c/d", {"f": value})


def test_document_of_a_mebibyte_is_refused(raw: Raw) -> None:
    half = {"string_value": "x" * 524_000}
    raw.set("c/d", {"a": half, "b": half})
    with pytest.raises(exceptions.InvalidArgument):
        raw.set("c/d", {"a": half, "b": half, "c": {"string_value": "x" * 1000}})


@pytest.mark.parametrize("name", ["", "__f__", "x" * 1501])
def test_impossible_field_name_is_refused(raw: Raw, name: str) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        raw.set("c/d", {name: ONE})


@pytest.mark.parametrize(
    "path", ["", "a..b", ".a", "a.", "1a", "a b", "`a", "``", "__f__", "a.__f__"]
)
def test_impossible_field_path_is_refused(raw: Raw, path: str) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        raw.set("c/d", {}, update_mask={"field_paths": [path]})


@pytest.mark.parametrize(
    ("path", "field"), [("`a.b`", "a.b"), ("`1 a`", "1 a"), ("`a\\`b`", "a`b"), ("_a1", "_a1")]
)
def test_quoted_field_path_names_one_field(raw: Raw, path: str, field: str) -> None:
    raw.set("c/d", {field: ONE, "other": ONE}, update_mask={"field_paths": [path]})
    (found,) = raw.call("batch_get_documents", documents=[raw.name("c/d")])
    assert set(found.found.fields) == {field}


@pytest.mark.parametrize(
    "transform",
    [
        {},
        {"increment": {"string_value": "1"}},
        {"maximum": {}},
        {"minimum": {"null_value": None}},
        {"set_to_server_value": 0},
    ],
    ids=["nothing", "text", "unset", "null", "no server value"],
)
def test_impossible_transform_is_refused(raw: Raw, transform: dict[str, Any]) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        raw.set("c/d", {}, update_transforms=[{"field_path": "a", **transform}])


def test_transforms_of_one_field_follow_each_other(raw: Raw) -> None:
    increment = {"field_path": "n", "increment": {"integer_value": 2}}
    response = raw.set("c/d", {"n": ONE}, update_transforms=[increment, increment])
    results = response.write_results[0].transform_results
    assert [result.integer_value for result in results] == [3, 5]


def test_array_transforms_answer_null(raw: Raw) -> None:
    union = {"field_path": "l", "append_missing_elements": {"values": [ONE]}}
    removal = {"field_path": "l", "remove_all_from_array": {"values": [ONE]}}
    response = raw.set("c/d", {}, update_transforms=[union, removal])
    results = response.write_results[0].transform_results
    assert [type(result).pb(result).WhichOneof("value_type") for result in results] == [
        "null_value",
        "null_value",
    ]


def test_write_of_nothing_is_refused(raw: Raw) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        raw.commit({})


def test_transform_write_needs_transforms(raw: Raw) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        raw.commit({"transform": {"document": raw.name("c/d"), "field_transforms": []}})


def test_delete_takes_no_mask(raw: Raw) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        raw.commit({"delete": raw.name("c/d"), "update_mask": {"field_paths": ["a"]}})


def test_commit_of_more_than_500_writes_is_taken(raw: Raw) -> None:
    writes = [{"update": {"name": raw.name(f"c/{n}"), "fields": {"n": ONE}}} for n in range(600)]
    assert len(raw.commit(*writes).write_results) == 600


def test_empty_commit_has_a_time_and_no_results(raw: Raw) -> None:
    response = raw.commit()
    assert not response.write_results


def test_mask_deletes_what_the_document_lacks(raw: Raw) -> None:
    raw.set("c/d", {"a": ONE, "b": ONE, "c": ONE})
    raw.set("c/d", {"a": ONE, "c": ONE}, update_mask={"field_paths": ["a", "b"]})
    (found,) = raw.call("batch_get_documents", documents=[raw.name("c/d")])
    assert set(found.found.fields) == {"a", "c"}
