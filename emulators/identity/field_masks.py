"""Field masks of the admin API: which fields of a resource an update changes."""

from copy import deepcopy
from typing import Any

from emulators.identity.wire import Refused

Resource = dict[str, Any]


def updated(resource: Resource, update: Resource, mask: str, known: frozenset[str]) -> Resource:
    """The resource with the fields that `mask` names set as in `update`, or removed if not there.

    Without a mask every field given in `update` is set, whole. Names of several words may come in
    either style. Raises `Refused` for a field that is not `known` at the top.
    """
    result = deepcopy(resource)
    paths = [path for path in mask.replace(" ", "").split(",") if path] or list(update)
    for path in paths:
        names = [_camel(name) for name in path.split(".")]
        if names[0] not in known or not all(names):
            raise Refused(f"Invalid field mask: {path}", status="INVALID_ARGUMENT")
        _copy(update, result, names)
    return result


def _copy(source: Resource, target: Resource, names: list[str]) -> None:
    *parents, last = names
    found: Any = source
    for name in parents:
        found = found.get(name) if isinstance(found, dict) else None
        below = target.get(name)
        if not isinstance(below, dict):
            below = target[name] = {}
        target = below
    value = found.get(last) if isinstance(found, dict) else None
    if value is None:
        target.pop(last, None)
    else:
        target[last] = deepcopy(value)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)
