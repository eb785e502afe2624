"""Events: facts that happened, carried as CloudEvents and free of PHI by construction."""

import types
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from typing import Any, ClassVar, Union, get_args, get_origin

from pydantic import ConfigDict

from shared.kernel.ids import ClinicId, EventId, TypedId
from shared.kernel.model import Model
from shared.kernel.money import Money

_ALLOWED = (TypedId, Enum, Money, date, datetime, int, bool)


class Event(Model):
    """Base of all events.

    `class ContractCreated(Event, type="contract.created", subject="contract_id")`; a class without
    a type is a base for others, which inherit its subject. The topic is `<noun>-events` unless
    `topic=` says otherwise; the ordering key is the subject's id. Fields may only be typed ids,
    enums, Money, dates, instants, integers and booleans (or None, or tuples of them): another type
    is refused with `TypeError` when the class is defined.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: ClassVar[str]
    topic: ClassVar[str]
    subject_field: ClassVar[str]

    def __init_subclass__(cls, **_: Any) -> None:
        super().__init_subclass__()

    @classmethod
    def __pydantic_init_subclass__(cls, **keywords: Any) -> None:
        cls.subject_field = str(keywords.get("subject") or getattr(cls, "subject_field", ""))
        if cls.subject_field not in cls.model_fields:
            raise TypeError(f"{cls.__name__} must name the field that is its subject")
        for name, field in cls.model_fields.items():
            if not _allowed(field.annotation):
                raise TypeError(f"{cls.__name__}.{name}: {field.annotation} may carry PHI")
        if "type" in keywords:
            cls.type = keywords["type"]
            cls.topic = keywords.get("topic", f"{cls.type.partition('.')[0]}-events")

    @property
    def subject(self) -> TypedId:
        """The id of what the event is about; its events are delivered in order."""
        value: TypedId = getattr(self, self.subject_field)
        return value


def _allowed(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, types.UnionType, tuple):
        return all(
            part in (type(None), Ellipsis) or _allowed(part) for part in get_args(annotation)
        )
    return isinstance(annotation, type) and issubclass(annotation, _ALLOWED)


@dataclass(frozen=True)
class Occurrence:
    """An event with its CloudEvents 1.0 attributes. `time` is aware UTC business time.

    `correlation_id` names the request everything started with, `causation_id` the event that this
    one followed from.
    """

    id: EventId
    event: Event
    source: str
    time: datetime
    clinic_id: ClinicId | None
    correlation_id: str
    causation_id: str | None
