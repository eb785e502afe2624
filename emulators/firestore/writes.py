"""What a Write does to a document: masks, transforms, preconditions.

Rules: google.firestore.v1.Write, DocumentTransform and Precondition, as their protos document.
"""

import grpc

from emulators.api.refusals import Refused, invalid
from emulators.firestore.documents import Documents, Effect, Version
from emulators.firestore.messages import (
    Document,
    Message,
    Value,
    WriteResult,
    instant_of,
    timestamp,
)
from emulators.firestore.names import NAME, FieldPath, check_document, field_path, is_reserved
from emulators.firestore.storable import check_size, make_storable, make_value_storable
from emulators.firestore.values import (
    drop,
    find,
    is_number,
    key,
    number_key,
    number_of,
    number_value,
    put,
)

_REQUEST_TIME = 1
_HIGHEST, _LOWEST = (1 << 63) - 1, -(1 << 63)


def target(write: Message) -> str:
    """The name of the document that a Write is about."""
    operation = write.WhichOneof("operation")
    name: str
    if operation == "update":
        name = write.update.name
    elif operation == "delete":
        name = write.delete
    elif operation == "transform":
        name = write.transform.document
    else:
        raise invalid("empty write operation")
    return name


def check_write(write: Message) -> None:
    """Raises INVALID_ARGUMENT for what no stored document could make right; cuts timestamps."""
    check_document(target(write))
    transforms = write.update_transforms
    if write.HasField("delete"):
        if write.HasField("update_mask") or transforms:
            raise invalid("A delete must not specify a document mask or transforms.")
    elif write.HasField("transform"):
        transforms = write.transform.field_transforms
        if not transforms:
            raise invalid("The list of FieldTransform must not be empty.")
    make_storable(write.update.fields)
    for text in write.update_mask.field_paths:
        if (path := field_path(text)) != NAME:
            _check_path(path)
    for transform in transforms:
        _check_transform(transform)


def _check_path(path: FieldPath) -> None:
    for part in path:
        if is_reserved(part):
            raise invalid(f"Invalid reserved name in field path {'.'.join(path)}")


def _check_transform(transform: Message) -> None:
    _check_path(field_path(transform.field_path))
    kind = transform.WhichOneof("transform_type")
    if kind is None:
        raise invalid("Operation type must be specified for field transformation.")
    operand = getattr(transform, kind)
    if kind == "set_to_server_value":
        if operand != _REQUEST_TIME:
            raise invalid("ServerValue type must be specified for set_to_server_value.")
    elif kind in ("increment", "maximum", "minimum"):
        if not is_number(operand):
            raise invalid("Input must be int64 or double.")
    else:
        for element in operand.values:
            make_value_storable(element, 1, in_array=True)


class Batch:
    """Writes tried one after the other on top of the stored documents, all at one instant.

    Nothing shows before `changes` is committed. Each `write` sees the ones before it.
    """

    def __init__(self, documents: Documents, time: int) -> None:
        self._documents = documents
        self.time = time
        self.changes: dict[str, Message | None] = {}

    def write(self, write: Message) -> Message:
        """Try one checked Write, answer its WriteResult. Raises as the call shall answer."""
        operation = write.WhichOneof("operation")
        if operation == "delete":
            return self._delete(write)
        name, transforms = target(write), write.update_transforms
        if operation == "transform":
            transforms = write.transform.field_transforms
        before = self._current(name)
        self._check(name, write, before)
        after = Document()
        merged = operation == "transform" or write.HasField("update_mask")
        if merged:
            if before is not None:
                after.fields.MergeFrom(before.fields)
            if operation == "update":
                _merge(after.fields, write)
        else:
            after.fields.MergeFrom(write.update.fields)
        results = [self._transform(after.fields, transform) for transform in transforms]
        if merged or transforms:
            make_storable(after.fields)
        check_size(name, after)
        if before is not None and before.fields == after.fields:
            return WriteResult(update_time=before.update_time, transform_results=results)
        after.update_time.CopyFrom(timestamp(self.time))
        self.changes[name] = after
        return WriteResult(update_time=after.update_time, transform_results=results)

    def effects(self) -> list[Effect]:
        """What committing `changes` would do to each document."""
        return [
            (
                name,
                self._documents.get(name),
                None if document is None else Version(name, self.time, document),
            )
            for name, document in self.changes.items()
        ]

    def _delete(self, write: Message) -> Message:
        name = target(write)
        before = self._current(name)
        self._check(name, write, before)
        if before is not None:
            self.changes[name] = None
        return WriteResult()

    def _current(self, name: str) -> Message | None:
        if name in self.changes:
            return self.changes[name]
        version = self._documents.get(name)
        return None if version is None else version.document

    def _check(self, name: str, write: Message, before: Message | None) -> None:
        precondition = write.current_document
        condition = precondition.WhichOneof("condition_type")
        if condition == "exists" and precondition.exists and before is None:
            raise Refused(grpc.StatusCode.NOT_FOUND, f"No document to update: {name}")
        if condition == "exists" and not precondition.exists and before is not None:
            raise Refused(grpc.StatusCode.ALREADY_EXISTS, f"Document already exists: {name}")
        if condition == "update_time":
            if precondition.update_time.nanos % 1000:
                raise invalid("The update_time must be microsecond aligned.")
            if instant_of(precondition.update_time) > self.time:
                raise invalid("The update_time must not be in the future.")
            if before is None or before.update_time != precondition.update_time:
                stored = 0 if before is None else instant_of(before.update_time)
                raise Refused(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"The stored version ({stored}) does not match the required base version"
                    f" ({instant_of(precondition.update_time)}).",
                )

    def _transform(self, fields: Message, transform: Message) -> Message:
        """Apply one FieldTransform to `fields`, answer its transform result."""
        path = field_path(transform.field_path)
        current = find(fields, path)
        kind = transform.WhichOneof("transform_type")
        match kind:
            case "set_to_server_value":
                # The proto promises milliseconds, and the same time all over a commit.
                value = Value(timestamp_value=timestamp(self.time - self.time % 1000))
            case "increment":
                value = _add(current, transform.increment)
            case "maximum":
                value = _extreme(current, transform.maximum, largest=True)
            case "minimum":
                value = _extreme(current, transform.minimum, largest=False)
            case "append_missing_elements":
                value = _united(current, transform.append_missing_elements)
            case _:
                value = _without(current, transform.remove_all_from_array)
        put(fields, path, value)
        return Value(null_value=0) if value.HasField("array_value") else value


def _merge(fields: Message, write: Message) -> None:
    """Take over what the update mask names: present fields are set, absent ones removed."""
    for text in write.update_mask.field_paths:
        path = field_path(text)
        value = find(write.update.fields, path)
        if value is None:
            drop(fields, path)
        else:
            put(fields, path, value)


def _add(current: Message | None, operand: Message) -> Message:
    if current is None or not is_number(current):
        return operand
    total = number_of(current) + number_of(operand)
    if isinstance(total, int):
        total = min(max(total, _LOWEST), _HIGHEST)
    return number_value(total)


def _extreme(current: Message | None, operand: Message, *, largest: bool) -> Message:
    """The larger or smaller; NaN wins over every number; equal values leave the stored one."""
    if current is None or not is_number(current):
        return operand
    ours, theirs = number_key(number_of(current)), number_key(number_of(operand))
    if len(ours) != len(theirs):
        return current if len(ours) < len(theirs) else operand
    replaced = theirs > ours if largest else theirs < ours
    # A copy, because writing to a map field may move the value that was found in it.
    return operand if replaced else Value.FromString(current.SerializeToString())


def _united(current: Message | None, elements: Message) -> Message:
    value = _array(current)
    seen = {key(item) for item in value.array_value.values}
    for element in elements.values:
        if (candidate := key(element)) not in seen:
            seen.add(candidate)
            value.array_value.values.append(element)
    return value


def _without(current: Message | None, elements: Message) -> Message:
    removed = {key(element) for element in elements.values}
    kept = [item for item in _array(current).array_value.values if key(item) not in removed]
    value = Value()
    value.array_value.SetInParent()
    value.array_value.values.extend(kept)
    return value


def _array(current: Message | None) -> Message:
    value = Value()
    if current is not None and current.HasField("array_value"):
        value.CopyFrom(current)
    value.array_value.SetInParent()
    return value
