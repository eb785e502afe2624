"""RunQuery and RunAggregationQuery on the wire: every operator, cursor, limit and aggregation."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core import exceptions

from tests.emulators.conformance.conftest import Target
from tests.emulators.firestore_client import Raw, client_of

FROM = {"from_": [{"collection_id": "c"}]}
NULL = {"null_value": 0}
NAN = {"double_value": math.nan}
DOCUMENTS: dict[str, dict[str, Any]] = {
    "a": {"n": 1, "s": "x", "t": [1, 2]},
    "b": {"n": 2.0, "s": None, "t": [3]},
    "c": {"n": math.nan, "s": "y"},
    "d": {"n": None, "t": [math.nan, None]},
    "e": {"s": "x", "m": {"k": 1}},
    "f": {"n": 1, "m": {"k": 2}, "s": "z"},
    "g": {"n": "text"},
}


@pytest.fixture
def raw(firestore_target: Target) -> Iterator[Raw]:
    with client_of(firestore_target.address) as client:
        batch = client.batch()
        for name, data in DOCUMENTS.items():
            batch.set(client.document(f"c/{name}"), data)
        batch.set(client.document("c/a/c/deep"), {"n": 1})
        batch.commit()
        yield Raw(client)


def integer(n: int) -> dict[str, Any]:
    return {"integer_value": n}


def text(s: str) -> dict[str, Any]:
    return {"string_value": s}


def array(*values: dict[str, Any]) -> dict[str, Any]:
    return {"array_value": {"values": list(values)}}


def many(count: int) -> dict[str, Any]:
    return array(*(integer(n) for n in range(count)))


def field(path: str, operator: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"field_filter": {"field": {"field_path": path}, "op": operator, "value": value}}


def unary(path: str, operator: str) -> dict[str, Any]:
    return {"unary_filter": {"field": {"field_path": path}, "op": operator}}


def both(*filters: dict[str, Any]) -> dict[str, Any]:
    return {"composite_filter": {"op": "AND", "filters": list(filters)}}


def either(*filters: dict[str, Any]) -> dict[str, Any]:
    return {"composite_filter": {"op": "OR", "filters": list(filters)}}


def by(*paths: str) -> list[dict[str, Any]]:
    """Orders; a path with a minus sign descends."""
    return [
        {
            "field": {"field_path": path.lstrip("-")},
            "direction": "DESCENDING" if path.startswith("-") else "ASCENDING",
        }
        for path in paths
    ]


def found(raw: Raw, **query: Any) -> str:
    """The ids of the documents found, in order."""
    answers = raw.query({**FROM, **query})
    return "".join(answer.document.name.rpartition("/")[2] for answer in answers)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (field("n", "EQUAL", integer(1)), "af"),
        (field("n", "EQUAL", {"double_value": 2}), "b"),
        (field("n", "EQUAL", NULL), ""),
        (field("n", "EQUAL", NAN), ""),
        (field("n", "NOT_EQUAL", integer(1)), "cbg"),
        (field("n", "NOT_EQUAL", NULL), ""),
        (field("n", "LESS_THAN", integer(2)), "af"),
        (field("n", "LESS_THAN_OR_EQUAL", integer(2)), "afb"),
        (field("n", "LESS_THAN_OR_EQUAL", NAN), ""),
        (field("n", "GREATER_THAN", integer(1)), "b"),
        (field("n", "GREATER_THAN_OR_EQUAL", integer(1)), "afb"),
        (field("n", "GREATER_THAN_OR_EQUAL", NULL), ""),
        (field("n", "GREATER_THAN", text("")), "g"),
        (field("n", "IN", array(integer(2), text("text"))), "bg"),
        (field("n", "IN", array(NULL)), ""),
        (field("n", "IN", array(NAN, integer(2))), "b"),
        (field("n", "NOT_IN", array(integer(1), text("text"))), "cb"),
        (field("n", "NOT_IN", array(integer(1), NULL)), ""),
        (field("t", "ARRAY_CONTAINS", integer(2)), "a"),
        (field("t", "ARRAY_CONTAINS", NULL), ""),
        (field("t", "ARRAY_CONTAINS_ANY", array(integer(3), integer(2))), "ab"),
        (field("t", "ARRAY_CONTAINS_ANY", array(NULL, NAN)), ""),
        (field("t", "EQUAL", array(integer(3))), "b"),
        (field("m", "EQUAL", {"map_value": {"fields": {"k": integer(1)}}}), "e"),
        (field("m.k", "GREATER_THAN", integer(1)), "f"),
        (unary("n", "IS_NULL"), "d"),
        (unary("n", "IS_NAN"), "c"),
        (unary("n", "IS_NOT_NULL"), "cafbg"),
        (unary("n", "IS_NOT_NAN"), "afbg"),
        (both(field("n", "EQUAL", integer(1)), field("s", "EQUAL", text("z"))), "f"),
        (both(field("n", "GREATER_THAN", integer(0)), field("s", "LESS_THAN", text("z"))), "a"),
        (either(field("n", "EQUAL", integer(2)), field("s", "EQUAL", text("x"))), "abe"),
        (either(unary("n", "IS_NULL"), field("t", "ARRAY_CONTAINS", integer(3))), "bd"),
        (either(field("n", "EQUAL", integer(1))), "af"),
    ],
    ids=str,
)
def test_filter_finds_what_is_documented(
    raw: Raw, condition: dict[str, Any], expected: str
) -> None:
    assert found(raw, where=condition) == expected


def test_names_are_compared_with_references(raw: Raw) -> None:
    reference = {"reference_value": raw.name("c/c")}
    assert found(raw, where=field("__name__", "GREATER_THAN", reference)) == "defg"
    assert found(raw, where=field("__name__", "EQUAL", reference)) == "c"
    assert found(raw, where=field("__name__", "IN", array(reference))) == "c"
    assert found(raw, where=field("__name__", "NOT_IN", array(reference))) == "abdefg"


@pytest.mark.parametrize(
    "condition",
    [
        {},
        either(),
        {"composite_filter": {"filters": [unary("n", "IS_NULL")]}},
        field("n", "OPERATOR_UNSPECIFIED", integer(1)),
        field("n", "EQUAL", {}),
        field("n..", "EQUAL", integer(1)),
        field("n", "IN", integer(1)),
        field("n", "IN", array()),
        field("n", "IN", many(31)),
        field("n", "NOT_IN", many(11)),
        field("t", "ARRAY_CONTAINS_ANY", many(31)),
        unary("n", "OPERATOR_UNSPECIFIED"),
        unary("__name__", "IS_NULL"),
        field("__name__", "EQUAL", text("a")),
        field("__name__", "EQUAL", {"reference_value": "elsewhere"}),
        field("__name__", "IN", array(text("a"))),
        field("__name__", "ARRAY_CONTAINS", integer(1)),
        both(field("n", "NOT_EQUAL", integer(1)), field("s", "NOT_EQUAL", text("x"))),
        both(field("n", "NOT_IN", many(2)), field("s", "NOT_EQUAL", text("x"))),
        both(field("n", "NOT_IN", many(2)), field("s", "IN", array(text("x")))),
        both(field("n", "IN", many(6)), field("s", "IN", many(6))),
        both(field("t", "ARRAY_CONTAINS", integer(1)), field("t", "ARRAY_CONTAINS", integer(2))),
    ],
    ids=str,
)
def test_impossible_filter_is_refused(raw: Raw, condition: dict[str, Any]) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        found(raw, where=condition)


def test_thirty_alternatives_are_taken(raw: Raw) -> None:
    assert found(raw, where=field("n", "IN", many(30))) == "abf"
    assert found(raw, where=field("n", "NOT_IN", many(10))) == "cg"


@pytest.mark.parametrize(
    ("orders", "expected"),
    [
        (by("n"), "dcafbg"),
        (by("-n"), "gbfacd"),
        (by("n", "-__name__"), "dcfabg"),
        (by("m.k"), "ef"),
        (by("s", "n"), "bacf"),
    ],
    ids=["n", "-n", "n, -name", "inner", "two"],
)
def test_order_leaves_out_what_lacks_the_field(
    raw: Raw, orders: list[dict[str, Any]], expected: str
) -> None:
    assert found(raw, order_by=orders) == expected


@pytest.mark.parametrize(
    "query",
    [
        {"order_by": by("n", "n")},
        {"order_by": by("__name__", "n")},
        {"order_by": by("a..b")},
        {"order_by": [{}]},
        {"offset": -1},
        {"limit": -1},
        {"select": {"fields": [{"field_path": "a."}]}},
        {"start_at": {"values": [integer(1)]}},
        {"order_by": by("n"), "end_at": {"values": [integer(1), text("x"), text("y")]}},
        {"order_by": by("__name__"), "start_at": {"values": [integer(1)]}},
        {"order_by": by("n"), "start_at": {"values": [{}]}},
        {"from_": [{"collection_id": "c"}, {"collection_id": "d"}]},
        {"from_": [{"collection_id": "__c__"}]},
        {"from_": [{"collection_id": "c/d"}]},
    ],
    ids=str,
)
def test_impossible_query_is_refused(raw: Raw, query: dict[str, Any]) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        found(raw, **query)


@pytest.mark.parametrize(
    ("cursor", "expected"),
    [
        ({"start_at": {"values": [integer(1)], "before": True}}, "afbg"),
        ({"start_at": {"values": [integer(1)]}}, "bg"),
        ({"end_at": {"values": [integer(1)], "before": True}}, "dc"),
        ({"end_at": {"values": [integer(1)]}}, "dcaf"),
        ({"start_at": {"before": True}}, "dcafbg"),
    ],
    ids=["from", "behind", "before", "to", "nothing"],
)
def test_cursor_bounds_the_result(raw: Raw, cursor: dict[str, Any], expected: str) -> None:
    assert found(raw, order_by=by("n"), **cursor) == expected


def test_cursor_of_value_and_name_is_one_document(raw: Raw) -> None:
    values = [integer(1), {"reference_value": raw.name("c/a")}]
    assert found(raw, order_by=by("n", "__name__"), start_at={"values": values}) == "fbg"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"offset": 2}, "cdefg"),
        ({"offset": 99}, ""),
        ({"limit": 2}, "ab"),
        ({"limit": 0}, ""),
        ({"offset": 1, "limit": 2}, "bc"),
    ],
    ids=str,
)
def test_offset_and_limit_cut_the_result(raw: Raw, query: dict[str, Any], expected: str) -> None:
    assert found(raw, **query) == expected


@pytest.mark.differs("does not tell how many results an offset has skipped")
def test_skipped_results_are_told(raw: Raw) -> None:
    first, *others = raw.query({**FROM, "offset": 2})
    assert first.skipped_results == 2
    assert not any(answer.skipped_results for answer in others)
    assert sum(answer.skipped_results for answer in raw.query({**FROM, "offset": 99})) == 7


def test_empty_result_has_a_read_time(raw: Raw) -> None:
    (answer,) = raw.query({"from_": [{"collection_id": "none"}]})
    assert "read_time" in answer
    assert "document" not in answer


def test_group_below_a_document_is_found_there_alone(raw: Raw) -> None:
    group = {"from_": [{"collection_id": "c", "all_descendants": True}]}
    below = raw.query(group, parent="c/a")
    assert [answer.document.name for answer in below] == [raw.name("c/a/c/deep")]
    assert len(raw.query(group)) == 8


def test_query_begins_a_transaction(raw: Raw) -> None:
    begun, *answers = raw.query(FROM, new_transaction={"read_only": {}})
    assert begun.transaction
    assert len(answers) == 7
    raw.commit({"delete": raw.name("c/a")})
    assert len(raw.query(FROM, transaction=begun.transaction)) == 7


def test_query_reads_at_an_earlier_time(raw: Raw) -> None:
    before = raw.query(FROM)[-1].read_time
    raw.commit({"delete": raw.name("c/a")})
    assert len(raw.query(FROM, read_time=before)) == 7
    assert len(raw.query(FROM)) == 6


def aggregated(raw: Raw, *aggregations: dict[str, Any], **query: Any) -> dict[str, Any]:
    structured = {"structured_query": {**FROM, **query}, "aggregations": list(aggregations)}
    (answer,) = raw.call(
        "run_aggregation_query", parent=raw.root, structured_aggregation_query=structured
    )
    fields = answer.result.aggregate_fields
    return {
        alias: getattr(value, type(value).pb(value).WhichOneof("value_type"))
        for alias, value in fields.items()
    }


def of(operator: str, path: str, alias: str = "") -> dict[str, Any]:
    return {operator: {"field": {"field_path": path}}, "alias": alias}


@pytest.mark.parametrize(("up_to", "expected"), [(3, 3), (7, 7), (99, 7), (0, 0)])
def test_count_stops_where_it_is_told(raw: Raw, up_to: int, expected: int) -> None:
    assert aggregated(raw, {"count": {"up_to": up_to}, "alias": "n"}) == {"n": expected}


def test_aggregations_without_alias_are_numbered(raw: Raw) -> None:
    assert set(aggregated(raw, {"count": {}}, {"count": {}, "alias": "n"}, {"count": {}})) == {
        "field_1",
        "n",
        "field_2",
    }


@pytest.mark.parametrize(
    ("condition", "total", "mean"),
    [
        (field("m.k", "GREATER_THAN", integer(0)), 3, 1.5),
        (field("m.k", "GREATER_THAN", integer(9)), 0, None),
    ],
    ids=["some", "none"],
)
def test_sum_and_average_of_a_field(
    raw: Raw, condition: dict[str, Any], total: int, mean: float | None
) -> None:
    answer = aggregated(raw, of("sum", "m.k", "s"), of("avg", "m.k", "a"), where=condition)
    assert answer == {"s": total, "a": mean if mean is not None else 0}


def test_sum_skips_what_is_no_number_and_nan_spreads(raw: Raw) -> None:
    numbers = field("n", "GREATER_THAN", integer(0))
    assert aggregated(raw, of("sum", "n", "s"), where=numbers) == {"s": 4.0}
    assert math.isnan(aggregated(raw, of("sum", "n", "s"))["s"])
    assert aggregated(raw, of("sum", "s", "s")) == {"s": 0}


def test_aggregations_obey_offset_and_limit(raw: Raw) -> None:
    assert aggregated(raw, {"count": {}, "alias": "n"}, limit=2) == {"n": 2}
    assert aggregated(raw, {"count": {}, "alias": "n"}, offset=5) == {"n": 2}


@pytest.mark.parametrize(
    "aggregations",
    [
        [],
        [{"alias": "n"}],
        [{"count": {"up_to": -1}}],
        [{"count": {}, "alias": "n"}, {"count": {}, "alias": "n"}],
        [{"count": {}, "alias": "__n__"}],
        [of("sum", "__name__")],
        [of("avg", "a..b")],
    ],
    ids=str,
)
def test_impossible_aggregation_is_refused(raw: Raw, aggregations: list[dict[str, Any]]) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        aggregated(raw, *aggregations)


@pytest.mark.differs("answers UNKNOWN to more than five aggregations")
def test_more_than_five_aggregations_are_refused(raw: Raw) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        aggregated(raw, *({"count": {}} for _ in range(6)))
