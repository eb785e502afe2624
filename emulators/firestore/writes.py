"""What a Write does to a document: masks, transforms, preconditions.

Rules: google.firestore.v1.Write, DocumentTransform and Precondition, as their protos document.
"""

import grpc

from emulators.firestore.documents import Documents, Effect, Version
from emulators.firestore.messages import (
    Document,
    Message,
    Refused,
    Value,
    WriteResult,
    instant_of,
    invalid,
    timestamp,
)
from emulators.firestore.names import check_document, field_path
from emulators.firestore.values import (
    drop,
    find,
    is_number,
    key,
    make_storable,
    number_key,
    number_of,
    number_value,
    put,
)

_LARGEST = 1_048_576
_HIGHEST, _LOWEST = (1 << 63) - 1, -(1 << 63)


class Batch:
    """Writes tried one after the other on top of the stored documents, all at one instant.

    Nothing shows before `changes` is committed. Each `write` sees the ones before it.
    """

    def __init__(self, documents: Documents, time: int) -> None:
        self._documents = documents
        self.time = time
        self.changes: dict[str, Message | None] = {}

    def write(self, write: Message) -> Message:
        """Try one Write, answer its WriteResult. Raises as the call shall answer."""
        operation = write.WhichOneof("operation")
        if operation == "delete":
            return self._delete(write)
        if operation == "transform":
            name, transforms = write.transform.document, write.transform.field_transforms
        elif operation == "update":
            name, transforms = write.update.name, write.update_transforms
        else:
            raise invalid("A write must have an operation.")
        before = self._current(check_document(name))
        self._check(name, write, before)
        after = Document()
        if operation == "transform" or write.HasField("update_mask"):
            if before is not None:
                after.fields.MergeFrom(before.fields)
            if operation == "update":
                _merge(after.fields, write)
        else:
            after.fields.MergeFrom(write.update.fields)
        results = [self._transform(after.fields, transform) for transform in transforms]
        make_storable(after.fields)
        if after.ByteSize() > _LARGEST:
            raise invalid(
                f"Document '{name}' cannot be written because its size exceeds the maximum"
                f" allowed size of {_LARGEST:,} bytes."
            )
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
        name = check_document(write.delete)
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
                value = _add(current, _operand(transform.increment))
            case "maximum":
                value = _extreme(current, _operand(transform.maximum), largest=True)
            case "minimum":
                value = _extreme(current, _operand(transform.minimum), largest=False)
            case "append_missing_elements":
                value = _united(current, transform.append_missing_elements)
            case "remove_all_from_array":
                value = _without(current, transform.remove_all_from_array)
            case _:
                raise invalid("A field transform must have a type.")
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


def _operand(value: Message) -> Message:
    if not is_number(value):
        raise invalid("The operand of a numeric transform must be an integer or a double.")
    return value


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
