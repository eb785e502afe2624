"""Reads of the notifications context."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select, tuple_

from shared.domains.notifications.commands import Preference
from shared.domains.notifications.model import MessageStatus, Topic
from shared.domains.notifications.tables import messages, preferences
from shared.events.messages import Channel, MessageFailure
from shared.kernel.ids import CustomerId, MessageId
from shared.kernel.model import Model
from shared.kernel.work import Work
from shared.platform.unit_of_work import sql


class MessageView(Model):
    """A message as the portal shows it. `at` is when its status last changed (aware UTC)."""

    id: MessageId
    channel: Channel
    topic: Topic
    template: str
    status: MessageStatus
    failure: MessageFailure | None
    at: datetime


class MessageList(Model):
    """A page of messages, newest first; `next` is the `after` of the following page."""

    messages: list[MessageView]
    next: MessageId | None


class PreferenceList(Model):
    """What a customer chose; what is not named follows the defaults."""

    preferences: list[Preference]


def of_customer(customer_id: CustomerId, limit: int, after: UUID | None, work: Work) -> MessageList:
    """At most `limit` messages to a customer after the message `after`."""
    rows = messages.c
    query = select(
        rows.id,
        rows.channel,
        rows.topic,
        rows.template,
        rows.status,
        rows.failure,
        rows.updated_at.label("at"),
    ).where(rows.customer_id == customer_id)
    if after is not None:
        known = select(rows.created_at).where(rows.id == after)
        last = sql(work).execute(known).scalar_one_or_none()
        query = query.where(tuple_(rows.created_at, rows.id) < tuple_(last, after))
    query = query.order_by(rows.created_at.desc(), rows.id.desc()).limit(limit + 1)
    found = [MessageView.model_validate(dict(row)) for row in sql(work).execute(query).mappings()]
    return MessageList(messages=found[:limit], next=found[limit - 1].id if found[limit:] else None)


def preferences_of(customer_id: CustomerId, work: Work) -> PreferenceList:
    """What the customer chose so far."""
    rows = preferences.c
    query = select(rows.topic, rows.channel, rows.wanted).where(rows.customer_id == customer_id)
    found = sql(work).execute(query.order_by(rows.topic, rows.channel)).mappings()
    return PreferenceList(preferences=[Preference.model_validate(dict(row)) for row in found])
