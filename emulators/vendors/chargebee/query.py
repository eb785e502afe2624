"""List filters, sorting and paging: https://apidocs.chargebee.com/docs/api?prod_cat_ver=2#filters"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from emulators.vendors.chargebee.forms import ApiError, Resource, integer, wrong

_TIMES = frozenset({"created_at", "updated_at", "occurred_at", "date"})
_COMMON = "id created_at updated_at"
FILTERS: dict[str, frozenset[str]] = {
    kind: frozenset(f"{_COMMON} {names}".split())
    for kind, names in {
        "customer": "first_name last_name email company phone auto_collection channel",
        "subscription": "customer_id item_id item_price_id plan_id status cancel_reason_code "
        "activated_at next_billing_at cancelled_at has_scheduled_changes channel",
        "invoice": "customer_id subscription_id recurring status date paid_at total amount_paid "
        "amount_due dunning_status voided_at channel",
        "transaction": "customer_id subscription_id payment_method gateway type date amount status",
        "event": "event_type source occurred_at webhook_status",
        "item_family": "name",
        "item": "name item_family_id type status",
        "item_price": "name item_family_id item_id item_type currency_code period period_unit "
        "pricing_model status",
    }.items()
}
_SORT: dict[str, tuple[str, ...]] = {
    "subscription": ("created_at", "updated_at"),
    "customer": ("created_at", "updated_at"),
    "invoice": ("date", "updated_at"),
    "transaction": ("date", "updated_at"),
    "event": ("occurred_at",),
    "item": ("name", "id", "updated_at"),
    "item_price": ("name", "id", "updated_at"),
    "item_family": ("created_at",),
}
_PLAIN = frozenset({"limit", "offset", "sort_by", "include_deleted", "paid_on_after"})


def _words(text: str) -> list[str]:
    """The members of `["a","b"]`, with either kind of quotes, as the SDKs send them."""
    inner = text.strip().removeprefix("[").removesuffix("]")
    return [word.strip().strip("\"'") for word in inner.split(",") if word.strip()]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _whole(name: str, text: str) -> int:
    if not text.isdecimal():
        raise wrong(name, "should be a whole number")
    return int(text)


def _range(name: str, operator: str, text: str) -> Callable[[int], bool] | None:
    if operator == "between":
        words = _words(text)
        if len(words) != 2:
            raise wrong(f"{name}[between]")
        low, high = (_whole(name, word) for word in words)
        return lambda value: low <= value <= high
    if operator not in ("after", "before", "on", "lt", "lte", "gt", "gte"):
        return None
    bound = _whole(name, text)
    tests: dict[str, Callable[[int], bool]] = {
        "after": lambda value: value > bound,
        "before": lambda value: value < bound,
        "on": lambda value: value // 86_400 == bound // 86_400,
        "lt": lambda value: value < bound,
        "lte": lambda value: value <= bound,
        "gt": lambda value: value > bound,
        "gte": lambda value: value >= bound,
    }
    return tests[operator]


def _test(name: str, operator: str, text: str) -> Callable[[Any], bool]:
    in_range = _range(name, operator, text)
    if in_range is not None:
        return lambda value: value is not None and in_range(value)
    words = frozenset(_words(text))
    tests: dict[str, Callable[[Any], bool]] = {
        "is": lambda value: _text(value) == text,
        "is_not": lambda value: _text(value) != text,
        "starts_with": lambda value: _text(value).startswith(text),
        "in": lambda value: _text(value) in words,
        "not_in": lambda value: _text(value) not in words,
        "is_present": lambda value: (value is not None) == (text == "true"),
    }
    if operator not in tests:
        raise wrong(f"{name}[{operator}]", "unknown filter operator")
    return tests[operator]


def _values(resource: Resource, name: str) -> list[Any]:
    if name in ("item_price_id", "plan_id") and "subscription_items" in resource:
        return [item["item_price_id"] for item in resource["subscription_items"]]
    if name == "item_id" and "subscription_items" in resource:
        return [resource["_item_id"]]
    return [resource.get(name)]


def _tests(kind: str, form: Resource) -> list[tuple[str, Callable[[Any], bool]]]:
    tests = []
    for name, conditions in form.items():
        if name in _PLAIN:
            continue
        if name not in FILTERS[kind]:
            raise ApiError(400, "invalid_request", "unknown filter", name)
        given = conditions if isinstance(conditions, dict) else {"is": conditions}
        tests += [(name, _test(name, op, str(text))) for op, text in given.items()]
    return tests


def _newest_since(table: dict[str, Resource], form: Resource) -> Iterator[Resource]:
    """The rows that a lower bound on `updated_at` leaves: the table's tail, newest first."""
    conditions = form.get("updated_at")
    since = 0
    if isinstance(conditions, dict):
        since = int(conditions["after"]) if conditions.get("after", "").isdecimal() else 0
        if (low := (_words(conditions.get("between", "")) or [""])[0]).isdecimal():
            since = max(since, int(low))
    for row in reversed(table.values()):
        if since and row["updated_at"] < since:
            return
        yield row


def _sorting(kind: str, form: Resource) -> tuple[str, bool]:
    """The field to sort by, and whether the greatest comes first (Chargebee's default)."""
    wanted = form.get("sort_by")
    if not wanted:
        return _SORT[kind][0], kind not in ("item", "item_price")
    if not isinstance(wanted, dict) or len(wanted) != 1:
        raise wrong("sort_by")
    direction, name = next(iter(wanted.items()))
    if direction not in ("asc", "desc") or name not in _SORT[kind]:
        raise wrong(f"sort_by[{direction}]", f"allowed are {', '.join(_SORT[kind])}")
    return name, direction == "desc"


def select(
    kind: str, table: dict[str, Resource], form: Resource
) -> tuple[list[Resource], str | None]:
    """One page of a list (10 rows unless `limit`, at most 100) and the offset of the next, if any.

    The offset names the last row given, so that a row which changes meanwhile shifts no other.
    """
    limit = integer(form, "limit")
    limit = 10 if limit is None else limit
    if not 1 <= limit <= 100:
        raise wrong("limit", "should be between 1 and 100")
    tests = _tests(kind, form)
    deleted = form.get("include_deleted") == "true"
    rows = [
        row
        for row in (_newest_since(table, form) if kind != "event" else table.values())
        if (deleted or not row.get("deleted"))
        and all(any(test(value) for value in _values(row, name)) for name, test in tests)
    ]
    name, descending = _sorting(kind, form)

    def key(row: Resource) -> tuple[Any, str]:
        value = row.get(name) or 0 if name in _TIMES else _text(row.get(name))
        return value, str(row.get("_key") or row["id"])

    rows.sort(key=key, reverse=descending)
    if form.get("offset"):
        try:
            value, id_ = json.loads(form["offset"])
            last = value, id_
            rows = [row for row in rows if (key(row) < last if descending else key(row) > last)]
        except (TypeError, ValueError):
            raise wrong("offset", "is no longer valid") from None
    page = rows[:limit]
    following = json.dumps(key(page[-1])) if len(rows) > limit else None
    return page, following
