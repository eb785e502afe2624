"""Field masks of updates, as https://google.aip.dev/134 wants them."""

from collections.abc import Collection, Iterable
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from emulators.api.refusals import invalid


def writable(mask: Any, fields: Collection[str], kind: Any) -> list[str]:
    """The paths of `mask` into `fields` of the class `kind`; all fields for no mask or for `*`.

    What only the service sets is left out; INVALID_ARGUMENT for what is no field.
    """
    paths = [path for path in mask.paths if path != "*"]
    if not FieldMask(paths=paths).IsValidForDescriptor(kind.DESCRIPTOR):
        raise invalid("The update mask names unknown fields.")
    return [path for path in paths if path.partition(".")[0] in fields] if paths else list(fields)


def merged(present: Any, changes: Any, paths: Iterable[str]) -> Any:
    """A copy of `present` with the fields at `paths` as in `changes`, absent ones cleared."""
    merged = type(present)()
    merged.CopyFrom(present)
    for path in paths:
        *parents, field = path.split(".")
        _take(merged, changes, parents, field)
    return merged


def _take(target: Any, source: Any, parents: list[str], field: str) -> None:
    for parent in parents:
        if not target.HasField(parent) and not source.HasField(parent):
            return
        target, source = getattr(target, parent), getattr(source, parent)
    target.ClearField(field)
    part = type(target)()
    part.CopyFrom(source)
    for name in [known.name for known, _ in part.ListFields() if known.name != field]:
        part.ClearField(name)
    target.MergeFrom(part)
