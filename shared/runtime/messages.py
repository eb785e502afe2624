"""What arrives at an agent's triggers, read into the kernel's words."""

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from shared.kernel.event import Event, Occurrence
from shared.kernel.ids import ClinicId, EventId

_MOST = 5
"""So many fields are named in the reason why an event is not valid."""


class Malformed(Exception):
    """An authentic message that makes no sense; it is parked. The text names what is missing."""


@dataclass(frozen=True)
class Push:
    """A Pub/Sub push body: CloudEvents attributes, data, and which attempt of the delivery it is.

    `message_id` is Pub/Sub's own, the same in every delivery.
    Source: https://cloud.google.com/pubsub/docs/push#receive_push (wrapped).
    """

    attributes: dict[str, str]
    data: bytes
    attempt: int
    message_id: str = ""

    @property
    def type(self) -> str:
        """Raises `Malformed` for a message that does not say."""
        try:
            return self.attributes["ce-type"]
        except KeyError:
            raise Malformed("the message does not say its type") from None


def read_push(body: bytes) -> Push:
    """Raises `Malformed`."""
    try:
        parsed = json.loads(body)
        message = parsed["message"]
        attributes = message.get("attributes") or {}
        data = base64.b64decode(message.get("data", ""), validate=True)
        attempt = int(parsed.get("deliveryAttempt") or 1)
        message_id = str(message.get("messageId", ""))
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        raise Malformed("the body is not a Pub/Sub push") from None
    if not isinstance(attributes, dict) or not all(map(_is_text, attributes.values())):
        raise Malformed("the attributes are not a mapping of texts")
    return Push(attributes, data, attempt, message_id)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def read_event(push: Push, kind: type[Event]) -> Occurrence:
    """The event of a push, read as `kind`. Raises `Malformed`."""
    values = push.attributes
    try:
        clinic = values.get("clinicid")
        return Occurrence(
            id=EventId(values["ce-id"]),
            event=kind.model_validate_json(push.data, extra="ignore"),
            source=values.get("ce-source", ""),
            time=datetime.fromisoformat(values["ce-time"]),
            clinic_id=ClinicId(clinic) if clinic else None,
            correlation_id=values.get("correlationid") or values["ce-id"],
            causation_id=values.get("causationid"),
        )
    except ValidationError as error:
        raise Malformed(f"not a valid {kind.type}: {_places(error)}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise Malformed(f"not a valid {kind.type}: {type(error).__name__}") from None


def _places(error: ValidationError) -> str:
    """Where and what kind of; never a value. Events have fields of ours alone to name."""
    found = error.errors(include_url=False, include_context=False, include_input=False)[:_MOST]
    return ", ".join(f"{'.'.join(map(str, one['loc']))} {one['type']}".strip() for one in found)


def read_task(body: bytes) -> tuple[UUID, int]:
    """The timer and version a task wakes. Raises `Malformed`."""
    try:
        parsed: Any = json.loads(body)
        return UUID(parsed["timer_id"]), int(parsed["version"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Malformed("the body does not name a timer") from None
