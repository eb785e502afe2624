"""Writes and locks of the notifications context."""

from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects.postgresql import insert

from shared.domains.notifications.commands import Preference
from shared.domains.notifications.model import Choices, Message, MessageStatus, Topic, Urgency
from shared.domains.notifications.tables import messages, preferences, suppressions
from shared.events.messages import Channel, MessageFailure
from shared.kernel.ids import ClinicId, CustomerId, MessageId, WebhookId
from shared.kernel.work import Work
from shared.platform import tables as platform
from shared.platform.unit_of_work import clinics, sql

_COLUMNS = [messages.c[field.name] for field in fields(Message)]
_ADD = insert(messages).on_conflict_do_nothing().returning(messages.c.id)
_LOCKED = select(*_COLUMNS).where(messages.c.id == bindparam("id")).with_for_update()
_SAVE = update(messages).where(
    messages.c.clinic_id == bindparam("its_clinic"), messages.c.id == bindparam("its_id")
)
_CHOSEN = select(preferences.c.topic, preferences.c.channel, preferences.c.wanted).where(
    preferences.c.customer_id == bindparam("owner")
)
_STOPPED = select(suppressions.c.channel).where(
    suppressions.c.stopped, suppressions.c.customer_id == bindparam("owner")
)
"""Made once: making a statement takes longer than sending it."""


def add(message: Message, work: Work) -> bool:
    """Insert the message; False when there is one with its id."""
    return sql(work).execute(_ADD, _values(message)).first() is not None


def load(message_id: MessageId, work: Work) -> Message | None:
    """The message, locked until the transaction ends."""
    row = sql(work).execute(_LOCKED, {"id": message_id}).mappings().one_or_none()
    return None if row is None else _message(dict(row))


def _values(message: Message) -> dict[str, Any]:
    return {field.name: getattr(message, field.name) for field in fields(Message)}


def _message(row: dict[str, Any]) -> Message:
    return Message(
        **row
        | {
            "channel": Channel(row["channel"]),
            "topic": Topic(row["topic"]),
            "urgency": Urgency(row["urgency"]),
            "status": MessageStatus(row["status"]),
            "failure": MessageFailure(row["failure"]) if row["failure"] else None,
        }
    )


def save(message: Message, work: Work) -> None:
    """Write the next version of a message that `load` locked."""
    values = _values(message)
    key = {"its_clinic": values.pop("clinic_id"), "its_id": values.pop("id")}
    sql(work).execute(_SAVE, key | values)


def choices(customer_id: CustomerId, work: Work) -> Choices:
    """What the customer chose and stopped."""
    wanted = sql(work).execute(_CHOSEN, {"owner": customer_id})
    ended = sql(work).execute(_STOPPED, {"owner": customer_id})
    return Choices(
        {(Topic(row.topic), Channel(row.channel)): row.wanted for row in wanted},
        frozenset(Channel(row.channel) for row in ended),
    )


def prefer(customer_id: CustomerId, chosen: Iterable[Preference], work: Work) -> None:
    """Write preferences, each over what stood there."""
    for preference in chosen:
        statement = insert(preferences).values(
            clinic_id=work.clinic_id,
            customer_id=customer_id,
            **preference.model_dump(),
            version=1,
            created_at=work.now,
            updated_at=work.now,
        )
        newer = {
            "wanted": statement.excluded.wanted,
            "version": preferences.c.version + 1,
            "updated_at": statement.excluded.updated_at,
        }
        key = ("clinic_id", "customer_id", "topic", "channel")
        sql(work).execute(statement.on_conflict_do_update(index_elements=key, set_=newer))


def stop(
    customer_id: CustomerId, channel: Channel, stopped: bool, at: datetime, work: Work
) -> None:
    """Write that somebody stopped a channel, or wants it again, unless something newer is known."""
    statement = insert(suppressions).values(
        clinic_id=work.clinic_id,
        customer_id=customer_id,
        channel=channel,
        stopped=stopped,
        version=1,
        created_at=at,
        updated_at=at,
    )
    newer = {
        "stopped": statement.excluded.stopped,
        "version": suppressions.c.version + 1,
        "updated_at": statement.excluded.updated_at,
    }
    sql(work).execute(
        statement.on_conflict_do_update(
            index_elements=("clinic_id", "customer_id", "channel"),
            set_=newer,
            where=suppressions.c.updated_at <= statement.excluded.updated_at,
        )
    )


def webhook(webhook_id: WebhookId, work: Work) -> tuple[bytes, datetime] | None:
    """A stored webhook's raw body and when it came; None when it was pruned."""
    rows = platform.webhooks.c
    query = select(rows.body, rows.received_at).where(rows.id == webhook_id)
    row = sql(work).execute(query).one_or_none()
    return None if row is None else (bytes(row.body), row.received_at)


def all_clinics(work: Work) -> list[ClinicId]:
    """Every clinic: a phone number may be known to several."""
    return clinics(work)
