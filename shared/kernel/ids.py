"""Typed identifiers: UUIDv7 values that cannot be mistaken for one another."""

from collections.abc import Callable
from typing import Any, Self
from uuid import UUID, uuid5

import uuid_utils
from pydantic_core import core_schema


def _uuid7() -> int:
    return uuid_utils.uuid7().int


_source: Callable[[], int] = _uuid7


def use(source: Callable[[], int] | None) -> None:
    """Take new ids from `source` (a 128-bit integer each); `None` restores UUIDv7."""
    global _source  # noqa: PLW0603 -- one process has one source
    _source = source or _uuid7


class TypedId(UUID):
    """Base of all identifiers. Two ids are equal when type and value are."""

    __slots__ = ()

    @classmethod
    def new(cls) -> Self:
        """A fresh id; ids made later sort later."""
        return cls(int=_source())

    @classmethod
    def derive(cls, of: UUID, purpose: str) -> Self:
        """The one id that follows from `of` and `purpose`: doing a thing twice names it alike."""
        return cls(int=uuid5(of, f"{cls.__name__}:{purpose}").int)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, TypedId):
            return type(self) is type(other) and self.int == other.int
        return super().__eq__(other)

    __hash__ = UUID.__hash__

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        def convert(value: UUID) -> TypedId:
            return value if type(value) is cls else cls(int=value.int)

        return core_schema.no_info_after_validator_function(
            convert,
            core_schema.uuid_schema(),
            serialization=core_schema.to_string_ser_schema(),
        )


class ClinicId(TypedId):
    """A clinic: the tenant whose rows nobody else sees."""


class EventId(TypedId):
    """One occurrence of an event; the same on every delivery."""


class CustomerId(TypedId):
    """A customer of one clinic."""


class ContractId(TypedId):
    """A contract."""


class SubscriptionId(TypedId):
    """Our row for a subscription at the billing provider."""


class InvoiceId(TypedId):
    """Our row for an invoice at the billing provider."""


class MessageId(TypedId):
    """One notification to one recipient on one channel."""


class TicketId(TypedId):
    """A support ticket."""


class WebhookId(TypedId):
    """One stored inbound webhook."""


class TimerId(TypedId):
    """One timer."""
