"""What counts as a difference between the provider's list and our rows."""

from datetime import UTC, datetime, timedelta

from shared.domains.billing.model import DriftKind, Resource, Sight, compare

OLD = datetime(2026, 3, 1, tzinfo=UTC)
SINCE = OLD + timedelta(hours=1)


def sight(version: int = 1, state: str = "active", *, deleted: bool = False) -> Sight:
    return Sight(version, state, deleted, OLD)


def kinds(ours: dict[str, Sight], theirs: dict[str, Sight]) -> list[tuple[str, DriftKind, bool]]:
    found = compare(Resource.SUBSCRIPTION, ours, theirs, SINCE)
    return [(drift.vendor_id, drift.kind, drift.healed) for drift in found]


def test_equal_rows_are_no_drift() -> None:
    assert kinds({"a": sight()}, {"a": sight()}) == []


def test_a_missing_row_is_found_and_healed() -> None:
    assert kinds({}, {"a": sight()}) == [("a", DriftKind.MISSING_HERE, True)]


def test_a_row_the_provider_does_not_have_is_found_and_left() -> None:
    assert kinds({"a": sight()}, {}) == [("a", DriftKind.MISSING_THERE, False)]


def test_what_is_deleted_and_gone_is_no_drift() -> None:
    assert kinds({"a": sight(deleted=True)}, {}) == []
    assert kinds({}, {"a": sight(deleted=True)}) == []


def test_an_older_row_differs_and_is_healed() -> None:
    assert kinds({"a": sight(1)}, {"a": sight(2)}) == [("a", DriftKind.DIFFERING, True)]


def test_the_same_version_with_another_state_is_found_and_left_to_a_person() -> None:
    found = kinds({"a": sight(state="paused")}, {"a": sight()})
    assert found == [("a", DriftKind.DIFFERING, False)]


def test_a_row_newer_than_the_list_is_no_drift() -> None:
    assert kinds({"a": sight(3, "paused")}, {"a": sight(2)}) == []


def test_what_changed_a_moment_ago_may_still_be_on_its_way() -> None:
    fresh = Sight(2, "active", False, SINCE + timedelta(minutes=1))
    assert kinds({"a": sight()}, {"a": fresh}) == []
    assert kinds({}, {"a": fresh}) == []
