"""Field masks of the admin API: which fields of a resource an update changes."""

from copy import deepcopy
from typing import Any

Resource = dict[str, Any]


def updated(resource: Resource, update: Resource, mask: str, known: frozenset[str]) -> Resource:
    """The resource with the fields that `mask` names set as in `update`, or removed if not there.

    Without a mask every field given in `update` is set, whole. Names of several words may come in
    either style. Fields that are not `known` at the top, and those below a value, are passed over.
    """
    result = deepcopy(resource)
    paths = [path for path in mask.replace(" ", "").split(",") if path] or list(update)
    for path in paths:
        names = [_camel(name) for name in path.split(".")]
        if names[0] in known:
            _copy(update, result, names)
    return result


def _copy(source: Resource, target: Resource, names: list[str]) -> None:
    *parents, last = names
    found: Any = source
    for name in parents:
        found = found.get(name) if isinstance(found, dict) else None
        below = target.setdefault(name, {})
        if not isinstance(below, dict):
            return
        target = below
    value = found.get(last) if isinstance(found, dict) else None
    if value is None:
        target.pop(last, None)
    else:
        target[last] = deepcopy(value)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)
