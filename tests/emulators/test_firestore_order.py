"""Our order of values agrees with the comparison in Google's client, value by value."""

from datetime import UTC
from typing import Any

from google.cloud.firestore_v1 import _helpers
from google.cloud.firestore_v1.order import Order
from google.cloud.firestore_v1.types import Value
from hypothesis import given
from hypothesis import strategies as st

from emulators.firestore.values import key

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.floats(),
    st.datetimes(timezones=st.just(UTC)),
    st.text(max_size=3),
    st.binary(max_size=3),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("abc", min_size=1), inner, max_size=3)
    ),
    max_leaves=6,
)


def as_value(data: Any) -> Value:
    return Value(_helpers.encode_value(data))


@given(VALUES, VALUES)
def test_keys_compare_as_the_values_do(left: Any, right: Any) -> None:
    one, two = as_value(left), as_value(right)
    ours = (key(one._pb) > key(two._pb)) - (key(one._pb) < key(two._pb))
    assert ours == Order.compare(one, two)


@given(VALUES)
def test_key_of_a_value_equals_itself(data: Any) -> None:
    assert key(as_value(data)._pb) == key(as_value(data)._pb)
