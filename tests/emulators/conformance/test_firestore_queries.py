"""Queries and aggregations through the official client; conformance tests."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import firestore
from google.cloud.firestore_v1.base_query import And, FieldFilter, Or
from google.cloud.firestore_v1.base_vector_query import DistanceMeasure
from google.cloud.firestore_v1.query_profile import ExplainOptions
from google.cloud.firestore_v1.types import RunQueryRequest, StructuredQuery
from google.cloud.firestore_v1.vector import Vector

from tests.emulators.conformance.conftest import Target
from tests.emulators.firestore_client import Client, client_of, ids

CITIES: dict[str, dict[str, Any]] = {
    "ber": {"size": 3.7, "rank": 2, "tags": ["capital", "river"], "geo": {"country": "de"}},
    "ham": {"size": 1.9, "rank": 3, "tags": ["port", "river"], "geo": {"country": "de"}},
    "par": {"size": 2.1, "rank": 2, "tags": ["capital"], "geo": {"country": "fr"}},
    "rom": {"size": 2.8, "rank": None, "tags": [], "geo": {"country": "it"}},
    "xxx": {"size": math.nan, "rank": "none", "geo": {}},
    "yyy": {"rank": 1},
}


@pytest.fixture
def db(firestore_target: Target) -> Iterator[Client]:
    with client_of(firestore_target.address) as client:
        yield client


@pytest.fixture
def cities(db: Client) -> Any:
    batch = db.batch()
    for name, data in CITIES.items():
        batch.set(db.document(f"cities/{name}"), data)
    batch.commit()
    return db.collection("cities")


@pytest.mark.parametrize(
    ("field", "operator", "value", "expected"),
    [
        ("rank", "==", 2, ["ber", "par"]),
        ("rank", "==", 2.0, ["ber", "par"]),
        ("rank", "==", None, ["rom"]),
        ("size", "==", math.nan, ["xxx"]),
        ("rank", "!=", 2, ["yyy", "ham", "xxx"]),
        ("rank", "!=", None, ["yyy", "ber", "par", "ham", "xxx"]),
        ("size", ">", 2.1, ["rom", "ber"]),
        ("size", ">=", 2.1, ["par", "rom", "ber"]),
        ("rank", "<", 3, ["yyy", "ber", "par"]),
        ("rank", "<=", 3, ["yyy", "ber", "par", "ham"]),
        ("rank", ">", "a", ["xxx"]),
        ("rank", "in", [1, 3, "none"], ["ham", "xxx", "yyy"]),
        ("rank", "not-in", [1, 3], ["ber", "par", "xxx"]),
        ("tags", "array_contains", "river", ["ber", "ham"]),
        ("tags", "array_contains_any", ["port", "capital"], ["ber", "ham", "par"]),
        ("tags", "==", ["capital"], ["par"]),
        ("geo.country", "==", "de", ["ber", "ham"]),
        ("geo", "==", {"country": "fr"}, ["par"]),
    ],
)
def test_filter_finds_what_is_documented(
    cities: Any, field: str, operator: str, value: Any, expected: list[str]
) -> None:
    assert ids(cities.where(filter=FieldFilter(field, operator, value))) == expected


def test_and_combines_filters(cities: Any) -> None:
    both = And([FieldFilter("rank", "==", 2), FieldFilter("size", ">", 3)])
    assert ids(cities.where(filter=both)) == ["ber"]


def test_or_finds_a_document_once(cities: Any) -> None:
    either = Or([FieldFilter("rank", "==", 2), FieldFilter("tags", "array_contains", "river")])
    assert ids(cities.where(filter=either)) == ["ber", "ham", "par"]


def test_document_id_is_a_filter(cities: Any) -> None:
    name = firestore.FieldPath.document_id() if hasattr(firestore, "FieldPath") else "__name__"
    above = cities.where(filter=FieldFilter(name, ">=", cities.document("rom")))
    assert ids(above) == ["rom", "xxx", "yyy"]
    some = [cities.document("par"), cities.document("ham"), cities.document("no")]
    assert ids(cities.where(filter=FieldFilter(name, "in", some))) == ["ham", "par"]


def test_order_leaves_out_documents_without_the_field(cities: Any) -> None:
    assert ids(cities.order_by("size")) == ["xxx", "ham", "par", "rom", "ber"]


def test_descending_order_also_turns_equal_documents(cities: Any) -> None:
    descending = cities.order_by("rank", direction="DESCENDING")
    assert ids(descending) == ["xxx", "ham", "par", "ber", "yyy", "rom"]


def test_second_order_sorts_equal_values(cities: Any) -> None:
    order = cities.where(filter=FieldFilter("rank", "==", 2)).order_by("rank")
    assert ids(order.order_by("size")) == ["par", "ber"]


def test_values_of_all_types_sort_as_documented(db: Client) -> None:
    values: list[Any] = [
        None,
        False,
        True,
        math.nan,
        -math.inf,
        -1.5,
        0,
        1,
        1.5,
        1 << 53,
        math.inf,
        *(datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2)),
        "",
        "A",
        "a",
        "\uffee",
        "\U0001f600",
        b"",
        b"\x00",
        b"\xff",
        *(db.document(path) for path in ("a/b", "a/b/c/d", "a/c")),
        *(firestore.GeoPoint(-1, 5), firestore.GeoPoint(1, -5)),
        [],
        [1],
        [1, 0],
        [2],
        {},
        {"a": 1},
        {"a": 1, "b": 0},
        {"a": 2},
        {"b": 0},
    ]
    batch = db.batch()
    for number, value in enumerate(values):
        batch.set(db.document(f"values/{(number * 7) % 100:02}-{number}"), {"value": value})
    batch.commit()
    found = [int(name[3:]) for name in ids(db.collection("values").order_by("value"))]
    assert found == list(range(len(values)))


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("start_at", ["ber", "par", "ham", "xxx"]),
        ("start_after", ["ham", "xxx"]),
        ("end_at", ["rom", "yyy", "ber", "par"]),
        ("end_before", ["rom", "yyy"]),
    ],
)
def test_cursor_by_value_bounds_the_result(cities: Any, method: str, expected: list[str]) -> None:
    assert ids(getattr(cities.order_by("rank"), method)({"rank": 2})) == expected


def test_cursor_by_document_goes_on_behind_it(cities: Any) -> None:
    query = cities.order_by("rank")
    assert ids(query.start_after(cities.document("ber").get())) == ["par", "ham", "xxx"]
    assert ids(query.end_before(cities.document("par").get())) == ["rom", "yyy", "ber"]


def test_pages_by_cursor_cover_everything_once(cities: Any) -> None:
    query, found = cities.order_by("rank", direction="DESCENDING").limit(2), []
    page = query.get()
    while page:
        found += [snapshot.id for snapshot in page]
        page = query.start_after(page[-1]).get()
    assert found == ["xxx", "ham", "par", "ber", "yyy", "rom"]


def test_offset_and_limit_cut_the_result(cities: Any) -> None:
    assert ids(cities.order_by("__name__").offset(1).limit(2)) == ["ham", "par"]
    assert ids(cities.offset(9)) == []


def test_limit_to_last_keeps_the_order(cities: Any) -> None:
    last = cities.order_by("rank").limit_to_last(2).get()
    assert [snapshot.id for snapshot in last] == ["ham", "xxx"]


def test_projection_sends_selected_fields_alone(cities: Any) -> None:
    query = cities.where(filter=FieldFilter("rank", "==", 3))
    assert [s.to_dict() for s in query.select(["geo.country", "size"]).stream()] == [
        {"geo": {"country": "de"}, "size": 1.9}
    ]
    assert [s.to_dict() for s in query.select([]).stream()] == [{}]


def test_collection_group_finds_documents_at_any_depth(db: Client) -> None:
    for path in ("rooms/r0", "clinics/a/rooms/r1", "clinics/b/x/y/rooms/r2", "clinics/a/roomsx/r3"):
        db.document(path).set({"free": True})
    group = db.collection_group("rooms").where(filter=FieldFilter("free", "==", True))
    assert ids(group) == ["r1", "r2", "r0"]


@pytest.mark.differs("has no PartitionQuery")
def test_partitions_cover_a_collection_group_once(db: Client) -> None:
    batch = db.batch()
    for number in range(20):
        batch.set(db.document(f"clinics/c{number % 3}/rooms/r{number:02}"), {"n": number})
    batch.commit()
    group = db.collection_group("rooms")
    found = [
        snapshot.id
        for partition in group.get_partitions(4)
        for snapshot in partition.query().stream()
    ]
    assert sorted(found) == [f"r{number:02}" for number in range(20)]


def aggregates(query: Any) -> dict[str, Any]:
    return {result.alias: result.value for result in query.get()[0]}


def test_aggregations_count_sum_and_average(cities: Any) -> None:
    german = cities.where(filter=FieldFilter("geo.country", "==", "de"))
    query = german.count(alias="n").sum("rank", alias="sum").avg("rank", alias="avg")
    assert aggregates(query) == {"n": 2, "sum": 5, "avg": 2.5}


def test_count_obeys_limit(cities: Any) -> None:
    assert aggregates(cities.limit(4).count(alias="n")) == {"n": 4}


def test_sum_of_doubles_is_a_double(cities: Any) -> None:
    above = cities.where(filter=FieldFilter("size", ">", 2.5))
    assert aggregates(above.sum("size", alias="s"))["s"] == pytest.approx(6.5)


def test_aggregation_reads_documents_in_the_order_of_its_field(cities: Any) -> None:
    assert aggregates(cities.limit(2).sum("rank", alias="s")) == {"s": 1}
    assert aggregates(cities.count(alias="n").avg("geo.country", alias="a"))["n"] == 4


def test_two_aggregations_of_one_name_are_refused(cities: Any) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        cities.count(alias="n").sum("rank", alias="n").get()


@pytest.fixture
def colours(db: Client) -> Any:
    vectors = {
        "red": [1.0, 0.0],
        "orange": [0.8, 0.6],
        "green": [0.0, 1.0],
        "long": [1.0, 0.0, 0.0],
    }
    for name, vector in vectors.items():
        db.document(f"colours/{name}").set({"at": Vector(vector), "length": len(vector)})
    return db.collection("colours")


@pytest.mark.parametrize(
    ("measure", "distances"),
    [
        (DistanceMeasure.EUCLIDEAN, [("red", 0.0), ("orange", 0.4**0.5)]),
        (DistanceMeasure.COSINE, [("red", 0.0), ("orange", 0.2)]),
        (DistanceMeasure.DOT_PRODUCT, [("red", 1.0), ("orange", 0.8)]),
    ],
)
def test_vector_search_finds_the_nearest(
    colours: Any, measure: DistanceMeasure, distances: list[tuple[str, float]]
) -> None:
    query = colours.find_nearest(
        "at",
        Vector([1.0, 0.0]),
        limit=2,
        distance_measure=measure,
        distance_result_field="distance",
    )
    found = [(snapshot.id, snapshot.get("distance")) for snapshot in query.get()]
    assert [name for name, _ in found] == [name for name, _ in distances]
    assert [d for _, d in found] == pytest.approx([d for _, d in distances])


def test_vector_search_keeps_to_its_threshold(colours: Any) -> None:
    query = colours.find_nearest(
        "at",
        Vector([1.0, 0.0]),
        limit=9,
        distance_measure=DistanceMeasure.EUCLIDEAN,
        distance_threshold=0.7,
    )
    assert [snapshot.id for snapshot in query.get()] == ["red", "orange"]


@pytest.mark.differs("does not explain queries")
def test_explained_query_names_its_index_and_counts_results(cities: Any) -> None:
    query = cities.where(filter=FieldFilter("geo.country", "==", "de")).order_by("size")
    planned = query.get(explain_options=ExplainOptions(analyze=False))
    assert list(planned) == []
    (index,) = planned.get_explain_metrics().plan_summary.indexes_used
    assert index == {
        "properties": "(geo.country ASC, size ASC, __name__ ASC)",
        "query_scope": "Collection",
    }
    analysed = query.get(explain_options=ExplainOptions(analyze=True))
    assert len(analysed) == analysed.get_explain_metrics().execution_stats.results_returned == 2


@pytest.mark.differs("has no pipelines")
def test_pipeline_is_refused_as_by_the_standard_edition(db: Client) -> None:
    with pytest.raises(exceptions.FailedPrecondition, match="ENTERPRISE"):
        list(db.pipeline().collection("cities").execute())


def run_raw(db: Client, query: StructuredQuery) -> list[Any]:
    request = RunQueryRequest(parent=f"{db._database_string}/documents", structured_query=query)
    return list(db._firestore_api.run_query(request))


FIELD = StructuredQuery.FieldFilter
FROM = [{"collection_id": "cities"}]


@pytest.mark.parametrize(
    "query",
    [
        {"from_": FROM, "offset": -1},
        {"from_": FROM, "start_at": {"values": [{"integer_value": 1}]}},
        {"from_": FROM, "where": {"field_filter": {"field": {"field_path": "a"}, "op": "IN"}}},
        {
            "from_": FROM,
            "where": {
                "field_filter": {
                    "field": {"field_path": "a"},
                    "op": FIELD.Operator.IN,
                    "value": {"array_value": {"values": [{"integer_value": n} for n in range(31)]}},
                }
            },
        },
        {"from_": FROM, "order_by": [{"field": {"field_path": "a..b"}}]},
    ],
    ids=["offset", "cursor", "empty in", "long in", "path"],
)
def test_impossible_query_is_refused(db: Client, query: dict[str, Any]) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        run_raw(db, StructuredQuery(query))


@pytest.mark.differs("takes a composite filter without filters")
def test_composite_filter_needs_a_filter(db: Client) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        run_raw(db, StructuredQuery(from_=FROM, where={"composite_filter": {"op": "AND"}}))
